"""s2squant backtest: one experiment, forecast, compared and written up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.cli import options
from s2squant.cli.exits import interrupted
from s2squant.cli.progress import Watcher, mode_of
from s2squant.cli.screen import Screen, exit_status
from s2squant.config.defaults import Engine
from s2squant.errors import CallerError

if TYPE_CHECKING:  # pydantic's models, pandas and torch take seconds that a help text need not wait for
    from s2squant.config.experiment import Experiment
    from s2squant.evaluation.results import Study
    from s2squant.study import Run


@dataclass(frozen=True)
class Request:
    """One backtest as asked for."""

    experiment: Experiment
    out: Path | None
    workers: int | None
    command: str
    """The command line that asks for it again."""
    engine: Engine = "local"


Runner = Callable[[Request, Watcher["Run", "Study"]], None]
"""Carries a request out and tells the watcher."""


def plain(request: Request, watcher: Watcher[Run, Study]) -> None:
    """Run the stages one after the other, the jobs of each side by side, without Prefect."""
    from s2squant.study import open_run

    with open_run(
        request.experiment,
        request.out,
        workers=request.workers,
        engine=request.engine,
        flow="backtest",
        command=request.command,
    ) as run:
        watcher.opened(run)
        for result in run.execute_stages():
            watcher.finished(result)
        watcher.written(run.folder, run.finish())


def backtest(
    ctx: typer.Context,
    experiment: options.ExperimentFile = None,
    source: options.SourceSpec = None,
    tickers: options.TickerList = None,
    interval: options.BarInterval = None,
    start: options.FirstDate = None,
    end: options.LastDate = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The run's folder. A killed run's folder goes on. Left out: reports/backtest/RUN_ID."
        ),
    ] = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    engine: options.EngineName = "local",
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only the verdict and where the report is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a summary for programs to standard output.")] = False,
) -> int:
    """Forecast, compare with the baselines, and write a report that says what the evidence is worth.

    Example: s2squant backtest --source csv:my_prices --tickers AAPL,MSFT --set walk.horizon=10

    Exit status: 0 done; 3 done, but some tickers have no result;
    2 a mistake in what was asked (one line says which);
    1 a fault of s2squant itself; 130 interrupted.
    """
    wanted = options.experiment_of(
        experiment, settings, source=source, tickers=tickers, interval=interval, start=start, end=end, seed=seed
    )
    runner: Runner = ctx.obj.runner or plain
    with Screen(mode_of(as_json=as_json, quiet=quiet)) as screen:
        try:
            runner(Request(wanted, out, workers, ctx.obj.command, engine), screen)
        except KeyboardInterrupt:
            folder = screen.folder
            return interrupted(f"the same command with --out {folder} resumes" if folder else "nothing was written")
        except CallerError:
            raise
        except Exception:
            if screen.folder:
                print(f"the run's folder is {screen.folder}; --out {screen.folder} goes on from there", file=sys.stderr)
            raise
    if screen.study is None:
        raise AssertionError("the runner came back without a study")
    return exit_status(screen.study)
