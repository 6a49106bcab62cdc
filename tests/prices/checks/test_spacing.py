"""Weekly and monthly bars: told by their dates, and their next are weeks and months on."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import ConfigError, PriceError
from s2squant.prices.calendars.exchanges import check_calendar, closes_at, next_sessions, sessions_between
from s2squant.prices.sources.continued import ContinuedSource
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.universe import load_from, load_ticker

NOW = datetime(2025, 7, 10, 12, tzinfo=UTC)  # a Thursday
FRIDAYS = np.arange("2011-07-29", "2025-07-05", 7, dtype="datetime64[D]")
MONTHS = np.arange("1993-09", "2025-07", dtype="datetime64[M]").astype("datetime64[D]")


def frame(days):
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(0.03 * rng.standard_normal(len(days))))
    return pd.DataFrame({"Date": days, "Open": close, "High": close * 1.02, "Low": close / 1.02, "Close": close})


def read(days, ticker="ACME", now=NOW, **universe):
    return load_ticker(FrameSource({ticker: frame(days)}), ticker, Universe(**universe), now)


def names(history):
    return {f.name for f in history.findings}


def weeks(calendar, first="2011-07-25", last="2025-07-04"):
    """The last session of each week, by pandas."""
    days = pd.Series(sessions_between(calendar, first, last))
    return days.groupby(days.dt.to_period("W-SUN")).max().to_numpy().astype("datetime64[D]")


@pytest.mark.parametrize("label", [-4, 0, 1], ids=["Monday", "Friday", "Saturday"])
def test_weekly_bars_have_the_date_of_their_last_session(label):
    history = read(FRIDAYS + label)
    assert history.calendar == "weekly:XNYS"
    np.testing.assert_array_equal(history.dates, weeks("XNYS"))
    assert "2014-07-03" in history.dates.astype(str)  # the fourth was a Friday
    assert names(history) == {"weekly or monthly"}
    upcoming = next_sessions(history.calendar, history.dates[-1], 26)
    np.testing.assert_array_equal(upcoming, weeks("XNYS", "2025-07-07", "2026-01-04"))


@pytest.mark.parametrize("label", ["first", "last", "last session"])
def test_monthly_bars_too(label):
    days = MONTHS if label == "first" else (MONTHS.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    if label == "last session":
        days = np.busday_offset(days, 0, roll="backward")
    history = read(days, "SAP.DE")
    assert history.calendar == "monthly:XETR"
    assert [str(day) for day in history.dates[[0, -1]]] == ["1993-09-30", "2025-06-30"]
    assert len(history) == len(MONTHS)
    upcoming = next_sessions(history.calendar, history.dates[-1], 6).astype(str).tolist()
    assert upcoming == ["2025-07-31", "2025-08-29", "2025-09-30", "2025-10-31", "2025-11-28", "2025-12-30"]


def test_a_coin_s_week_ends_on_sunday_and_a_currency_s_on_friday():
    assert read(FRIDAYS + 2, "BTC-USD").dates[0] == np.datetime64("2011-07-31")
    euro = read(FRIDAYS - 4, "EURUSD=X")
    assert (euro.calendar, str(euro.dates[0]), euro.asset_class) == ("weekly:24/5", "2011-07-29", "currencies")


def test_the_week_that_is_not_over_is_dropped():
    history = read(np.append(FRIDAYS, np.datetime64("2025-07-07")) - 4 * (np.arange(729) < 728))
    assert str(history.dates[-1]) == "2025-07-03"
    assert "unfinished bar" in names(history)
    over = datetime(2025, 7, 12, tzinfo=UTC)
    assert str(read(FRIDAYS + 3, now=over).dates[-1]) == "2025-07-11"


def test_the_last_bar_of_a_week_that_stands_twice_is_kept():
    history = read(np.append(FRIDAYS - 4, np.datetime64("2025-07-02")))
    assert len(history) == len(FRIDAYS)
    assert "duplicate" in names(history)


def test_the_user_s_calendar_is_that_of_the_weeks():
    history = read(FRIDAYS, calendars={"ACME": "XLON"})
    assert history.calendar == "weekly:XLON"
    assert str(history.dates[history.dates.astype(str) == "2012-04-05"][0]) == "2012-04-05"  # Good Friday came after
    assert check_calendar("weekly:XLON") == "weekly:XLON"
    with pytest.raises(ConfigError, match="did you mean XLON"):
        check_calendar("monthly:XLNO")


@pytest.mark.parametrize("label", [-5, -2], ids=["Sunday", "Wednesday"])
def test_a_day_that_may_begin_or_end_a_week_is_refused(label):
    with pytest.raises(PriceError, match="which may begin or end their week; date them by their last session"):
        read(FRIDAYS + label)


def test_two_spacings_in_one_file_are_refused():
    daily = sessions_between("XNYS", "2012-01-03", "2012-12-31")
    for days in (np.union1d(FRIDAYS[:20], daily), np.union1d(daily, FRIDAYS[-100:])):
        with pytest.raises(PriceError, match="and of another spacing on the other; keep those of one spacing"):
            read(days)


def test_daily_bars_with_holes_stay_daily():
    rng = np.random.default_rng(1)
    days = sessions_between("XSHG", "2012-01-03", "2022-12-31")
    assert read(days[rng.random(len(days)) > 0.3], "600000.SS").calendar == "XSHG"


def test_a_week_s_bar_is_final_when_its_last_session_is():
    assert closes_at("weekly:XNYS", "2024-07-05") == closes_at("XNYS", "2024-07-05")
    assert next_sessions("monthly:24/7", "2024-01-31", 2).astype(str).tolist() == ["2024-02-29", "2024-03-31"]
    assert next_sessions("weekly:none", "2024-01-05", 2).astype(str).tolist() == ["2024-01-12", "2024-01-19"]


def test_newer_weeks_continue_those_of_a_fit():
    fitted = read(FRIDAYS[:-10] - 4)
    newer = frame(FRIDAYS - 4).iloc[-12:]
    source = ContinuedSource(FrameSource({"ACME": newer}), {"ACME": fitted}, need=100)
    (joined,) = load_from(source, Universe()).histories
    assert joined.calendar == "weekly:XNYS"
    np.testing.assert_array_equal(joined.dates, weeks("XNYS"))
