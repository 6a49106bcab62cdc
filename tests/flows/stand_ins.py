"""A night that does nothing and ends as told, in place of the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prefect.client.orchestration import get_client

from s2squant.config.nightly import Nightly
from s2squant.nightly.results import Night
from s2squant.runs.runner import JobResult
from tests.worlds.nights import idle_night, make_night

NIGHTLY = "stand-in"


@dataclass(frozen=True)
class Opened:
    """What a stand-in was opened with."""

    spec: Nightly
    scheduled: datetime
    workers: int | None
    out: Path | None


def ended(status: str, **changes: Any) -> Night:
    """A Night of a status, with a message that names it."""
    night = make_night(drift=False) if status in ("done", "partial") else idle_night(status)
    spec = Nightly(name=NIGHTLY)
    return replace(night, spec=spec, status=status, message=f"the night is {status}", **changes)  # type: ignore[arg-type]


class StandIn:
    """Takes the place of open_night; keeps what it was asked."""

    def __init__(self, folder: Path, night: Night | Exception) -> None:
        self.opened: list[Opened] = []
        self.executed: list[str] = []
        self._folder, self._night = folder, night

    def __call__(
        self,
        spec: Nightly,
        *,
        scheduled: datetime,
        workers: int | None = None,
        out: Path | None = None,
        flow: str = "forecast",
        command: str = "",
        clock: object = None,
        fetching: object = None,
    ) -> StandIn:
        self.opened.append(Opened(spec, scheduled, workers, out))
        if isinstance(self._night, Exception):
            raise self._night
        return self

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def skipped(self) -> str:
        assert isinstance(self._night, Night)
        return self._night.message if self._night.status == "skipped" else ""

    @property
    def stages(self) -> tuple[tuple[Any, ...], ...]:
        if self.skipped:
            return ()
        job = SimpleNamespace
        first = (job(key="market:XNYS", label="market XNYS"),)
        return first, (job(key="ticker:A", label="A"), job(key="ticker:B", label="B"))

    def execute(self, job: Any) -> JobResult:
        self.executed.append(job.key)
        failed = job.key == "ticker:B"
        return JobResult(job.key, "failed" if failed else "done", "no bars" if failed else "", 0.1)

    def finish(self) -> Night:
        assert isinstance(self._night, Night)
        return self._night


def asked(path: str, body: dict[str, Any]) -> Any:
    """What the test server answers."""
    with get_client(sync_client=True) as client:
        return client.request("POST", path, json=body).json()


def artifacts_of(run: str) -> dict[str, str]:
    """By key, the data of a run's artifacts."""
    found = asked("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    return {artifact["key"]: artifact["data"] for artifact in found}


def wait_until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first truthy answer; fails when there is none in time."""
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"nothing came within {seconds:.0f} s")


def tasks_of(run: str, *names: str) -> dict[str, str]:
    """By name without its number, the final states of these tasks of a run; Prefect hears of them after the run."""

    def ended() -> dict[str, str]:
        tasks = asked("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        states = {t["name"].split("-")[0]: t["state_name"] for t in tasks if t["state_type"] in ("COMPLETED", "FAILED")}
        return states if set(names) <= set(states) else {}

    return wait_until(ended)  # type: ignore[no-any-return]


NOW = datetime(2026, 11, 19, 22, 30, tzinfo=UTC)
