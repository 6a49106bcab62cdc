"""The Prefect client against a loopback server that gives a page at a time, as Prefect's does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from s2squant.nightly.operation.server import PrefectApi
from s2squant.nightly.operation.status import standing

MOST = 200
"""What a Prefect server gives at once; it refuses to be asked for more."""
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Stub(ThreadingHTTPServer):
    """A Prefect server's listings out of memory."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {"flows": [], "deployments": [], "flow_runs": []}
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                refused = asked.get("limit", MOST) > MOST
                body = json.dumps([] if refused else stub.answer(self.path.split("/")[-2], asked)).encode()
                self.send_response(422 if refused else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"

    def answer(self, kind: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        rows = [row for row in self.rows[kind] if self._wanted(row, asked)]
        match asked.get("sort"):
            case "EXPECTED_START_TIME_DESC":
                rows.sort(key=lambda row: row["expected_start_time"], reverse=True)
            case "EXPECTED_START_TIME_ASC":
                rows.sort(key=lambda row: row["expected_start_time"])
            case "ID_DESC":
                rows.sort(key=lambda row: row["id"], reverse=True)
        first = asked.get("offset", 0)
        return rows[first : first + asked.get("limit", MOST)]

    @staticmethod
    def _wanted(row: dict[str, Any], asked: dict[str, Any]) -> bool:
        state = asked.get("flow_runs", {}).get("state", {}).get("type", {})
        of = asked.get("deployments", {}).get("id", {}).get("any_")
        return (
            ("any_" not in state or row["state_type"] in state["any_"])
            and row.get("state_type") not in state.get("not_any_", ())
            and (of is None or row["deployment_id"] in of)
        )

    def deploy(self, name: str) -> None:
        """A flow of its own with one scheduled deployment, both of the name."""
        schedule = {"schedule": {"cron": "30 17 * * 1-5", "timezone": "America/New_York"}, "active": True}
        self.rows["flows"].append({"id": f"flow of {name}", "name": name})
        self.rows["deployments"].append(
            {"id": name, "flow_id": f"flow of {name}", "name": name, "schedules": [schedule], "paused": False}
        )

    def run(self, deployment: str, hours: float, state: str = "Scheduled") -> None:
        """A run of a deployment, so many hours from NOW."""
        moment = (NOW + timedelta(hours=hours)).isoformat()
        runs = self.rows["flow_runs"]
        runs.append(
            {
                "id": f"{len(runs):06}",
                "name": f"run {len(runs)}",
                "deployment_id": deployment,
                "state_type": state.upper(),
                "state_name": state,
                "state": {"message": "why"},
                "expected_start_time": moment,
                "start_time": None,
                "end_time": None,
            }
        )


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_every_deployment_is_seen_under_its_flows_name(stub: Stub) -> None:
    names = [f"night-{number:03}" for number in range(2 * MOST + 5)]
    for name in names:
        stub.deploy(name)
    with PrefectApi(stub.url) as api:
        assert [deployed.name for deployed in api.deployments()] == [f"{name}/{name}" for name in names]


def test_the_next_run_is_seen_behind_a_page_of_others(stub: Stub) -> None:
    stub.deploy("busy")
    stub.deploy("monthly")
    for hour in range(MOST):
        stub.run("busy", MOST - hour)
    stub.run("monthly", 2 * MOST + 1)
    stub.run("monthly", 2 * MOST)
    with PrefectApi(stub.url) as api:
        busy, monthly = api.deployments()
    assert busy.next_run == NOW + timedelta(hours=1)
    assert monthly.next_run == NOW + timedelta(hours=2 * MOST)


def test_a_weekly_failure_is_a_trouble_though_many_nights_ran_since(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", stub.url)
    monkeypatch.delenv("S2SQUANT_LEDGER", raising=False)
    for name in ("nightly", "weekly"):
        stub.deploy(name)
        stub.run(name, 1)
    stub.run("weekly", -300, "Completed")
    stub.run("weekly", -200, "Failed")
    for hour in range(60):
        stub.run("nightly", -1 - hour, "Completed")
    seen = standing(NOW)
    assert seen.troubles == ("weekly/weekly: the last run is Failed: why",)
    assert {run.deployment for run in seen.runs} == {"nightly/nightly"}, "what is shown are the newest"
