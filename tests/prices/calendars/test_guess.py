"""Which calendar a ticker is given: by name, by code, by its dates; and that no market mixes places."""

from __future__ import annotations

import exchange_calendars
import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Universe
from s2squant.prices.calendars.exchanges import find_exchange, sessions_between
from s2squant.prices.calendars.guess import ALONE, YAHOO_EXCHANGES, YAHOO_SUFFIXES, guess_calendar, is_currency
from s2squant.prices.universe import load_universe, open_source
from s2squant.runs.plan import by_market


def days(*texts):
    return np.array(texts, "datetime64[D]")


def every_weekday(first, last):
    span = np.arange(first, last, dtype="datetime64[D]")
    return span[np.is_busday(span)]


@pytest.mark.parametrize(
    ("ticker", "calendar"),
    [
        ("VOD.L", "XLON"),
        ("SAP.DE", "XETR"),
        ("7203.T", "XTKS"),
        ("AIR.PA", "XPAR"),
        ("2330.TW", "XTAI"),
        ("6488.TWO", "XTAI"),
        ("BTC-USD", "24/7"),
        ("EURUSD=X", "24/5"),
        ("BRK-B", "XNYS"),
        ("BAC.PR.L", "XNYS"),
        ("CEZ.PR", "XPRA"),
        ("^N225.T", "XTKS"),
        ("AAPL", "XNYS"),
    ],
)
def test_guess_by_name(ticker, calendar):
    assert guess_calendar(ticker, days()) == calendar


@pytest.mark.parametrize(
    ("ticker", "exchange", "calendar"),
    [
        ("AAPL", "NMS", "XNYS"),
        ("^GDAXI", "GER", "XETR"),
        ("^FTSE", "FGI", "XLON"),
        ("^N225", "OSA", "XTKS"),
        ("SOL1", "CCC", "24/7"),
        ("EURUSD=X", "CCY", "24/5"),
        ("VOD.L", "NMS", "XLON"),  # the suffix is part of the name, the code is only told
        ("AAPL", "NEVER HEARD", "XNYS"),
    ],
)
def test_guess_by_the_code_of_the_exchange(ticker, exchange, calendar):
    assert guess_calendar(ticker, days(), exchange) == calendar


def test_guess_by_dates():
    everyday = np.arange("2024-01-01", "2024-12-31", dtype="datetime64[D]")
    assert guess_calendar("COIN", everyday) == "24/7"
    assert guess_calendar("X", open_source("sample").history("IBM").dates) == "XNYS"
    assert guess_calendar("X", open_source("sample").history("EURUSD").dates) == "ECB"
    assert guess_calendar("X", every_weekday("2015-01-01", "2025-01-01")) == "24/5"
    assert guess_calendar("X", days("2024-01-02", "2024-01-03")) == "XNYS"


def test_every_suffix_names_a_calendar_that_exists():
    known = {*exchange_calendars.get_calendar_names(), "24/5", "24/7"}
    assert set(YAHOO_SUFFIXES.values()) | set(YAHOO_EXCHANGES.values()) <= known


REAL = "XNYS XLON XETR XPAR XSWX XMIL XTKS XHKG XSHG XASX XTSE XKRX XTAI XBOM BVMF XSTO CMES"


