"""flows/prefect.yaml through `prefect deploy` and a process worker: what is deployed is what was meant, and it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows import deployments
from flows.deployments import standing
from tests.flows.stand_ins import asked

ROOT = Path(deployments.__file__).parents[1]


@pytest.mark.slow
@pytest.mark.prefect
def test_the_file_is_deployed_and_a_worker_runs_in_the_folder_it_was_deployed_from(server: str, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "prefect.yaml").write_text((ROOT / "flows" / "prefect.yaml").read_text())
    environment = os.environ | {"PREFECT_API_URL": server, "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}

    def prefect(*arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", *arguments]
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=200,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    prefect("--no-prompt", "work-pool", "create", deployments.POOL, "--type", "process")
    prefect("--no-prompt", "deploy", "--prefect-file", "flows/prefect.yaml", "--all")
    with get_client(sync_client=True) as client:
        for meant in standing():
            found = client.read_deployment_by_name(meant.full_name)
            assert found.entrypoint == meant.entrypoint
            assert found.parameters == meant.parameters
            assert found.description == meant.description
            assert found.tags == ["s2squant"]
            assert found.enforce_parameter_schema
            assert found.global_concurrency_limit is not None
            assert found.global_concurrency_limit.limit == 1
            assert [(s.schedule.cron, s.schedule.timezone) for s in found.schedules] == [  # type: ignore[union-attr]
                (s.cron, s.timezone) for s in meant.schedules
            ]
            assert str(found.pull_steps).count(str(tmp_path)) == 1, "runs work in the folder that was deployed from"
    prefect("deployment", "run", "maintain/weekly", "--param", 'nightlies=[{"name": "none"}]')
    prefect("worker", "start", "--pool", deployments.POOL, "--type", "process", "--run-once", "--limit", "1")
    where = {
        "deployments": {"name": {"any_": ["weekly"]}},
        "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
    }
    (run,) = asked("/flow_runs/filter", where)
    assert run["state_name"] == "Completed", run["state"]
    assert (run["parameters"]["nightlies"], run["work_pool_name"]) == ([{"name": "none"}], deployments.POOL)
