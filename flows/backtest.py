"""The backtest as one Prefect flow: `python flows/backtest.py` takes the options of `s2squant backtest`.

One flow a run, one task a job; the threads wait, the run's own processes train. A run in which some tickers have no
result ends as Completed with the name PartiallyFailed; a mistake in the parameters ends as Failed with one line.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from flows.environment import prefect_settings

os.environ.update(prefect_settings(by_hand=__name__ == "__main__"))

from prefect import State, flow
from prefect.states import Completed, Failed

from flows.by_hand import Hand, Logged, lent
from flows.runners import silence_prefect, start_server, waiting_threads
from flows.tasks import execute_stages, finish, publish
from s2squant import cli
from s2squant.cli.progress import Watcher
from s2squant.cli.screen import summary
from s2squant.config.defaults import Engine
from s2squant.config.experiment import Experiment
from s2squant.errors import CallerError
from s2squant.evaluation.results import Study
from s2squant.study import Run, open_run

DEFAULTS = Experiment()


class LoggedRun(Logged):
    """The Watcher of a scheduled backtest."""

    def opened(self, run: Run) -> None:
        """Log the folds, and what was skipped."""
        self.log.info("run folder %s\n%s", run.folder, run.fold_table)
        for ticker, reason in run.skipped.items():
            self.log.warning("skipped %s: %s", ticker, reason)

    def written(self, folder: Path, study: Study) -> None:
        """Log the verdict."""
        self.log.info("%s Report: %s", study.sentence, folder / "index.html")


_hand: ContextVar[Hand[Watcher[Run, Study]] | None] = ContextVar("hand", default=None)


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
    hand = _hand.get() or Hand[Watcher[Run, Study]](LoggedRun(), "s2squant backtest experiment.json")
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
            execute_stages(run, hand.watcher.finished)
            study = finish(run.finish)
    except CallerError as error:
        return Failed(message=str(error), data=error)
    publish(run.folder, study)
    hand.watcher.written(run.folder, study)
    name = "Completed" if study.status == "done" else "PartiallyFailed"
    return Completed(name=name, message=study.sentence, data=summary(run.folder, study))


def under_prefect(request: cli.Request, watcher: Watcher[Run, Study]) -> None:
    """The command line's Runner: the flow in this process, watched; raises what the flow raised."""
    silence_prefect()
    start_server()
    chosen = backtest.with_options(task_runner=waiting_threads(request.workers))
    out = str(request.out) if request.out else None
    with lent(_hand, Hand(watcher, request.command)):
        chosen(request.experiment, out, request.workers, request.engine, return_state=True).result()


if __name__ == "__main__":
    del __file__  # a spawned worker imports the main module again where it has a file, and needs nothing of this one
    sys.exit(cli.backtest_main(runner=under_prefect, program="python flows/backtest.py"))
