"""What `s2squant status` says: freshness, gaps and failures by the ledger and the store, with and without a server."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2squant.cli import app as cli
from s2squant.config.nightly import Nightly
from s2squant.errors import ServerError
from s2squant.nightly.ledger.entries import RunEntry
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.operation import server
from s2squant.nightly.operation import status as operation
from s2squant.nightly.operation.server import DeployedFlow, FlowRun, PrefectApi, address, home
from s2squant.nightly.operation.status import Standing, standing
from tests.worlds.ledgers import many_runs

NOBODY = 9
"""A port at which no server answers."""
SATURDAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""The session due is Friday's; the one before it has to be there."""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, away from a server that may run on this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server, "SERVER_PORT", NOBODY)
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "S2SQUANT_LEDGER"):
        monkeypatch.delenv(name, raising=False)


def spec(*tickers: str) -> Nightly:
    given: dict[str, Any] = {"universe": {"source": "csv:prices", "tickers": tickers}}
    return Nightly.model_validate({"name": "mine", "experiment": given})


def enter(status: str = "done", *, nightly: Nightly | None = None, message: str = "", started: int = 1) -> Ledger:
    """A ledger with one run."""
    wanted, ledger = nightly or spec("A", "B"), Ledger()
    at = SATURDAY - timedelta(hours=started)
    entry = RunEntry("run-1", wanted.name, "forecast", at, at, status, message, folder="reports/x",
                     settings=wanted.model_dump_json())  # fmt: skip
    ledger.start_run(entry)
    ledger.end_run("run-1", status, message, at=at)
    return ledger


def issued(monkeypatch: pytest.MonkeyPatch, *days: str) -> None:
    cutoffs = {("A", date.fromisoformat(day)): "run-1" for day in days}
    monkeypatch.setattr(Ledger, "live_cutoffs", lambda self, name: cutoffs)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    found = standing(SATURDAY)
    assert found.nightlies == ()
    assert found.troubles == (f"nothing runs in {tmp_path}: no server, no ledger; is it the folder?",)
    assert f"no Prefect server at http://127.0.0.1:{NOBODY}/api" in found.server_says
    assert list(tmp_path.iterdir()) == []


def test_a_night_that_went_well_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    enter()
    issued(monkeypatch, "2026-11-18", "2026-11-19")
    found = standing(SATURDAY)
    assert found.nightlies[0].last_issued == {"XNYS": "2026-11-19"}
    assert found.nightlies[0].due == {"XNYS": "2026-11-20"}
    assert found.troubles == ()


@pytest.mark.parametrize(("status", "word"), [("partial", "partial"), ("failed", "failed"), ("late", "late")])
def test_a_night_that_did_not_is(monkeypatch: pytest.MonkeyPatch, status: str, word: str) -> None:
    enter(status, message="A stale: its last bar is old")
    issued(monkeypatch, "2026-11-19")
    (trouble,) = standing(SATURDAY).troubles
    assert f"the last run is {word}: A stale: its last bar is old" in trouble


def test_a_session_without_a_forecast_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    enter()
    issued(monkeypatch, "2026-11-17")
    (trouble,) = standing(SATURDAY).troubles
    assert trouble == "mine: nothing is issued for XNYS since 2026-11-17; 2026-11-19 is missing"


def test_a_record_without_a_forecast_says_so() -> None:
    enter()
    assert standing(SATURDAY).troubles == ("mine: nothing is issued for XNYS yet; 2026-11-19 is missing",)


def test_a_run_that_never_ended_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    enter("running", started=7)
    issued(monkeypatch, "2026-11-19")
    assert "never ended" in standing(SATURDAY).troubles[0]


def test_a_nightly_that_rested_is_seen_behind_thousands_of_runs() -> None:
    many_runs(enter("partial", message="one failed", started=2000), 2_100, after=SATURDAY - timedelta(hours=1900))
    seen = standing(SATURDAY)
    assert [nightly.name for nightly in seen.nightlies] == ["mine", "nightly"]
    assert any("mine: the last run is partial: one failed" in line for line in seen.troubles)


def test_gaps_are_counted_over_thirty_sessions_and_the_last_are_named() -> None:
    ledger = enter()
    for day, kind in (("2026-11-20", "stale"), ("2026-10-21", "late"), ("2026-08-03", "missed")):
        ledger.miss("mine", "run-1", "B", "XNYS", date.fromisoformat(day), kind, "why", at=SATURDAY)  # type: ignore[arg-type]
    nightly = standing(SATURDAY).nightlies[0]
    assert nightly.gaps == {"stale": 1, "late": 1}
    assert nightly.last_gaps == {"B": "stale: why"}


def test_drift_is_shown() -> None:
    ledger = enter()
    ledger.note("mine", "run-1", date(2026, 11, 19), "drift", "XNYS: drift: bands too narrow", at=SATURDAY)
    assert standing(SATURDAY).nightlies[0].drift == "2026-11-19: XNYS: drift: bands too narrow"


