"""s2squant ablate [EXPERIMENT]: what did the covariates add? With and without them, on the same cutoffs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.cli import options
from s2squant.cli.exits import interrupted
from s2squant.cli.progress import Progress
from s2squant.cli.tables import page_at

if TYPE_CHECKING:  # pandas and torch take seconds that a help text need not wait for
    from s2squant.config.experiment import Experiment
    from s2squant.tuning.ablation import Ablated


def ablate(
    ctx: typer.Context,
    experiment: options.ExperimentFile = None,
    source: options.SourceSpec = None,
    tickers: options.TickerList = None,
    start: options.FirstDate = None,
    end: options.LastDate = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The result's folder; a killed one goes on. Left out: reports/ablate/RUN_ID."),
    ] = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only the outcome and where the report is.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Fit an experiment with all of its covariates, with each left out and with none, and test what each adds.

    Takes as many backtests as it has covariates, and two more; of the models that read one.

    Example: s2squant ablate mine.toml

    Exit status: 0 done, whatever was found; 3 done, but some tickers have no part;
    2 a mistake in what was asked (one line says which);
    1 a fault of s2squant itself; 130 interrupted.
    """
    wanted = options.experiment_of(
        experiment, settings, source=source, tickers=tickers, start=start, end=end, seed=seed
    )
    folder: list[Path] = []
    try:
        ablated = _ablated(wanted, out, workers, ctx.obj.command, folder, quiet=quiet or as_json)
    except KeyboardInterrupt:
        return interrupted(f"the same command with --out {folder[0]} goes on" if folder else "nothing was written")
    return _say(folder[0], ablated, as_json=as_json)


def _ablated(
    experiment: Experiment, out: Path | None, workers: int | None, command: str, folder: list[Path], *, quiet: bool
) -> Ablated:
    from s2squant.tuning.ablation import open_ablation
    from s2squant.tuning.ablation_page import write

    with (
        open_ablation(experiment, out, workers=workers, command=command) as ablation,
        Progress(quiet=quiet) as progress,
    ):
        folder.append(ablation.folder.path)
        for ticker, reason in ablation.skipped.items():
            progress.say(f"skipped {ticker}: {reason}")
        bar = progress.bars.add_task("jobs", total=ablation.jobs)
        progress.start()
        for number, (variant, result) in enumerate(ablation.execute(), 1):
            progress.bars.advance(bar)
            if not progress.on_terminal or result.status == "failed":
                without = f"without {variant.left_out}" if variant.left_out else "with all"
                why = f": {result.reason}" if result.reason else ""
                progress.say(f"[{number}/{ablation.jobs}] {without}, {result.key}: {result.status}{why}")
        ablated = ablation.finish()
        write(ablated, ablation.folder)
    return ablated


def _say(folder: Path, ablated: Ablated, *, as_json: bool) -> int:
    """Print the outcome; returns the exit status."""
    from s2squant.tuning.ablation_page import sentence, summary

    if as_json:
        print(json.dumps(summary(ablated) | {"folder": str(folder), "report": str(folder / "index.html")}, indent=1))
    else:
        print(sentence(ablated))
        for ticker, reason in ablated.left_out.items():
            print(f"{ticker} has no part: {reason}")
        print(f"report: {page_at(folder / 'index.html')}", flush=True)
    return 3 if ablated.left_out else 0
