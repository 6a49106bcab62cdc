"""Dead runs on a Prefect server that gives a page at a time; a server's own answers are in test_operation_flow."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Running

from flows.reaping import reap, take_up

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOST = 200


class Client:
    """The part of Prefect's client that reaping asks, out of memory; runs under their FLOW/DEPLOYMENT."""

    def __init__(self, *runs: tuple[str, FlowRun]) -> None:
        self.runs, self.ended = runs, []

    def read_flow_runs(self, *, flow_run_filter: Any, sort: Any, limit: int, offset: int = 0, **where: Any) -> Any:
        assert limit <= MOST
        kinds = flow_run_filter.state.type
        flows = where["flow_filter"].name.any_ if "flow_filter" in where else None
        names = where["deployment_filter"].name.any_ if "deployment_filter" in where else None
        runs = [
            run
            for full, run in self.runs
            if (kinds.any_ is None or run.state_type in kinds.any_)
            and (flows is None or full.partition("/")[0] in flows)
            and (names is None or full.partition("/")[2] in names)
        ]
        if sort == "EXPECTED_START_TIME_DESC":
            runs.sort(key=lambda run: run.expected_start_time, reverse=True)
        return runs[offset : offset + limit]

    def set_flow_run_state(self, run_id: uuid.UUID, state: Any, force: bool) -> None:
        assert force
        self.ended.append((run_id, state.name))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    def serve(*runs: tuple[str, FlowRun]) -> Client:
        client = Client(*runs)

        @contextmanager
        def opened(*, sync_client: bool) -> Iterator[Client]:
            assert sync_client
            yield client

        monkeypatch.setattr("flows.reaping.get_client", opened)
        return client

    return serve


def a_run(name: str, state: Any, hours: float) -> FlowRun:
    moment = NOW - timedelta(hours=hours)
    return FlowRun(
        name=name, flow_id=uuid.uuid4(), deployment_id=uuid.uuid4(), state=state, state_type=state.type,
        start_time=moment, expected_start_time=moment,
    )  # fmt: skip


def test_dead_runs_behind_a_page_of_others_are_reaped(served: Any) -> None:
    young = [("forecast/a", a_run(f"young {n}", Running(), 1)) for n in range(MOST + 1)]
    old = [("forecast/a", a_run(f"old {n}", Running(), 9)) for n in range(MOST)]
    client = served(*young, *old)
    assert sorted(reap(timedelta(hours=6), now=NOW)) == sorted(run.name for _, run in old)
    assert {state for _, state in client.ended} == {"Crashed"}


def test_deployments_of_one_name_are_told_apart_by_their_flow(served: Any) -> None:
    dead, done = a_run("dead", Running(), 2), a_run("done", Completed(), 1)
    client = served(("backtest/adhoc", dead), ("tune/adhoc", done))
    assert take_up(["backtest/adhoc", "tune/adhoc"], now=NOW) == ()
    assert client.ended == [(dead.id, "Crashed")]
