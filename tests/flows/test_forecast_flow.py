"""The nightly flow around a stand-in night: honest final states, its slot and not the clock, one line a fault."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

import flows.forecast
from flows.deployments import served, standing
from flows.forecast import forecast, under_prefect
from flows.night_artifacts import markdown, rows_of
from s2squant.cli import app as cli
from s2squant.config.nightly import Nightly
from s2squant.errors import ConfigError, LedgerError
from s2squant.nightly.results import Night
from tests.flows.stand_ins import NIGHTLY, NOW, StandIn, artifacts_of, asked, ended, tasks_of
from tests.worlds.nights import make_night

SPEC = Nightly(name=NIGHTLY)


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, night: Night | Exception) -> StandIn:
    made = StandIn(folder, night)
    monkeypatch.setattr(flows.forecast, "open_night", made)
    return made


def run(given: Nightly = SPEC, **parameters: Any) -> State[Any]:
    return forecast(given, **parameters, return_state=True)


@pytest.mark.prefect
@pytest.mark.parametrize(
    ("status", "name", "completed"),
    [
        ("done", "Completed", True),
        ("partial", "PartiallyFailed", True),
        ("skipped", "Skipped", True),
        ("late", "Late", True),
        ("failed", "Failed", False),
    ],
)
def test_the_state_says_what_became_of_the_night(
    server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str, name: str, completed: bool
) -> None:
    made = stand_in(monkeypatch, tmp_path, ended(status))
    state = run(asof=NOW, workers=2, out=str(tmp_path))
    assert (state.name, state.is_completed(), state.is_failed()) == (name, completed, not completed)
    assert state.message is not None
    assert f"the night is {status}" in state.message
    assert ("index.html" in state.message) == (status != "skipped")
    assert (made.opened[0].scheduled, made.opened[0].workers, made.opened[0].out) == (NOW, 2, tmp_path)
    artifacts = artifacts_of(str(state.state_details.flow_run_id))
    assert set(artifacts) == {NIGHTLY, f"{NIGHTLY}-tickers"} | (set() if status == "skipped" else {f"{NIGHTLY}-report"})
    assert f"the night is {status}" in artifacts[NIGHTLY]
    assert len(made.executed) == (0 if status == "skipped" else 3)


@pytest.mark.prefect
def test_a_ticker_that_fails_is_a_named_task_and_the_run_has_its_slots_name(
    server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, ended("partial"))
    state = run(asof=NOW)
    number = str(state.state_details.flow_run_id)
    named = tasks_of(number, "ticker:A", "ticker:B", "market:XNYS", "conclude")
    assert named["ticker:B"] == "TickerFailed"
    assert named["ticker:A"] == named["market:XNYS"] == named["conclude"] == "Completed"
    assert asked("/flow_runs/filter", {"flow_runs": {"id": {"any_": [number]}}})[0]["name"] == (
        f"{NIGHTLY} 2026-11-19 22:30"
    )


@pytest.mark.prefect
def test_a_scheduled_run_is_about_its_slot_however_late_it_starts(
    server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = stand_in(monkeypatch, tmp_path, ended("late"))
    slot = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=9)
    monkeypatch.setattr(flows.forecast.flow_run, "scheduled_start_time", slot, raising=False)
    run()
    assert made.opened[0].scheduled == slot
    assert made.opened[0].scheduled.tzinfo is UTC

    monkeypatch.undo()
    made = stand_in(monkeypatch, tmp_path, ended("done"))
    run()
    assert abs(made.opened[0].scheduled - datetime.now(UTC)) < timedelta(minutes=1), "by hand: now"
    assert type(made.opened[0].scheduled) is datetime, "Prefect's own loses its zone when it is copied"
    run(asof=datetime(2026, 11, 19, 22, 30))
    assert made.opened[1].scheduled == NOW, "without a zone it is UTC"


@pytest.mark.prefect
@pytest.mark.parametrize("error", [ConfigError("nightly: name no ticker twice"), LedgerError("the ledger is full")])
def test_a_fault_fails_in_one_line(
    server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    stand_in(monkeypatch, tmp_path, error)
    state = run(asof=NOW)
    assert state.is_failed()
    assert state.message == str(error)


@pytest.mark.prefect
def test_the_command_by_hand_has_the_exit_status_of_the_night(
    server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for status, code in (("done", 0), ("partial", 3), ("late", 3), ("failed", 1), ("skipped", 0)):
        made = stand_in(monkeypatch, tmp_path, ended(status))
        argv = ["--tickers", "A,B", "--at", "2026-11-19T17:30-05:00", "--json"]
        assert cli.forecast_main(argv, nights=under_prefect, program="python flows/forecast.py") == code
        assert json.loads(capsys.readouterr().out)["status"] == status
        assert made.opened[0].scheduled == NOW
    stand_in(monkeypatch, tmp_path, ConfigError("no such thing; write another"))
    assert cli.forecast_main(["--tickers", "A"], nights=under_prefect, program="p") == 2
    assert capsys.readouterr().err == "error: no such thing; write another\n"


def test_the_summary_names_who_has_no_forecast_and_the_table_has_every_ticker(tmp_path: Path) -> None:
    night = make_night(drift=False)
    text = markdown(tmp_path, night)
    assert all(f"{t.status} {t.ticker}: {t.reason}" in text for t in night.lost)
    assert text.count("\n| ") == 1 + len(night.markets)
    assert str(tmp_path / "index.html") in text
    rows = rows_of(night)
    assert [row["ticker"] for row in rows] == [t.ticker for t in night.tickers]
    for row, ticker in zip(rows, night.tickers, strict=True):
        if ticker.status == "ok":
            assert row["low"] < row["median"] < row["high"]
            assert row["low"] < ticker.close < row["high"]
        else:
            assert row["reason"] == ticker.reason
    json.dumps(rows, allow_nan=False)


@pytest.mark.prefect
def test_deployed_parameters_are_refused_before_a_run_exists(server: None) -> None:
    deployment = served(replace(standing()[0], schedules=(), name="unscheduled")).apply()
    assert isinstance(deployment, UUID)
    refused = (
        {"nightly": {"retraining": {"every": 0}}},
        {"nightly": {"nmae": "x"}},
        {"nightly": {"experiment": {"walk": {"horizon": "far"}}}},
        {"workers": -1},
    )
    with get_client(sync_client=True) as client:
        for wrong in refused:
            with pytest.raises(PrefectHTTPStatusError, match="409"):
                client.create_flow_run_from_deployment(deployment, parameters=wrong)
    of_it = {"deployments": {"id": {"any_": [str(deployment)]}}}
    assert asked("/flow_runs/count", of_it) == 0
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(deployment, parameters={"workers": 1})
    assert asked("/flow_runs/count", of_it) == 1
