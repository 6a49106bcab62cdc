"""s2squant tune [EXPERIMENT]: a search for better settings, judged on cutoffs that it never saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2squant.cli import options
from s2squant.cli.exits import interrupted
from s2squant.cli.progress import Progress
from s2squant.cli.tables import page_at
from s2squant.config.defaults import TRIALS

if TYPE_CHECKING:  # tuning brings torch and optuna, which a help text can do without
    from s2squant.config.experiment import Experiment
    from s2squant.config.tuning import Tuning
    from s2squant.tuning.results import TrialResult, Tuned
    from s2squant.tuning.search import Search


def tune(
    ctx: typer.Context,
    experiment: options.ExperimentFile = None,
    source: options.SourceSpec = None,
    tickers: options.TickerList = None,
    start: options.FirstDate = None,
    end: options.LastDate = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="KEY=RANGE",
            help="A setting to search, as in forecasters.seq2seq.pooled.lr=log:1e-4:1e-2, int:8:64, logint:8:64, 0:0.4 "
            "or choice:lstm,gru. Repeatable. Left out: a few settings of the recommended model that matter.",
        ),
    ] = None,
    tuning: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A .toml or .json file with trials, timeout, holdout, startup, a table space."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=f"Configurations to try. Left out: {TRIALS}.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="S", min=0.0, help="Seconds after which no further trial starts.")
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of the cutoffs, the last ones, held out. Left out: 1/3."),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name under data/tuning. Left out: one for these settings and prices."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The result's folder. Left out: reports/tune/RUN_ID.")
    ] = None,
    workers: options.Workers = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only the verdict and where the report is.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Search for better settings of the recommended model; the last cutoffs, which it never sees, say if that paid.

    The result holds best.json, an experiment for backtest. The same command goes on with a search that was
    interrupted; with more --trials it tries more.

    Example: s2squant tune --source sample --trials 40

    Exit status: 0 done, whether tuning paid or not; 2 a mistake in what was asked (one line says which);
    1 a fault of s2squant itself; 130 interrupted.
    """
    given = {"trials": trials, "timeout": timeout, "holdout": holdout, "study": study}
    wanted = build_tuning(tuning, space or (), {key: value for key, value in given.items() if value is not None})
    chosen = options.experiment_of(
        experiment, settings, source=source, tickers=tickers, start=start, end=end, seed=seed
    )
    try:
        folder, tuned = _search(chosen, wanted, out, workers, ctx.obj.command, quiet=quiet or as_json)
    except KeyboardInterrupt:
        return interrupted("the same command goes on where it stopped")
    print_result(folder, tuned, as_json=as_json)
    return 0


def build_tuning(path: Path | None, space: Sequence[str], given: dict[str, Any]) -> Tuning:
    """The search of a .toml or .json file (the defaults without one), options over it; raises ConfigError."""
    from s2squant.config.files import read_settings, validated
    from s2squant.config.tuning import Tuning
    from s2squant.tuning.space import read_space

    ranges = read_space(space)
    asked = read_settings(path) | given | ({"space": ranges} if ranges else {})
    return validated(Tuning, asked, where=str(path or "tuning"))


def _search(
    experiment: Experiment, tuning: Tuning, out: Path | None, workers: int | None, command: str, *, quiet: bool
) -> tuple[Path, Tuned]:
    from s2squant.tuning.search import open_search  # torch and optuna: seconds that --help need not wait for

    with (
        open_search(experiment, tuning, out, workers=workers, command=command) as search,
        Progress(quiet=quiet) as progress,
    ):
        for ticker, reason in search.skipped.items():
            progress.say(f"skipped {ticker}: {reason}")
        progress.say(opening_line(search))
        bar = progress.bars.add_task("trials", total=tuning.trials, completed=len(search.finished))
        progress.start()
        while (tried := search.step()) is not None:
            progress.bars.advance(bar)
            if not progress.on_terminal or tried.ending in ("refused", "failed"):
                progress.say(trial_line(tried))
        progress.bars.add_task("held-out cutoffs and report", total=None)
        return search.finish()


def opening_line(search: Search) -> str:
    """What is searched on, and what is held out, in one line."""
    parts, done = search.parts, len(search.finished)
    finished = f", {done} trials kept" if done else ""
    return (
        f"study {search.name}: {len(parts.search.cutoffs)} cutoffs searched in {len(parts.search.steps)} folds until "
        f"{parts.search.cutoffs[-1]}, {parts.held_out} held out from {parts.first} on{finished}"
    )


def trial_line(tried: TrialResult) -> str:
    """One trial in one line."""
    ended = f"skill {100 * tried.skill:+.3f} %" if tried.skills else "no skill"
    short = ", ".join(f"{key.split('.', 1)[-1]}={_short(value)}" for key, value in tried.values.items())
    why = f" ({tried.reason})" if tried.reason else ""
    return f"trial {tried.number}: {tried.ending}, {ended}, {tried.seconds:.1f} s: {short}{why}"


def print_result(folder: Path, tuned: Tuned, *, as_json: bool = False) -> None:
    """Print the verdict and where the files are."""
    from s2squant.tuning.results import summary

    if as_json:
        print(json.dumps(summary(tuned) | {"folder": str(folder), "report": str(folder / "index.html")}, indent=1))
        return
    print(tuned.sentence)
    print(f"best: {folder / 'best.json'}")
    print(f"report: {page_at(folder / 'index.html')}", flush=True)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
