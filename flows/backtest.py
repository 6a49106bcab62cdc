"""The backtest as one Prefect flow: `python flows/backtest.py` takes the options of `s2squant backtest`.

One flow a run, one task a job; the threads wait, the run's own processes train. A run in which some tickers have no
result ends as Completed with the name PartiallyFailed; a mistake in the parameters ends as Failed with one line.
"""

from __future__ import annotations

import logging
import os
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

# Prefect reads its settings when it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
if __name__ == "__main__":
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")

from prefect import State, flow, get_run_logger, unmapped
from prefect.futures import as_completed
from prefect.states import Completed, Failed

from flows.runners import let_the_screen_speak, start_server, waiting_threads
from flows.tasks import execute, finish, publish
from s2squant.cli import app as cli
from s2squant.cli.screen import Watcher, summary
from s2squant.config.experiment import Engine, Experiment
from s2squant.errors import CallerError
from s2squant.evaluation.results import Study
from s2squant.runs.runner import JobResult
from s2squant.study import Run, open_run

DEFAULTS = Experiment()


class Logged:
    """The Watcher of a scheduled run: one line a job in the flow run's log."""

    def __init__(self) -> None:
        self._log = get_run_logger()
        logging.getLogger("s2squant").setLevel(logging.INFO)  # or nothing of it reaches the run's log

    def opened(self, run: Run) -> None:
        self._log.info("run folder %s\n%s", run.folder, run.fold_table)
        for ticker, reason in run.skipped.items():
            self._log.warning("skipped %s: %s", ticker, reason)

    def finished(self, result: JobResult) -> None:
        level = logging.WARNING if result.status == "failed" else logging.INFO
        self._log.log(level, "%s %s, %.1f s %s", result.key, result.status, result.seconds, result.reason)

    def written(self, folder: Path, study: Study) -> None:
        self._log.info("%s Report: %s", study.sentence, folder / "index.html")


@dataclass(frozen=True)
class Hand:
    """What a run by hand brings along that no parameter can: those are stored with the flow run."""

    watcher: Watcher
    command: str


_hand: ContextVar[Hand | None] = ContextVar("hand", default=None)


@flow(task_runner=waiting_threads(None), persist_result=False)
def backtest(
    experiment: Experiment = DEFAULTS,
    out: str | None = None,
    workers: Annotated[int, Field(ge=1)] | None = None,
    engine: Engine = "local",
) -> State[dict[str, Any]]:
    """Forecast, compare with the baselines, and write a report that says what the evidence is worth.

    Args:
        experiment: Everything that decides the numbers; what is left out has its default.
        out: The run's folder, reports/backtest/RUN_ID if left out; a killed run's folder goes on.
        workers: Processes that train, one a core if left out.
        engine: Who starts those processes: local, or one of the package's extras, dask and ray.
    """
    hand = _hand.get() or Hand(Logged(), "s2squant backtest experiment.json")
    try:
        with open_run(
            experiment,
            Path(out) if out else None,
            workers=workers,
            engine=engine,
            flow="backtest",
            command=hand.command,
        ) as run:
            hand.watcher.opened(run)
            for stage in filter(None, run.stages):
                for future in as_completed(execute.map(unmapped(run.execute), list(stage))):
                    hand.watcher.finished(future.result())
            study = finish(run.finish)
    except CallerError as error:
        return Failed(message=str(error), data=error)
    publish(run.folder, study)
    hand.watcher.written(run.folder, study)
    name = "Completed" if study.status == "done" else "PartiallyFailed"
    return Completed(name=name, message=study.sentence, data=summary(run.folder, study))


def under_prefect(request: cli.Request, watcher: Watcher) -> None:
    """The command line's Runner: the flow in this process, watched; raises what the flow raised."""
    let_the_screen_speak()
    start_server()
    chosen = backtest.with_options(task_runner=waiting_threads(request.workers))
    token = _hand.set(Hand(watcher, request.command))
    try:
        out = str(request.out) if request.out else None
        chosen(request.experiment, out, request.workers, request.engine, return_state=True).result()
    finally:
        _hand.reset(token)


if __name__ == "__main__":
    del __file__  # a spawned worker imports the main module again where it has a file, and needs nothing of this one
    sys.exit(cli.backtest_main(runner=under_prefect, program="python flows/backtest.py"))
