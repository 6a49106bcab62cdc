"""Bars within the day: the session grid, how stamps are read, what is checked, and coarser bars made of them."""

from datetime import UTC, datetime
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from s2squant.config.covariates import BuiltIn
from s2squant.config.experiment import Universe
from s2squant.errors import PriceError
from s2squant.prices.calendars.grid import bar_ends, bar_grid, next_bars
from s2squant.prices.covariates.built_in import built_in
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.sources.moments import Clock
from s2squant.prices.universe import load_ticker

LATER = datetime(2030, 1, 1, tzinfo=UTC)


def moment(text):
    return np.datetime64(text, "s")


def grid(market, first, last):
    return bar_grid(market, np.datetime64(first), np.datetime64(last))


def bars(market="1h:XNYS", first="2024-10-01", last="2025-04-30", seed=0):
    """A table of a random walk on every scheduled bar, stamped in UTC with its zone."""
    starts = grid(market, first, last).starts
    close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.002, len(starts))))
    return pd.DataFrame({"Datetime": pd.DatetimeIndex(starts, tz="UTC"), "Close": close, "Volume": 1000.0})


def load(frame, ticker="AAPL", clock=None, **settings):
    return load_ticker(FrameSource({ticker: frame}, clock=clock), ticker, Universe(**settings), LATER)


def test_sessions_have_summer_time_half_days_and_breaks():
    summer, winter = grid("1h:XNYS", "2024-11-01", "2024-11-01"), grid("1h:XNYS", "2024-11-04", "2024-11-04")
    assert (str(summer.starts[0]), str(winter.starts[0])) == ("2024-11-01T13:30:00", "2024-11-04T14:30:00")
    half = grid("1h:XNYS", "2024-11-29", "2024-11-29")  # the day after Thanksgiving ends at 13:00
    assert (len(half.starts), str(half.ends[-1]), half.slots.tolist()) == (4, "2024-11-29T18:00:00", [0, 1, 2, 3])
    tokyo = grid("1h:XTKS", "2024-06-03", "2024-06-03")  # 9:00 to 11:30 and 12:30 to 15:00, nine hours east
    assert [str(start)[11:16] for start in tokyo.starts] == ["00:00", "01:00", "02:00", "03:30", "04:30", "05:30"]
    assert [str(end)[11:16] for end in tokyo.ends] == ["01:00", "02:00", "02:30", "04:30", "05:30", "06:00"]
    assert not tokyo.first.any()  # noon is no night


def test_the_next_bar_after_friday_s_last_is_monday_s_first():
    after = next_bars("1h:XNYS", moment("2024-11-01T19:30"), 2)
    assert [str(at) for at in after] == ["2024-11-04T14:30:00", "2024-11-04T15:30:00"]
    assert str(bar_ends("1h:XNYS", moment("2024-11-01T19:30")[None])[0]) == "2024-11-01T20:00:00"
    assert str(next_bars("1h:24/5", moment("2024-11-01T20:00"), 1)[0]) == "2024-11-03T22:00:00"
    assert str(next_bars("1h:24/7", moment("2024-11-01T23:00"), 1)[0]) == "2024-11-02T00:00:00"


def seconds(column):
    return column.dt.tz_localize(None).to_numpy().astype("datetime64[s]")


def naive(frame, zone):
    return frame.assign(Datetime=frame["Datetime"].dt.tz_convert(zone).dt.tz_localize(None))


@pytest.mark.parametrize(
    ("ticker", "market", "zone"),
    [
        ("AAPL", "1h:XNYS", "America/New_York"),
        ("AAPL", "1h:XNYS", "UTC"),
        ("7203.T", "1h:XTKS", "Asia/Tokyo"),
        ("EURUSD", "1h:24/5", "Europe/London"),
        ("BTC-USD", "1h:24/7", "UTC"),
        ("AAPL", "1h@clock:XNYS", "America/New_York"),
    ],
)
def test_stamps_without_a_zone_are_read_so_that_bars_lie_within_the_hours(ticker, market, zone):
    frame = bars(market)
    read = load(naive(frame, zone), ticker)
    assert (read.calendar, len(read)) == (market, len(frame))
    np.testing.assert_array_equal(read.dates, seconds(frame["Datetime"]))


