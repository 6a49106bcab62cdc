"""Prefect's server on PostgreSQL, as docs/operation/compose.yaml has it: schedules make runs there too."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.deployments import served, standing
from tests.flows.conftest import serving
from tests.flows.stand_ins import asked, wait_until
from tests.worlds.postgres import Postgres


@pytest.mark.slow
@pytest.mark.prefect
def test_scheduled_runs_appear_on_postgresql_too(postgres_server: Postgres, tmp_path: Path) -> None:
    url = postgres_server.url().set(drivername="postgresql+asyncpg")
    url = url.set(query={"host": str(postgres_server.folder)})
    with serving(tmp_path, PREFECT_SERVER_DATABASE_CONNECTION_URL=url.render_as_string(hide_password=False)):
        number = str(served(standing()[0]).apply())
        where = {
            "deployments": {"id": {"any_": [number]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        runs = wait_until(lambda: asked("/flow_runs/filter", where))
    assert {run["state_name"] for run in runs} == {"Scheduled"}
    assert datetime.fromisoformat(runs[0]["expected_start_time"]) > datetime.now(UTC)
    assert not list(tmp_path.glob("*.db")), "it is in PostgreSQL that they are"