@pytest.mark.parametrize("calendar", REAL.split())
@pytest.mark.parametrize("span", [("2010-01-01", "2022-12-31"), ("2018-06-01", "2020-12-31")])
def test_sessions_of_real_exchanges_are_recognised(calendar, span):
    """Whole, with holes of one and two in a hundred, and with a year's hole in the middle."""
    sessions = sessions_between(calendar, *span)
    rng = np.random.default_rng(1)
    assert guess_calendar("ACME", sessions) == calendar
    for share in (0.01, 0.02):
        assert guess_calendar("ACME", sessions[rng.random(len(sessions)) >= share]) == calendar
    middle = np.abs(sessions - sessions[len(sessions) // 2]) > np.timedelta64(60, "D")
    assert guess_calendar("ACME", sessions[middle]) == calendar


def test_a_suspicious_name_is_no_currency():
    assert [name for name in ("EURUSD", "eur-usd", "EUR_JPY", "USD", "XAUUSD", "DEXUSEU", "TOTAL", "IBM", "SAPEUR")
            if is_currency(name)] == ["EURUSD", "eur-usd", "EUR_JPY", "USD", "XAUUSD"]  # fmt: skip
    assert guess_calendar("COP", sessions_between("XNYS", "2012-01-01", "2022-12-31")) == "XNYS"  # ConocoPhillips


def test_the_ecb_and_paris_keep_the_same_days_and_the_name_decides():
    closings = sessions_between("ECB", "2010-01-01", "2022-12-31")
    np.testing.assert_array_equal(closings, sessions_between("XPAR", "2010-01-01", "2022-12-31"))
    assert guess_calendar("EURUSD", closings) == "ECB"
    assert guess_calendar("TOTAL", closings) == "XPAR"


def test_currencies_of_five_days_may_have_holes_and_sundays():
    week, rng = every_weekday("2015-01-01", "2023-01-01"), np.random.default_rng(2)
    rest = week[~np.isin(week.astype(str), [f"{y}-{d}" for y in range(2015, 2023) for d in ("12-25", "01-01")])]
    sundays = np.arange("2015-01-04", "2023-01-01", 7, dtype="datetime64[D]")
    for dates in (rest, rest[rng.random(len(rest)) >= 0.02], np.union1d(rest, sundays)):
        assert guess_calendar("EURUSD", dates) == "24/5"


@pytest.mark.parametrize("exchange", ["XKAR", "XMOS", "XBOG", "AIXK"])
def test_an_exchange_that_is_not_tried_shares_no_market(exchange):
    sessions = sessions_between(exchange, "2018-01-01", "2021-12-31")
    assert guess_calendar("ONE", sessions) == ALONE + "ONE"
    assert guess_calendar("TWO", sessions) == ALONE + "TWO"


def test_what_fits_nothing_is_told(tmp_path):
    sessions = sessions_between("XBOG", "2018-01-01", "2021-12-31")
    write(tmp_path, "LOCAL", sessions)
    write(tmp_path, "HALF", sessions_between("XNYS", "2012-01-01", "2021-12-31")[::2])
    loaded = {h.ticker: h for h in load_universe(Universe(source=f"csv:{tmp_path}")).histories}
    for ticker, history in loaded.items():
        assert history.calendar == ALONE + ticker
        told = [f.text for f in history.findings if f.name == "unknown calendar"]
        assert len(told) == 1
        assert told[0].endswith("forecast in a market of its own: name its calendar in universe.calendars")
    named = Universe(source=f"csv:{tmp_path}", tickers=("LOCAL",), calendars={"LOCAL": "XBOG"})
    (history,) = load_universe(named).histories
    assert (history.calendar, {f.name for f in history.findings} & {"unknown calendar", "extra session"}) == (
        "XBOG",
        set(),
    )


def test_tokyo_and_new_york_in_one_folder_share_no_market(tmp_path):
    """Tokyo's bar of a date is fourteen hours older than New York's of the same date, which it must not read."""
    for k in range(3):
        write(tmp_path, f"NYA{k}", sessions_between("XNYS", "2012-01-01", "2021-12-31"))
        write(tmp_path, f"TYO{k}", sessions_between("XTKS", "2012-01-01", "2021-12-31"))
    markets = by_market(load_universe(Universe(source=f"csv:{tmp_path}")).histories)
    assert {m: [h.ticker for h in members] for m, members in markets.items()} == {
        "XNYS": ["NYA0", "NYA1", "NYA2"],
        "XTKS": ["TYO0", "TYO1", "TYO2"],
    }


def test_a_calendar_that_cannot_be_made_is_none():
    assert find_exchange("ASEX") is None
    assert find_exchange(ALONE + "ACME") is None


def write(folder, ticker, dates):
    closes = 100 * np.exp(0.01 * np.random.default_rng(3).standard_normal(len(dates)).cumsum())
    pd.DataFrame({"Date": dates, "Close": closes}).to_csv(folder / f"{ticker}.csv", index=False)