def test_tickers_without_the_last_session_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    live = Nightly.model_validate(
        {"name": "mine", "experiment": {"universe": {"source": "yfinance", "tickers": ["A", "B", "SAP.DE"]}}}
    )
    enter(nightly=live)
    issued(monkeypatch, "2026-11-19")
    last = {"A": "2026-11-20", "B": "2026-11-17"}

    def versions(self: object, ticker: str, interval: str = "1d") -> Any:
        if ticker not in last:
            raise operation.PriceError(ticker, "is not stored")
        return [type("V", (), {"last": last[ticker]})]

    monkeypatch.setattr(operation.PriceStore, "versions", versions)
    found = {market.market: market for market in standing(SATURDAY).markets}
    assert found["XNYS"].behind == {"B": "2026-11-17"}
    assert (found["XNYS"].newest, found["XNYS"].due) == ("2026-11-20", "2026-11-19")
    assert found["XETR"].behind == {"SAP.DE": ""}
    assert any("XNYS: 1 of 2 tickers lack 2026-11-19" in line for line in standing(SATURDAY).troubles)


def served(
    monkeypatch: pytest.MonkeyPatch, *, paused: bool = False, state: str = "Completed", message: str = ""
) -> None:
    when = SATURDAY + timedelta(days=2)
    deployed = DeployedFlow("1", "forecast/mine", ("30 17 * * 1-5 (America/New_York)",), paused, when)
    run = FlowRun("mine 2026-11-20 22:30", "forecast/mine", state, message, SATURDAY, SATURDAY, SATURDAY)
    monkeypatch.setattr(PrefectApi, "deployments", lambda self: (deployed,))
    monkeypatch.setattr(PrefectApi, "last_runs", lambda self, deployed, newest=20: (run,))


def test_the_server_has_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch)
    assert standing(SATURDAY).troubles == ()
    served(monkeypatch, paused=True, state="Crashed", message="killed")
    assert standing(SATURDAY).troubles == (
        "forecast/mine is paused",
        "forecast/mine: the last run is Crashed: killed",
    )


def test_a_server_that_was_named_and_is_dead_is_a_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    enter()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    found = standing(SATURDAY)
    assert "no Prefect server at http://127.0.0.1:9/api (no answer)" in found.troubles[0]
    assert found.nightlies[0].name == "mine", "the ledger's part is there all the same"


def test_the_address_is_the_environments_or_the_one_that_up_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address() == (f"http://127.0.0.1:{NOBODY}/api", False)
    home().mkdir(parents=True)
    (home() / "api_url").write_text("http://127.0.0.1:4711/api\n")
    assert address() == ("http://127.0.0.1:4711/api", True)
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:1/api/")
    assert address() == ("http://elsewhere:1/api", True)


def test_an_answer_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with PrefectApi("http://127.0.0.1:9/api") as api:
        assert not api.healthy()
        with pytest.raises(ServerError, match="no answer"):
            api.deployments()
    with PrefectApi("no address") as api:
        assert not api.healthy()


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    served(monkeypatch, message="a message\nof two lines")
    enter("partial", message="1 of 2 tickers forecast")
    issued(monkeypatch, str(np.datetime64("today")))
    assert cli.main(["status"]) == 3
    said = capsys.readouterr().out
    for what in ("forecast/mine", "mine 2026-11-20 22:30", "issued XNYS", "TROUBLE mine: the last run is partial"):
        assert what in said
    assert cli.main(["status", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["exit_status"] == 3
    assert told["nightlies"][0]["last_run"]["status"] == "partial"
    assert "settings" not in told["nightlies"][0]["last_run"]


def test_a_ledger_that_cannot_be_read_is_a_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2SQUANT_LEDGER", "postgresql+psycopg://u:secret@127.0.0.1:9/x")
    found: Standing = standing(SATURDAY)
    assert len(found.troubles) == 1
    assert "secret" not in found.troubles[0]


def test_what_up_kept_here_is_missed_when_its_server_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped or killed: the night that went well tells nothing of the next."""
    enter()
    issued(monkeypatch, "2026-11-19")
    assert standing(SATURDAY).troubles == ()  # run by hand
    home().mkdir(parents=True)
    (home() / "up.json").write_text('{"scheduled": ["forecast/mine"]}')
    assert standing(SATURDAY).troubles == (
        "forecast/mine should run here, and no server answers; s2squant up starts it",
    )
    monkeypatch.setattr(PrefectApi, "deployments", lambda self: ())
    monkeypatch.setattr(PrefectApi, "last_runs", lambda self, deployed, newest: ())
    assert standing(SATURDAY).troubles == ("forecast/mine should run here, and is not scheduled",)
    (home() / "up.json").write_text("{")
    assert "damaged" in standing(SATURDAY).troubles[0]


def test_a_folder_that_cannot_be_written_is_a_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter()
    issued(monkeypatch, "2026-11-19")
    monkeypatch.setattr(operation.os, "access", lambda path, mode: Path(path) != tmp_path / "data")
    assert standing(SATURDAY).troubles == (f"{tmp_path / 'data'} cannot be written; no run could keep what it finds",)


def test_a_ledger_that_was_changed_is_a_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = enter()
    issued(monkeypatch, "2026-11-19")
    with ledger.engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET folder = 'reports/other'")
    assert "runs: run-1 was changed past it" in standing(SATURDAY).troubles[0]
