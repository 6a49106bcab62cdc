"""Dead flow runs: marked as Crashed, and begun again where their deadline may still lie ahead.

Prefect goes on calling a run Running when both it and its keeper were killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Crashed

from s2squant.nightly.operation.server import PAGE, TAG

UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
TAKEN_UP = timedelta(days=5)
"""A run that died is begun again where its slot is no older than this: the deadline of the session before a long
weekend may still lie ahead, and where it does not the run says so itself."""


def reap(older_than: timedelta, *, now: datetime | None = None) -> tuple[str, ...]:
    """Mark our runs that began so long ago and still count as running as Crashed; their names."""
    limit = (now or datetime.now(UTC)) - older_than
    with get_client(sync_client=True) as client:
        old = [run for run in _unfinished(client) if (began := _since(run)) is not None and began < limit]
        for run in old:
            _bury(client, run, f"still counted as running after {older_than}; its process is taken for dead")
    return tuple(run.name for run in old)


def take_up(names: Sequence[str], *, now: datetime | None = None) -> tuple[str, ...]:
    """Begin nightlies again that died with the machine or with `serve`; the names of the new runs.

    For the one that serves, before it serves: whatever of these deployments (FLOW/NAME) still counts as running has
    no process any more. The new run is about the same slot, so it goes on in the folder of the one that died.
    """
    moment = now or datetime.now(UTC)
    begun: list[str] = []
    with get_client(sync_client=True) as client:
        for name in names:
            latest = _latest(client, name)
            if latest is None or latest.deployment_id is None or latest.work_pool_name:
                continue
            dead = latest.state_type in UNFINISHED
            again = name.startswith("forecast/") and moment - _slot(latest) < TAKEN_UP
            if dead:
                next_one = "the next run takes it up" if again else "it is too long ago to be taken up"
                _bury(client, latest, f"the process that ran it is gone; {next_one}")
            slot = _slot(latest)
            if again and (dead or latest.state_type == StateType.CRASHED):
                parameters = {**latest.parameters, "asof": slot.isoformat()}
                run = client.create_flow_run_from_deployment(latest.deployment_id, parameters=parameters)
                begun.append(run.name)
    return tuple(begun)


def _unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    """All of ours; one server page after the other, sorted by what no two runs share."""
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
    where = FlowRunFilter(state=states, tags=FlowRunFilterTags(all_=[TAG]))
    runs: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(flow_run_filter=where, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=len(runs))
        runs += page
        if len(page) < PAGE:
            return runs


def _latest(client: SyncPrefectClient, name: str) -> FlowRun | None:
    """The newest run of a deployment of ours (FLOW/NAME) that has begun or should have."""
    flow, _, deployment = name.partition("/")
    begun = FlowRunFilterState(type=FlowRunFilterStateType(not_any_=[StateType.SCHEDULED]))
    newest = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        deployment_filter=DeploymentFilter(
            name=DeploymentFilterName(any_=[deployment]), tags=DeploymentFilterTags(all_=[TAG])
        ),
        flow_run_filter=FlowRunFilter(state=begun),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=1,
    )
    return newest[0] if newest else None


def _slot(run: FlowRun) -> datetime:
    """What the run is about: the slot of the run it took up, else its own."""
    asked = run.parameters.get("asof")
    if isinstance(asked, str):
        moment = datetime.fromisoformat(asked)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    slot = run.expected_start_time or run.created
    assert slot is not None
    return slot


def _since(run: FlowRun) -> datetime | None:
    return run.start_time or (run.state.timestamp if run.state else None)


def _bury(client: SyncPrefectClient, run: FlowRun, why: str) -> None:
    client.set_flow_run_state(run.id, Crashed(message=why), force=True)
