"""s2squant compare A B: two runs side by side, on the forecasts that both made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2squant.cli.options import AsJson
from s2squant.cli.tables import page_at, plain_console, plain_table, ticker_cell
from s2squant.errors import RunError

if TYPE_CHECKING:
    from s2squant.evaluation.paired_runs import PairedRuns

LONGEST = 44
"""Characters of a setting that are shown."""
FIGURES = ("effect", "low", "high", "p", "n", "n_eff", "word")


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run: its folder, its name or the beginning of it.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The other run; `latest` is the newest backtest.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The page's folder. Left out: reports/compare/A..B.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare two backtests: settings that differ, and what B's recommended model gains over A's.

    Only forecasts that both made count: same ticker, cutoff and step, same outcome.

    Example: s2squant compare 20261126T180000Z latest

    Exit status: 0; 2 where a run is not there or they have nothing in common (one line says so).
    """
    from s2squant.config.differences import differences
    from s2squant.evaluation.paired_runs import pair_runs
    from s2squant.evaluation.previous_run import trained_apart
    from s2squant.report.compare_page import compare_page, sentence
    from s2squant.report.experiment_page import render_experiment
    from s2squant.report.runs_page import runs_page
    from s2squant.runs.folder import REPORTS, RunFolder
    from s2squant.runs.run_list import find_run, write_list
    from s2squant.runs.study_files import STUDY, load_experiment, load_study

    paths = [find_run(run, holding=STUDY) for run in (first, second)]
    for path in paths:
        if (path / "manifest.json").is_file() and not (path / STUDY).is_file():
            raise RunError(f"{path}: is no backtest; `s2squant runs` lists what is")
    models = [load_experiment(path).verdict.recommended for path in paths]
    one, other = (
        load_study(path, models={model}, without=("scores",)) for path, model in zip(paths, models, strict=True)
    )
    paired = pair_runs(one, other)
    settings = differences(one.experiment, other.experiment)
    folder = RunFolder(out or REPORTS / "compare" / f"{one.run_id}..{other.run_id}")
    page = compare_page(one, other, paired, settings)
    try:
        folder.write_pages(render_experiment(page, runs=folder.runs_page))
        write_list(folder, runs_page, latest=False)
    except OSError as error:
        raise RunError(f"{folder.path}: cannot be written ({error.strerror}); choose another --out") from None
    said, at = sentence(paired, one.run_id, other.run_id), page_at(folder.path / "index.html")
    apart = trained_apart(one.provenance, other.provenance, ("A", "B"))
    if as_json:
        print(json.dumps(_plain(paired, settings, said, (one.run_id, other.run_id), at) | {"trained": apart}, indent=1))
        return 0
    _show(paired, settings)
    print(said)
    if apart:
        print(apart)
    print(f"page: {at}")
    return 0


def _show(paired: PairedRuns, settings: list[tuple[str, Any, Any]]) -> None:
    console = plain_console(soft_wrap=True)
    if settings:
        table = plain_table("setting", "A", "B")
        for name, *values in settings:
            table.add_row(name, *(short(value) for value in values))
        console.print(table)
    else:
        console.print("no setting differs")
    table = plain_table("ticker", ">gain of B, %", "95 % interval", ">p", "verdict")
    for r in paired.by_ticker.to_dict("records"):
        interval = f"[{100 * r['low']:+.2f}, {100 * r['high']:+.2f}]" if r["low"] == r["low"] else "not tested"
        table.add_row(ticker_cell(r["pool"]), f"{100 * r['effect']:+.2f}", interval, f"{r['p']:.3f}", r["word"])
    console.print(table)


def short(value: Any) -> str:
    """A setting on one short line."""
    text = "-" if value is None else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _plain(
    paired: PairedRuns, settings: list[tuple[str, Any, Any]], said: str, names: tuple[str, str], page: str
) -> dict[str, Any]:
    from s2squant.files import json_values

    tickers = {r["pool"]: {key: r[key] for key in FIGURES} for r in paired.by_ticker.to_dict("records")}
    plain: dict[str, Any] = json_values(
        {
            "A": {"run": names[0], "model": paired.models[0]},
            "B": {"run": names[1], "model": paired.models[1]},
            "settings": {name: {"A": a, "B": b} for name, a, b in settings},
            "common": {"tickers": paired.tickers, "cutoffs": paired.cutoffs, "forecasts": paired.units},
            "revised": paired.revised,
            "gain_of_B": {key: paired.pooled[key].iloc[0] for key in FIGURES},
            "by_ticker": tickers,
            "sentence": said,
            "page": page,
        }
    )
    return plain
