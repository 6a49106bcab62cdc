"""Tables as people keep them: every repair is noted, every doubt is refused in one line with the remedy."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from s2squant.errors import PriceError
from s2squant.prices.checks.impossible import impossible
from s2squant.prices.sources.table import from_frame

DAYS = ["2024-01-02", "2024-01-03", "2024-01-04"]


def read(frame, **settings):
    return from_frame(pd.DataFrame(frame), "T", source="test", **settings)


def said(history):
    return [f"{f.severity} {f.name} {f.count} {f.done}: {f.text}" for f in history.findings]


def test_reads_yahoo_headings():
    columns = {"Open": 1.0, "High": 3.0, "Low": 0.5, "Close": 2.0, "Adj Close": [1.0, 1.1, 1.2], "Volume": 7}
    history = read({"Date": DAYS, **columns})
    assert list(history.bars) == ["open", "high", "low", "close", "volume"]
    np.testing.assert_array_equal(history.adj_close, [1.0, 1.1, 1.2])
    np.testing.assert_array_equal(history.bars["close"], 2.0)
    assert [str(d) for d in history.dates] == DAYS
    assert history.findings == ()


@pytest.mark.parametrize(
    "heading",
    ["Adj Close", "adj_close", "ADJ CLOSE", "Adj_Close", "Adjusted Close", "close", "y", "Close*", "4. close"],
)
def test_price_headings(heading):
    assert read({"ds": DAYS, heading: [1.0, 2.0, 3.0]}).adj_close[2] == 3.0


def test_adjusted_close_goes_before_close():
    history = read({"Date": DAYS, "Close": [2.0, 4.0, 6.0], "Adj Close": [1.0, 2.0, 3.0]})
    assert history.adj_close[0] == 1.0
    assert history.bars["close"][0] == 2.0


@pytest.mark.parametrize(
    "heading",
    ["AdjustedClose", "Adj. Close", "adj-close", "Close (adj)", "adjClose", "Adj Close**", "5. adjusted close"],
)
def test_an_adjusted_close_is_known_however_it_is_spelt(heading):
    history = read({"Date": DAYS, "Close": [2.0, 4.0, 6.0], heading: [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(history.adj_close, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(history.bars["close"], [2.0, 4.0, 6.0])
    assert (history.findings, history.notes) == ((), ())


def test_two_spellings_of_the_adjusted_close_are_one_too_many():
    with pytest.raises(PriceError, match="two columns are called adj-close; keep one"):
        read({"Date": DAYS, "Adj Close": [1.0, 2.0, 3.0], "adj-close": [1.0, 2.0, 3.0]})


def test_a_close_that_is_used_as_it_is_is_told():
    history = read({"Date": DAYS, "Close": [2.0, 4.0, 6.0], "Px adj": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(history.adj_close, [2.0, 4.0, 6.0])
    assert said(history) == [
        "note unknown heading 1 kept: "
        "Close is used, and 'Px adj' is not known as the adjusted close; call it Adj Close if it is"
    ]
    plain = read({"Date": DAYS, "Close": [2.0, 4.0, 6.0]})
    assert (plain.findings, plain.notes) == ((), ("no adjusted close is given; Close is taken for it",))
    assert read({"ds": DAYS, "y": [2.0, 4.0, 6.0]}).notes == ()


@pytest.mark.parametrize(
    "dates",
    [
        pd.to_datetime(DAYS),
        pd.to_datetime(DAYS).tz_localize("America/New_York"),
        pd.to_datetime(DAYS).tz_localize("Asia/Tokyo"),
        [date.fromisoformat(d) for d in DAYS],
        [20240102, 20240103, 20240104],
        ["2024/01/02", "2024/01/03", "2024/01/04"],
        ["2024-01-02 00:00:00+01:00", "2024-01-03T00:00:00-05:00", "2024-01-04 16:00"],
    ],
)
def test_dates_keep_their_calendar_day(dates):
    assert [str(d) for d in read({"Date": dates, "Close": [1.0, 2.0, 3.0]}).dates] == DAYS


@pytest.mark.parametrize("name", ["Date", None, "when"])
def test_dates_may_be_the_index(name):
    frame = pd.DataFrame({"Close": [1.0, 2.0, 3.0]}, index=pd.DatetimeIndex(DAYS, name=name))
    assert [str(d) for d in read(frame).dates] == DAYS


def test_first_column_serves_as_date():
    assert len(read({"Day": DAYS, "Close": [1.0, 2.0, 3.0]})) == 3


def test_sorts_and_says_so():
    history = read({"Date": DAYS[::-1], "Close": [3.0, 2.0, 1.0]})
    np.testing.assert_array_equal(history.adj_close, [1.0, 2.0, 3.0])
    assert said(history) == ["note order 2 sorted: rows were not in order of date; sorted"]


def test_drops_exact_duplicates_and_rows_without_a_price():
    history = read({"Date": [*DAYS, DAYS[1], "2024-01-05"], "Close": [1.0, 2.0, 3.0, 2.0, np.nan]})
    assert len(history) == 3
    assert said(history) == [
        "note missing price 1 dropped: 1 row(s) without a price dropped, the first on 2024-01-05",
        "note duplicate 1 dropped: 1 duplicate row(s) dropped",
        "note order 1 sorted: rows were not in order of date; sorted",
    ]
    assert [f.rows for f in history.findings] == [("2024-01-05",), ("2024-01-03",), ("2024-01-03",)]


def test_sets_impossible_bar_values_aside():
    history = read({"Date": DAYS, "Close": [1.0, 2.0, 3.0], "Open": [0.0, 2.0, 3.0], "Volume": [5, -1, 5]})
    assert np.isnan(history.bars["open"][0])
    assert np.isnan(history.bars["volume"][1])
    assert said(history) == [
        "warning impossible value 1 set aside: 1 impossible value(s) of open set aside, the first on 2024-01-02",
        "warning impossible value 1 set aside: 1 impossible value(s) of volume set aside, the first on 2024-01-03",
    ]


def test_futures_may_cost_less_than_nothing():
    bars = {"Close": [1.0, -37.6, 10.0], "Open": [2.0, 18.0, -14.0], "Volume": [5, np.inf, 5]}
    history = from_frame(pd.DataFrame({"Date": DAYS, **bars}), "CL=F", source="test")
    assert list(history.adj_close) == [1.0, -37.6, 10.0]
    assert history.bars["open"][2] == -14.0
    assert [f.text for f in history.findings] == ["1 impossible value(s) of volume set aside, the first on 2024-01-03"]


def test_a_volume_of_nothing_is_no_volume():
    assert "volume" not in read({"Date": DAYS, "Close": [1.0, 2.0, 3.0], "Volume": [0, 0, 0]}).bars


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"Date": [], "Close": []}, "no rows"),
        ({"Date": DAYS, "Volume": [1, 2, 3]}, "no price column among Date, Volume; name one Adj Close or Close"),
        ({"Close": [1.0, 2.0, 3.0]}, "no date column"),
        ({"Date": ["2024-01-02", "soon", "2024-01-04"], "Close": 1.0}, "row 2: 'soon' is no date"),
        ({"Date": ["01/02/2024", "01/03/2024"], "Close": 1.0}, "write dates as YYYY-MM-DD"),
        ({"Date": ["2024-02-30", "2024-03-01"], "Close": 1.0}, "'2024-02-30' is no date"),
        ({"Date": [0, 1, 2], "Close": 1.0}, "row 1: '0' is no date"),
        ({"Date": DAYS, "Close": ["1.0", "1.234,50", "3"]}, "price is '1.234,50' on 2024-01-03; write plain numbers"),
        ({"Date": DAYS, "Close": 1.0, "Open": ["1", "x", "3"]}, "open is 'x' on 2024-01-03"),
        ({"Date": DAYS, "Close": [1.0, np.inf, 3.0]}, "price inf on 2024-01-03"),
        ({"Date": DAYS[:1], "Close": [1.0]}, "at least 2 are needed"),
        ({"Date": DAYS, "Close": [np.nan] * 3}, "no row holds a price"),
        ({"Date": [*DAYS, DAYS[1]], "Close": [1.0, 2.0, 3.0, 2.5]}, "2024-01-03 stands twice with different values"),
        ({"Date": DAYS, "Close": 1.0, "close": 2.0}, "two columns are called close"),
        ({"Price": ["Ticker", "Date", *DAYS], "Close": ["AAPL", None, "1", "2", "3"]}, "multi_level_index=False"),
    ],
)
def test_refuses(frame, message):
    with pytest.raises(PriceError) as caught:
        read(frame)
    assert message in caught.value.reason
    assert caught.value.ticker == "T"
    assert "\n" not in str(caught.value)


def test_rows_that_contradict_each_other_are_all_named():
    with pytest.raises(PriceError) as caught:
        read({"Date": [DAYS[0], *DAYS, DAYS[2]], "Close": [1.0, 1.1, 2.0, 3.0, 3.1]})
    assert [(f.name, f.severity, f.count, f.rows, f.done) for f in caught.value.findings] == [
        ("conflicting rows", "error", 2, ("2024-01-02", "2024-01-04"), "quarantined")
    ]


@pytest.mark.parametrize("signed", [False, True])
def test_what_passes_the_quick_look_is_what_the_schema_passes(signed):
    values = [1.0, 0.0, -1.0, np.nan, np.inf, -np.inf]
    for name in ("open", "volume"):
        for value in values:
            wrong = impossible({name: np.array([1.0, value])}, signed=signed).get(name, np.zeros(2, bool))
            sound = np.isnan(value) or (np.isfinite(value) and (value > 0 or (value == 0 and name == "volume")))
            sound = sound or (signed and name == "open" and np.isfinite(value))
            assert wrong.tolist() == [False, not sound], (name, value)


def test_the_sources_own_events_are_read():
    events = {"Dividends": [0.0, 0.25, 0.0], "Stock Splits": [0.0, 0.0, 2.0]}
    history = read({"Date": DAYS, "Close": [1.0, 2.0, 3.0], **events})
    np.testing.assert_array_equal(history.events["dividends"], events["Dividends"])
    np.testing.assert_array_equal(history.events["splits"], events["Stock Splits"])
    assert history.between(DAYS[1]).events["splits"].tolist() == [0.0, 2.0]
    bare = read({"Date": DAYS, "Close": [1.0, 2.0, 3.0], "Dividends": 0.0, "Stock Splits": 1.0})
    assert not bare.events
    assert bare.sha256 == read({"Date": DAYS, "Close": [1.0, 2.0, 3.0]}).sha256 != history.sha256


def test_an_event_of_a_row_without_a_price_goes_to_the_next_bar():
    days = ["2024-01-05", *DAYS]
    close, splits = [4.0, 1.0, np.nan, 3.0], [3.0, 0.0, 2.0, 0.0]
    history = read({"Date": days, "Close": close, "Stock Splits": splits, "Dividends": [np.nan, 0, 0.5, 0.25]})
    assert history.events["splits"].tolist() == [0.0, 2.0, 3.0]
    assert history.events["dividends"].tolist() == [0.0, 0.75, 0.0]


def test_impossible_events_are_set_aside():
    history = read({"Date": DAYS, "Close": [1.0, 2.0, 3.0], "Dividends": [0.5, -1.0, np.inf]})
    assert history.events["dividends"].tolist() == [0.5, 0.0, 0.0]
    assert [f.count for f in history.findings if f.name == "impossible value"] == [2]


def test_rows_of_one_day_that_differ_are_told_by_the_column():
    with pytest.raises(PriceError, match=r"2024-01-03 stands twice with different values \(values of open 2 and 3\)"):
        read({"Date": [*DAYS, DAYS[1]], "Close": [1.0, 2.0, 3.0, 2.0], "Open": [1.0, 2.0, 3.0, 3.0]})


def test_one_day_twice_with_the_same_prices_is_kept_once():
    history = read({"Date": [*DAYS, DAYS[1]], "Close": [1.0, 2.0, 3.0, 2.0], "Volume": [4, 5, 6, 7]})
    assert history.bars["volume"].tolist() == [4, 7, 6]
    text = "1 day(s) stand twice with the same prices but another volume, the first 2024-01-03; the last kept"
    assert [f.text for f in history.findings if f.name == "duplicate"] == [text]


def test_splits_may_be_written_as_ratios():
    history = read(
        {"Date": [*DAYS, "2024-01-05"], "Close": 1.0 + np.arange(4), "Split Ratio": ["4:1", "1/10", "", "3 for 2"]}
    )
    assert history.events["splits"].tolist() == [4.0, 0.1, 0.0, 1.5]


def test_an_adjusted_close_with_nothing_under_it_is_none():
    history = read({"Date": DAYS, "Close": [2.0, 4.0, 6.0], "Adj Close": [np.nan] * 3})
    assert history.adj_close.tolist() == [2.0, 4.0, 6.0]