@pytest.mark.parametrize("form", ["%Y-%m-%d %I-%p", "%Y-%m-%d|%H:%M", "%Y.%m.%d|%H:%M:%S"])
def test_hours_with_a_half_of_the_day_or_in_a_column_of_their_own_are_read(form):
    starts = grid("1h:24/7", "2024-03-01", "2024-03-20").starts
    stamps = pd.DatetimeIndex(starts).strftime(form)
    close = 100 + np.arange(len(stamps)) % 7
    table = {"Date": stamps, "Close": close}
    if "|" in form:
        parts = stamps.str.split("|")
        table = {"Date": parts.str[0], "Time": parts.str[1], "Close": close}
    history = load(pd.DataFrame(table), "BTC-USD")
    assert history.calendar == "1h:24/7"
    assert (history.dates == starts).all()


def test_stamps_of_the_ends_are_told_and_named_by_the_beginnings():
    frame = bars()
    starts = seconds(frame["Datetime"])
    ends = frame.assign(Datetime=pd.DatetimeIndex(bar_ends("1h:XNYS", starts), tz="UTC"))
    read = load(ends)
    np.testing.assert_array_equal(read.dates, starts)
    assert "of the bars' ends" in next(f.text for f in read.findings if f.name == "interval")


def test_a_named_clock_is_taken_and_hours_that_fit_nothing_are_refused():
    frame = bars("1h:24/7", "2024-10-01", "2024-12-31")
    read = load(naive(frame, "Asia/Tokyo"), "BTC-USD", Clock("Asia/Tokyo"))
    np.testing.assert_array_equal(read.dates, seconds(frame["Datetime"]))
    with pytest.raises(PriceError, match=r"do not fit the trading hours of XTKS .*universe.calendars"):
        load(bars(), "AAPL.T")


def test_premarket_duplicates_a_late_print_and_missing_bars_are_told():
    frame = bars()
    early = frame.iloc[[14]].assign(Datetime=frame["Datetime"].iloc[14] - pd.Timedelta("3h"))
    frame = pd.concat([frame.drop(index=[50, 51]), frame.iloc[[60]], early])
    spike = frame.index.get_loc(100)
    frame.iloc[spike, 1] *= 1.2
    read = load(frame)
    found = {finding.name: finding for finding in read.findings}
    assert (found["outside hours"].count, found["duplicate"].count, found["missing bar"].count) == (1, 1, 2)
    assert found["reverting outlier"].severity == "warning"
    assert str(read.slots.bars.slot[:8]) == "[0 1 2 3 4 5 6 0]"


def test_a_session_without_bars_begins_a_segment_and_a_lone_missing_bar_does_not():
    frame = bars()
    assert load(frame.drop(index=[30])).resumed == ()
    assert load(frame.drop(index=range(30, 60))).resumed == (
        str(frame["Datetime"].dt.tz_localize(None)[60].isoformat()),
    )


def test_days_of_hours_are_the_sessions_and_no_minutes_are_made():
    frame = bars()
    days = load(frame, interval="1d")
    by_session = frame.groupby(frame["Datetime"].dt.tz_convert("America/New_York").dt.date)
    np.testing.assert_array_equal(days.adj_close, by_session["Close"].last().to_numpy())
    np.testing.assert_array_equal(days.bars["volume"], by_session["Volume"].sum().to_numpy())
    assert (days.calendar, days.slots) == ("XNYS", None)
    assert len(load(frame.iloc[:-3], interval="1d")) == len(days) - 1  # its last session is not whole
    with pytest.raises(PriceError, match=r"its bars are 1h, which make no 5m; set universe\.interval=1h"):
        load(frame, interval="5m")


@pytest.mark.parametrize("name", get_args(BuiltIn))
def test_a_covariate_of_the_calendar_is_that_of_the_bar_s_session(name):
    hours = grid("1h:XNYS", "2024-11-20", "2024-12-31")
    days, bar = np.unique(hours.sessions, return_inverse=True)
    values = built_in(name, "1h:XNYS", hours.starts)
    assert np.array_equal(values, built_in(name, "XNYS", days)[bar])
    if name == "half_day":
        early = np.unique(hours.sessions[values == 1])
        assert early.astype(str).tolist() == ["2024-11-29", "2024-12-24"]
