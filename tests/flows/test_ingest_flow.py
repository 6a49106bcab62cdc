"""The ingest flow against the local Yahoo: one task a ticker, honest final states, the command by hand."""

import json
from pathlib import Path

import pytest
from prefect import State
from prefect.exceptions import ParameterTypeError

from flows.ingest import ingest, under_prefect
from s2squant.cli import app as cli
from s2squant.prices.sources.yahoo import SERVER
from s2squant.prices.store.price_store import PriceStore
from tests.flows.stand_ins import tasks_of
from tests.local_yahoo import LocalYahoo


@pytest.mark.prefect
def test_the_flow_fills_the_store(server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalYahoo(years=1) as yahoo:
        monkeypatch.setenv(SERVER, yahoo.url)
        state: State = ingest(
            ["ALPHA", "MISSING", "BETA"], store=str(tmp_path), per_second=1000, together=2, return_state=True
        )
    assert (state.name, state.is_completed()) == ("PartiallyFailed", True)
    assert state.message == "2 of 3 tickers are up to date; failed: MISSING"
    found = state.result()
    assert {ticker: told["status"] for ticker, told in found.items()} == {
        "ALPHA": "new",
        "BETA": "new",
        "MISSING": "failed",
    }
    store = PriceStore(tmp_path)
    assert store.tickers() == ("ALPHA", "BETA")
    assert found["ALPHA"]["sha256"] == store.read("ALPHA").version.sha256
    assert tasks_of(str(state.state_details.flow_run_id), "ALPHA", "BETA", "MISSING") == {
        "ALPHA": "Completed",
        "BETA": "Completed",
        "MISSING": "TickerFailed",
    }


@pytest.mark.prefect
def test_the_command_by_hand(
    server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalYahoo(years=1) as yahoo:
        monkeypatch.setenv(SERVER, yahoo.url)
        argv = ["ALPHA", "--store", str(tmp_path), "--rate", "1000", "--json"]
        assert cli.fetch_main(argv, fetching=under_prefect, program="python flows/ingest.py") == 0
        assert json.loads(capsys.readouterr().out)["tickers"]["ALPHA"]["status"] == "new"
        argv = ["ALPHA", "--interval", "1wk", "--store", str(tmp_path)]
        assert cli.fetch_main(argv, fetching=under_prefect, program="python flows/ingest.py") == 2
    assert "better made from 1d" in capsys.readouterr().err


def test_parameters_are_checked() -> None:
    checked = ingest.validate_parameters({"tickers": ["A"], "start": "2020-01-31", "together": 3})
    assert (str(checked["start"]), checked["together"]) == ("2020-01-31", 3)
    for wrong in ({"together": 0}, {"per_second": 0}, {"tickers": 3}):
        with pytest.raises(ParameterTypeError):
            ingest.validate_parameters(wrong)
