"""The nightly as one Prefect flow: `python flows/forecast.py` takes the options of `s2squant forecast`.

One flow a run, one task a job, as in backtest. What a night is about follows from when it was scheduled, never from
when it runs; a run that comes too late issues nothing and says so. It is never retried as a whole: a killed run goes
on in its folder when the same slot is run again.
"""

from __future__ import annotations

import logging
import os
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import Field

# Prefect reads its settings when it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
if __name__ == "__main__":
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")

from prefect import State, flow, get_run_logger, unmapped
from prefect.futures import as_completed
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.night_artifacts import alert, publish_night, where_is
from flows.runners import waiting_threads
from flows.tasks import conclude, execute
from s2squant.errors import S2squantError
from s2squant.night_records import Night
from s2squant.nightly import NightRun, open_night
from s2squant.nightly_specs import Nightly
from s2squant.study import JobResult

DEFAULTS = Nightly()


class NightWatcher(Protocol):
    """Told how a night goes on: first `opened`, then `finished` once a job, then `written`."""

    def opened(self, run: NightRun) -> None: ...

    def finished(self, result: JobResult) -> None: ...

    def written(self, folder: Path, night: Night) -> None: ...


class Logged:
    """The watcher of a scheduled night: one line a job in the flow run's log."""

    def __init__(self) -> None:
        self._log = get_run_logger()
        logging.getLogger("s2squant").setLevel(logging.INFO)  # or nothing of it reaches the run's log

    def opened(self, run: NightRun) -> None:
        """Say where it is written, or why there is nothing to do."""
        self._log.info("run folder %s%s", run.folder, f"; {run.skipped}" if run.skipped else "")

    def finished(self, result: JobResult) -> None:
        """Say one job."""
        level = logging.WARNING if result.status == "failed" else logging.INFO
        self._log.log(level, "%s %s, %.1f s %s", result.key, result.status, result.seconds, result.reason)

    def written(self, folder: Path, night: Night) -> None:
        """Say what became of it, and the tickers without a forecast."""
        for ticker in night.lost:
            self._log.warning("%s %s: %s", ticker.status, ticker.ticker, ticker.reason)
        self._log.info("%s %s", night.message, where_is(folder))


@dataclass(frozen=True)
class Hand:
    """What a run by hand brings along that no parameter can."""

    watcher: NightWatcher


_hand: ContextVar[Hand | None] = ContextVar("hand", default=None)


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
    workers: Annotated[int, Field(ge=1)] | None = None,
    out: str | None = None,
) -> State[dict[str, Any]]:
    """Take the newest bars, adapt or retrain, issue forecasts into the ledger, score the matured ones, report.

    Args:
        nightly: Everything that decides the numbers; what is left out has its default.
        asof: The moment the run is about, where not the one it was scheduled for; without a zone UTC.
        workers: Processes that train, one a core if left out.
        out: The run's folder, reports/NIGHTLY/RUN_ID if left out; a killed run's folder goes on.
    """
    hand = _hand.get() or Hand(Logged())
    try:
        with open_night(
            nightly, scheduled=_scheduled(asof), workers=workers, out=Path(out) if out else None, flow="forecast"
        ) as run:
            hand.watcher.opened(run)
            for stage in filter(None, run.stages):
                for future in as_completed(execute.map(unmapped(run.execute), list(stage))):
                    hand.watcher.finished(future.result())
            night = conclude(run.finish)
    except S2squantError as error:
        return Failed(message=str(error), data=error)
    publish_night(run.folder, night)
    alert(run.folder, night)
    hand.watcher.written(run.folder, night)
    return final_state(run.folder, night)


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
            return Failed(message=message, data=S2squantError(night.message))
