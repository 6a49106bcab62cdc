"""On a server: scheduled runs appear, runs that died are found and taken up, and a webhook is told of what fails."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect import State, tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending, Running

import flows.forecast
from flows import alerts
from flows.deployments import Deployed, served, standing
from flows.forecast import forecast
from flows.reaping import TAKEN_UP, reap, take_up
from s2squant.config.nightly import Nightly
from s2squant.errors import ConfigError
from s2squant.nightly.operation.server import PrefectApi
from tests.flows.stand_ins import NIGHTLY, NOW, StandIn, asked, ended, wait_until

SECRET = "hook-3f2c51"


def deployed(name: str, *, scheduled: bool = False) -> str:
    """Deploy the first nightly under a name of the test's own; its id."""
    first = standing()[0]
    return str(served(replace(first, name=name, schedules=first.schedules if scheduled else ())).apply())


def begun(deployment: str, state: State[Any], parameters: dict[str, Any] | None = None) -> FlowRun:
    """A run of a deployment in a state."""
    with get_client(sync_client=True) as client:
        made = client.create_flow_run_from_deployment(deployment, parameters=parameters)  # type: ignore[arg-type]
        client.set_flow_run_state(made.id, state, force=True)
        return client.read_flow_run(made.id)


@pytest.mark.prefect
def test_a_deployment_with_a_schedule_gets_scheduled_runs(server: None) -> None:
    """The wrong SQLAlchemy beside Prefect 3.8 creates none, and says nothing."""
    number = deployed("timed", scheduled=True)
    where = {
        "deployments": {"id": {"any_": [number]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    runs = wait_until(lambda: asked("/flow_runs/filter", where))
    assert runs[0]["state_name"] == "Scheduled"
    assert "s2squant" in runs[0]["tags"]
    first = datetime.fromisoformat(runs[0]["expected_start_time"]).astimezone(UTC)
    assert (first.minute, first.hour in (21, 22), first.weekday() < 5) == (30, True, True), "17:30 in New York"
    with get_client(sync_client=True) as client, PrefectApi(str(client.api_url).rstrip("/")) as api:
        found = {known.name: known for known in api.deployments()}
    assert found["forecast/timed"].next_run == first
    assert found["forecast/timed"].schedules == ("30 17 * * 1-5 (America/New_York)",)


@pytest.mark.prefect
def test_a_run_that_died_with_its_keeper_is_taken_up_about_the_same_slot(server: None) -> None:
    number = deployed("died")
    dead = begun(number, Running(), {"workers": 1})
    names = take_up(["forecast/died", "forecast/unknown"])
    assert len(names) == 1
    again = asked("/flow_runs/filter", {"deployments": {"id": {"any_": [number]}}, "sort": "EXPECTED_START_TIME_ASC"})
    by_id = {row["id"]: row for row in again}
    assert by_id.pop(str(dead.id))["state_name"] == "Crashed"
    (new,) = by_id.values()
    assert (new["name"], new["state_name"]) == (names[0], "Scheduled")
    assert dead.expected_start_time is not None
    assert datetime.fromisoformat(new["parameters"]["asof"]) == dead.expected_start_time
    assert new["parameters"]["workers"] == 1
    assert "s2squant" in new["tags"]

    slot = NOW.isoformat()
    old = begun(number, Running(), {"asof": slot})
    assert take_up(["forecast/died"], now=NOW + TAKEN_UP + timedelta(minutes=1)) == (), "too long ago"
    with get_client(sync_client=True) as client, PrefectApi(str(client.api_url).rstrip("/")) as api:
        assert client.read_flow_run(old.id).state_name == "Crashed"
        known = {deployment.name: deployment for deployment in api.deployments()}["forecast/died"]
        newest = api.last_run(known)
        assert newest is not None
        assert (newest.state, newest.name) in {("Crashed", old.name), ("Crashed", dead.name)}
        assert {run.deployment for run in api.last_runs([known], newest=200)} >= {"forecast/died"}
    assert len(take_up(["forecast/died"], now=NOW + timedelta(hours=1))) == 1, "a crashed one is taken up too"


@pytest.mark.prefect
def test_only_runs_that_count_as_running_for_too_long_are_reaped(server: None) -> None:
    number = deployed("hung")
    hung, waiting = begun(number, Running()), begun(number, Pending())
    assert reap(timedelta(hours=6)) == ()
    names = reap(timedelta(hours=6), now=datetime.now(UTC) + timedelta(hours=7))
    assert {hung.name, waiting.name} <= set(names)
    with get_client(sync_client=True) as client:
        assert {client.read_flow_run(run.id).state_name for run in (hung, waiting)} == {"Crashed"}


class Receiver(ThreadingHTTPServer):
    """A webhook on this machine that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.told.append(json.loads(body) | {"path": self.path})
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    def about(self, word: str) -> dict[str, Any]:
        return wait_until(lambda: next((told for told in self.told if word in told["title"]), None))


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


@pytest.mark.slow
@pytest.mark.prefect
def test_a_webhook_is_told_what_failed_why_and_what_to_do(
    server: None,
    webhook: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = f"http://127.0.0.1:{webhook.server_port}/{SECRET}"
    monkeypatch.setenv("S2SQUANT_WEBHOOK", url)
    assert alerts.main(["install"]) == 0
    assert alerts.main(["install", "--webhook", url]) == 0, "again"
    with get_client(sync_client=True) as client:
        assert len(client.read_automations_by_name(alerts.NAME)) == 1
        block = client.read_block_document_by_name(alerts.NAME, "custom-webhook", include_secrets=False)
    assert SECRET not in block.model_dump_json(), "the address is a secret"

    night = ended("partial")
    stale = tuple(replace(t, status="stale") if not n else t for n, t in enumerate(night.tickers))
    night = replace(night, tickers=stale, monitor=replace(night.monitor, alarmed=True, sentence="bands too narrow"))
    monkeypatch.setattr(flows.forecast, "open_night", StandIn(tmp_path, night))
    with tags("s2squant"):
        forecast(Nightly(name=NIGHTLY), NOW)
    partial = webhook.about("PartiallyFailed")
    assert partial["path"] == f"/{SECRET}"
    assert partial["title"] == "s2squant: forecast PartiallyFailed"
    for what in (f"{NIGHTLY} 2026-11-19 22:30", "the night is partial", str(tmp_path), "s2squant status", "asof=2026"):
        assert what in partial["text"]
    assert "have stale prices: ACME (last bar" in webhook.about("stale")["text"]
    assert "bands too narrow" in webhook.about("drift")["text"]

    monkeypatch.setattr(flows.forecast, "open_night", StandIn(tmp_path, ConfigError("no such ticker; name another")))
    with tags("s2squant"):
        forecast(Nightly(name=NIGHTLY), NOW, return_state=True)
    assert "no such ticker; name another" in webhook.about("forecast Failed")["text"]

    many = len(webhook.told)
    monkeypatch.setattr(flows.forecast, "open_night", StandIn(tmp_path, ended("done")))
    with tags("s2squant"):
        forecast(Nightly(name=NIGHTLY), NOW)
    assert alerts.main(["remove"]) == 0
    assert alerts.main(["remove"]) == 0
    with get_client(sync_client=True) as client:
        assert client.read_automations_by_name(alerts.NAME) == []
    assert len(webhook.told) == many, "nobody is woken by a night that went well"
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    assert "nothing to remove" in out


def test_a_webhook_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="no web address"):
        alerts.install("hooks.example.org/x")


def test_every_state_that_is_not_well_is_listened_to() -> None:
    assert {f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "TimedOut", "PartiallyFailed", "Late")} < set(
        alerts.EVENTS
    )
    assert Deployed("a.b.c", "n", "").full_name == "c/n"
