"""The fetch command and the backtest on yfinance, against the local Yahoo; nothing of ours is replaced."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from datetime import UTC, datetime

import pandas as pd
import pytest

from s2squant import study
from s2squant.cli import app as cli
from s2squant.config.experiment import Universe
from s2squant.config.files import build_experiment, make_experiment
from s2squant.errors import RunError
from s2squant.files import locked
from s2squant.prices.sources.from_store import as_history
from s2squant.prices.sources.yahoo import SERVER
from s2squant.prices.store.bars import Bars
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.universe import load_universe
from tests.local_yahoo import LocalYahoo
from tests.worlds.runs import COMMAND, TINY, check_report, environment, hears_interrupts, manifest

RATE = ["--rate", "1000", "--together", "2"]


@pytest.fixture
def yahoo(monkeypatch):
    with LocalYahoo(years=5) as server:
        monkeypatch.setenv(SERVER, server.url)
        yield server


def run(capsys, *argv):
    """Exit status, standard output, standard error."""
    status = cli.main([str(a) for a in argv])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_fetch_shows_a_row_a_ticker(yahoo, tmp_path, capsys):
    store = tmp_path / "prices"
    status, out, err = run(capsys, "fetch", "ALPHA,SPLIT", "DIVIDEND", "--store", store, *RATE)
    assert status == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip() and line.split()[0].isupper()}
    assert set(rows) == {"ALPHA", "SPLIT", "DIVIDEND"}
    kept = PriceStore(store).read("ALPHA")
    assert rows["ALPHA"][1:] == [
        "new", f"{len(kept.bars):,}", f"{len(kept.bars):,}", "0", kept.version.first, kept.version.last, "ok",
    ]  # fmt: skip
    assert err.count("new bars") == 3
    status, out, _ = run(capsys, "fetch", "ALPHA", "--store", store, *RATE)
    assert (status, "fresh" in out) == (0, True)


def test_a_bad_ticker_is_named_and_the_others_go_on(yahoo, tmp_path, capsys):
    status, out, _ = run(capsys, "fetch", "ALPHA", "MISSING", "BETA", "--store", tmp_path, "--quiet", *RATE)
    assert status == 3
    assert "failed MISSING: Yahoo knows no such ticker" in out
    assert "ALPHA" not in out
    assert PriceStore(tmp_path).tickers() == ("ALPHA", "BETA")


def test_fetch_for_programs(yahoo, tmp_path, capsys):
    listed = tmp_path / "list.csv"
    listed.write_text("name,ticker\nfirst,ALPHA\nsecond,MISSING\n")
    status, out, err = run(capsys, "fetch", "--universe", listed, "--store", tmp_path / "s", "--json", *RATE)
    found = json.loads(out)["tickers"]
    assert (status, err) == (3, "")
    assert (found["ALPHA"]["status"], found["ALPHA"]["version"], found["ALPHA"]["error"]) == ("new", 1, None)
    assert (found["MISSING"]["status"], found["MISSING"]["error_kind"]) == ("failed", "UnknownTickerError")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["../../x"], "no Yahoo ticker"),
        (["ALPHA", "--interval", "1wk"], "better made from 1d"),
        (["ALPHA", "--interval", "1m", "--start", "2020-01-01"], "1m bars of the last 30 days only"),
        (["ALPHA", "--universe", "list.txt"], "name tickers or a --universe file, not both"),
        (["--universe", "nowhere.txt"], "nowhere.txt does not exist"),
        ([], "yfinance has no default universe; name tickers"),
        (["ALPHA", "--source", "nonsense"], "unknown source"),
        (["ZZZZ", "--source", "sample"], "sample has no ticker 'ZZZZ'"),
        (["ALPHA", "--start", "yesterday"], "yesterday"),
    ],
)
def test_mistakes_are_one_line_and_ask_nothing(yahoo, tmp_path, capsys, argv, complaint):
    status, out, err = run(capsys, "fetch", *argv, "--store", tmp_path / "s")
    assert (status, out) == (2, "")
    assert complaint in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert yahoo.arrivals == []
    assert not (tmp_path / "s").exists()


def test_the_sample_can_be_fetched_into_a_store(tmp_path, capsys):
    status, _, _ = run(capsys, "fetch", "AAPL", "EURUSD", "--source", "sample", "--store", tmp_path)
    assert status == 0
    assert PriceStore(tmp_path).tickers() == ("AAPL", "EURUSD")


def tiny(**universe):
    return make_experiment(
        TINY
        | {
            "universe": universe,
            "forecasters": {
                "models": ["historical_simulation", "random_walk"],
                "historical_simulation": {"paths": 128},
            },
            "verdict": {"recommended": "random_walk"},
        }
    )


@pytest.mark.slow
def test_a_backtest_on_yfinance_end_to_end(yahoo, tmp_path, capsys):
    """Fetched through the store, and the run says which version of each ticker it saw."""
    store, out, file = tmp_path / "prices", tmp_path / "run", tmp_path / "tiny.json"
    file.write_text(tiny(store=str(store)).to_json())
    argv = ["--source", "yfinance", "--tickers", "ALPHA,DIVIDEND,MISSING", "--workers", "1", "--quiet", "--out", out]
    status, _, err = run(capsys, "backtest", file, *argv)
    assert status == 3, err
    check_report(out)
    told = manifest(out)
    assert told["tickers"]["MISSING"]["reason"].startswith("Yahoo knows no such ticker")
    kept = PriceStore(store).read("DIVIDEND")
    assert told["tickers"]["DIVIDEND"]["fetched_at"] == kept.version.fetched_at
    assert told["prices"]["DIVIDEND"] == as_history(kept).sha256
    pinned = json.loads((out / "experiment.json").read_text())["universe"]["as_of"]
    assert datetime.fromisoformat(pinned) == max(
        datetime.fromisoformat(told["tickers"][t]["fetched_at"]) for t in ("ALPHA", "DIVIDEND")
    )


@pytest.mark.slow
def test_a_run_can_be_repeated_on_the_bars_it_saw(yahoo, tmp_path, capsys):
    """From its own experiment.json, after Yahoo tells another story and the store has it too: the same numbers."""
    store, first, again = tmp_path / "prices", tmp_path / "run", tmp_path / "again"
    asked = tiny(source="yfinance", tickers=["ALPHA", "DIVIDEND"], store=str(store))
    _, before = study.backtest(asked, first, workers=0)
    for ticker in ("ALPHA", "DIVIDEND"):
        yahoo.stock(ticker).close = yahoo.stock(ticker).close * 1.5
    run(capsys, "fetch", "ALPHA", "DIVIDEND", "--store", store, "--anew", *RATE)
    assert len(PriceStore(store).versions("ALPHA")) == 2
    requests = len(yahoo.arrivals)
    experiment = build_experiment(first / "experiment.json", [])
    _, after = study.backtest(experiment, again, workers=0)
    assert len(yahoo.arrivals) == requests
    assert manifest(again)["prices"] == manifest(first)["prices"]
    pd.testing.assert_frame_equal(after.scores, before.scores)
    assert (again / "experiment.json").read_text() == (first / "experiment.json").read_text()
    now = load_universe(Universe(source=f"store:{store}"))
    assert {h.ticker for h in now.histories} == {"ALPHA", "DIVIDEND"}
    assert now.histories[0].sha256 != before.histories["ALPHA"].sha256


def test_an_interruption_does_not_wait_for_a_source_that_asks_to_wait(yahoo, tmp_path):
    yahoo.retry_after = "200"
    command = [*COMMAND, "fetch", "LIMITED1", "LIMITED2", "LIMITED3", "--store", str(tmp_path / "s"), *RATE]
    told = environment() | {SERVER: yahoo.url}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=told, preexec_fn=hears_interrupts)
    while not yahoo.limited:
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)  # seconds, were the machine not busy
    assert process.returncode == 130
    assert said.endswith("interrupted; what was stored stays, and the same command goes on\n")
    for lock in (tmp_path / "s").rglob("lock"):
        with locked(lock, wait=False) as mine:
            assert mine


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_bars_it_began_with(yahoo, tmp_path, monkeypatch):
    """The same command with --out resumes, though the store holds other bars by then."""
    store, out = tmp_path / "prices", tmp_path / "run"
    asked = tiny(source="yfinance", tickers=["ALPHA", "DIVIDEND"], store=str(store))
    with monkeypatch.context() as patch:
        patch.setattr("s2squant.study.Run.finish", lambda self: (_ for _ in ()).throw(RuntimeError("planted")))
        with pytest.raises(RuntimeError, match="planted"):
            study.backtest(asked, out, workers=0)
    begun = PriceStore(store).read("ALPHA")
    later = Bars(begun.bars.times, {name: values * 1.01 for name, values in begun.bars.columns.items()})
    with PriceStore(store).locked("ALPHA"):
        PriceStore(store).write(begun.about, later, after=begun, fetched_at=datetime.now(UTC), start="", added=0)
    with pytest.raises(RunError, match="parts of a different run"):
        study.backtest(asked.model_copy(update={"seed": 1}), out, workers=0)
    _, finished = study.backtest(asked, out, workers=0)
    assert finished.histories["ALPHA"].sha256 == as_history(begun).sha256
    assert finished.experiment.universe.as_of == max(
        datetime.fromisoformat(h.fetched_at) for h in finished.histories.values()
    )
