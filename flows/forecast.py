"""The nightly as one Prefect flow: `python flows/forecast.py` takes the options of `s2squant forecast`.

One flow a run, one task a job, as in backtest. What a night is about follows from when it was scheduled, never from
when it runs; a run that comes too late issues nothing and says so. It is never retried as a whole: a killed run goes
on in its folder when the same slot is run again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from flows.environment import prefect_settings

os.environ.update(prefect_settings(by_hand=__name__ == "__main__"))

from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.by_hand import Hand, Logged, lent
from flows.night_artifacts import alert, publish_night, where_is
from flows.runners import silence_prefect, start_server, waiting_threads
from flows.tasks import conclude, execute_stages
from s2squant import cli
from s2squant.cli.commands.forecast import NightRequest
from s2squant.cli.progress import Watcher
from s2squant.config.fetching import Fetching
from s2squant.config.nightly import Nightly
from s2squant.errors import S2squantError
from s2squant.nightly.night import NightRun, open_night
from s2squant.nightly.results import Night
from s2squant.nightly.state import Clock
from s2squant.runs.runner import JobResult

DEFAULTS = Nightly()


class LoggedNight(Logged):
    """The watcher of a scheduled night."""

    def opened(self, run: NightRun) -> None:
        """Log where it is written, or why there is nothing to do."""
        self.log.info("run folder %s%s", run.folder, f"; {run.skipped}" if run.skipped else "")

    def written(self, folder: Path, night: Night) -> None:
        """Log the outcome, and the tickers without a forecast."""
        for ticker in night.lost:
            self.log.warning("%s %s: %s", ticker.status, ticker.ticker, ticker.reason)
        self.log.info("%s %s", night.message, where_is(folder))


class NoForecastError(S2squantError):
    """A night in which no ticker has a forecast; its report is written all the same."""


_hand: ContextVar[Hand[Watcher[NightRun, Night]] | None] = ContextVar("hand", default=None)


def _run_name() -> str:
    """NIGHTLY and the scheduled time, in UTC."""
    given = flow_run.parameters.get("nightly")
    nightly = given if isinstance(given, Nightly) else DEFAULTS
    return f"{nightly.name} {_scheduled(flow_run.parameters.get('asof')):%Y-%m-%d %H:%M}"


def _scheduled(asof: datetime | None) -> datetime:
    """When the run is about: as told, else the slot it was scheduled for; of a run by hand that is its start."""
    moment: datetime = asof or flow_run.scheduled_start_time
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.fromtimestamp(zoned.timestamp(), UTC)  # Prefect's own kind of datetime loses its zone when copied


@flow(task_runner=waiting_threads(None), persist_result=False, flow_run_name=_run_name)
def forecast(
    nightly: Nightly = DEFAULTS,
    asof: datetime | None = None,
    workers: Annotated[int, Field(ge=0)] | None = None,
    out: str | None = None,
) -> State[dict[str, Any]]:
    """Take the newest bars, retrain when it is due, issue forecasts into the ledger, score the matured ones, report.

    Args:
        nightly: Everything that decides the numbers; what is left out has its default.
        asof: The moment the run is about, where not the one it was scheduled for; without a zone UTC.
        workers: Processes that train, one a core if left out; 0: none but the run's own.
        out: The run's folder, reports/NIGHTLY/RUN_ID if left out; a killed run's folder goes on.
    """
    hand = _hand.get() or Hand[Watcher[NightRun, Night]](LoggedNight(), "s2squant forecast nightly.json")
    try:
        with open_night(
            nightly,
            scheduled=_scheduled(asof),
            workers=workers,
            out=Path(out) if out else None,
            flow="forecast",
            command=hand.command,
            clock=hand.clock,
            fetching=hand.fetching,
        ) as run:
            hand.watcher.opened(run)
            execute_stages(run, hand.watcher.finished)
            night = conclude(run.finish)
    except S2squantError as error:
        return Failed(message=str(error), data=error)
    try:
        publish_night(run.folder, night)
        alert(run.folder, night)
    except Exception:  # the night stands in the ledger and its report: a server that is away takes nothing back
        get_run_logger().exception("the server did not take the artifacts of %s", night.run_id)
    hand.watcher.written(run.folder, night)
    return final_state(run.folder, night)


@contextmanager
def simulated(clock: Clock, fetching: Fetching | None = None) -> Iterator[None]:
    """Within it, flows of this process go by that clock: for simulations and benchmarks."""
    with lent(_hand, Hand[Watcher[NightRun, Night]](Silent(), "simulated", clock, fetching)):
        yield


class Silent:
    """A watcher that says nothing."""

    def opened(self, run: NightRun) -> None:
        """Nothing."""

    def finished(self, result: JobResult) -> None:
        """Nothing."""

    def written(self, folder: Path, night: Night) -> None:
        """Nothing."""


def final_state(folder: Path, night: Night) -> State[dict[str, Any]]:
    """The flow's state: what became of the night, by name."""
    message = night.message if night.status == "skipped" else f"{night.message.rstrip('.')}. {where_is(folder)}"
    data = {"run_id": night.run_id, "status": night.status, "folder": str(folder), "issued": night.issued}
    match night.status:
        case "done":
            return Completed(message=message, data=data)
        case "partial":
            return Completed(name="PartiallyFailed", message=message, data=data)
        case "skipped":
            return Completed(name="Skipped", message=message, data=data)
        case "late":
            return Completed(name="Late", message=message, data=data)
        case "failed":
            return Failed(message=message, data=NoForecastError(night.message))


def under_prefect(request: NightRequest, watcher: Watcher[NightRun, Night]) -> None:
    """The command line's NightRunner: the flow in this process, watched; raises what the flow raised."""
    silence_prefect()
    start_server()
    chosen = forecast.with_options(task_runner=waiting_threads(request.workers))
    out = str(request.out) if request.out else None
    with lent(_hand, Hand(watcher, request.command)), suppress(NoForecastError):  # of which the watcher has the report
        chosen(request.nightly, request.scheduled, request.workers, out, return_state=True).result()


if __name__ == "__main__":
    del __file__  # a spawned worker imports the main module again where it has a file, and needs nothing of this one
    sys.exit(cli.forecast_main(nights=under_prefect, program="python flows/forecast.py"))
