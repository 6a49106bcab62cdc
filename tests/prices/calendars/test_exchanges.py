"""Calendars against days that were, and will be, closed; the expected dates are written out, not computed."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import ConfigError
from s2squant.prices.calendars.exchanges import exchange_sessions, is_settled, next_sessions, sessions_between
from s2squant.prices.universe import load_ticker, open_source


def days(*texts):
    return np.array(texts, "datetime64[D]")


def every_weekday(first, last):
    span = np.arange(first, last, dtype="datetime64[D]")
    return span[np.is_busday(span)]


def test_new_york_closes_on_thanksgiving_and_christmas():
    got = next_sessions("XNYS", np.datetime64("2026-11-24"), 3)
    np.testing.assert_array_equal(got, days("2026-11-25", "2026-11-27", "2026-11-30"))
    got = next_sessions("XNYS", np.datetime64("2026-12-23"), 6)
    expected = days("2026-12-24", "2026-12-28", "2026-12-29", "2026-12-30", "2026-12-31", "2027-01-04")
    np.testing.assert_array_equal(got, expected)


def test_new_york_in_the_past_and_from_a_day_without_session():
    got = next_sessions("XNYS", np.datetime64("2001-09-10"), 2)
    np.testing.assert_array_equal(got, days("2001-09-17", "2001-09-18"))
    np.testing.assert_array_equal(next_sessions("XNYS", np.datetime64("2026-11-21"), 1), days("2026-11-23"))


@pytest.mark.parametrize("after", ["1950-01-03", "2090-05-05"])
def test_weekdays_where_no_calendar_reaches(after):
    got = next_sessions("XNYS", np.datetime64(after), 30)
    assert len(got) == 30
    assert np.is_busday(got).all()
    assert got[0] > np.datetime64(after)
    assert (np.diff(got) > np.timedelta64(0)).all()


def test_weekdays_after_the_last_known_session():
    last = next_sessions("XNYS", np.datetime64("2026-11-20"), 600)
    assert len(np.unique(last)) == 600
    assert (np.diff(last).astype(int) <= 5).all()


def test_ecb_closes_on_target_holidays():
    got = next_sessions("ECB", np.datetime64("2026-04-01"), 3)
    np.testing.assert_array_equal(got, days("2026-04-02", "2026-04-07", "2026-04-08"))
    got = next_sessions("ECB", np.datetime64("2026-12-23"), 3)
    np.testing.assert_array_equal(got, days("2026-12-24", "2026-12-28", "2026-12-29"))
    np.testing.assert_array_equal(next_sessions("ECB", np.datetime64("2026-04-30"), 1), days("2026-05-04"))
    np.testing.assert_array_equal(next_sessions("ECB", np.datetime64("2038-04-22"), 1), days("2038-04-27"))


def test_around_the_clock():
    got = next_sessions("24/7", np.datetime64("2026-12-24"), 3)
    np.testing.assert_array_equal(got, days("2026-12-25", "2026-12-26", "2026-12-27"))
    got = next_sessions("24/5", np.datetime64("2026-12-24"), 3)
    np.testing.assert_array_equal(got, days("2026-12-25", "2026-12-28", "2026-12-29"))
    np.testing.assert_array_equal(next_sessions("NOWHERE", np.datetime64("2026-12-25"), 1), days("2026-12-28"))
    with pytest.raises(ValueError, match="at least one"):
        next_sessions("24/7", np.datetime64("2026-12-24"), 0)


def test_sessions_do_not_depend_on_when_they_are_asked():
    one_by_one, day = [], np.datetime64("2026-11-20")
    for _ in range(40):
        (day,) = next_sessions("XLON", day, 1)
        one_by_one.append(day)
    np.testing.assert_array_equal(next_sessions("XLON", np.datetime64("2026-11-20"), 40), one_by_one)


def test_a_calendar_named_by_the_user_comes_before_the_guess():
    source = open_source("sample")
    assert load_ticker(source, "IBM", Universe()).calendar == "XNYS"
    chosen = load_ticker(source, "IBM", Universe(calendars={"IBM": "XLON"}))
    assert chosen.calendar == "XLON"
    assert {f.name for f in chosen.findings} == {"missing session", "extra session"}
    assert load_ticker(source, "MSFT", Universe(calendars={"IBM": "XLON"})).calendar == "XNYS"
    with pytest.raises(ConfigError, match="no calendar is called 'XNYSE'; did you mean XNYS"):
        load_ticker(source, "IBM", Universe(calendars={"IBM": "XNYSE"}))


def test_sessions_between_two_days():
    got = sessions_between("XNYS", "2026-11-25", "2026-11-30")
    np.testing.assert_array_equal(got, days("2026-11-25", "2026-11-27", "2026-11-30"))
    got = sessions_between("24/5", "2026-12-24", "2026-12-28")
    np.testing.assert_array_equal(got, days("2026-12-24", "2026-12-25", "2026-12-28"))
    np.testing.assert_array_equal(sessions_between("ECB", "2026-12-24", "2026-12-28"), days("2026-12-24", "2026-12-28"))
    assert len(sessions_between("24/7", "2026-01-01", "2026-12-31")) == 365
    assert len(sessions_between("NOWHERE", "2026-01-01", "2026-12-31")) == 0
    assert len(sessions_between("XNYS", "1800-01-01", "1801-01-01")) == 0


def test_the_steps_of_a_forecast_are_sessions_to_come():
    """From Friday 2026-11-20: Thanksgiving is closed, the half day after it is a session, Christmas is closed."""
    steps = next_sessions("XNYS", "2026-11-20", 25)
    assert not {"2026-11-26", "2026-12-25", "2026-11-21"} & {str(day) for day in steps}
    assert {"2026-11-27", "2026-12-24"} <= {str(day) for day in steps}
    assert str(next_sessions("XTKS", "2026-12-30", 1)[0]) == "2027-01-04"


def test_a_bar_is_final_half_an_hour_after_the_close():
    # New York closes at 16:00, 21:00 UTC in winter, and at 13:00 on the day after Thanksgiving
    assert not is_settled("XNYS", "2026-11-20", datetime(2026, 11, 20, 21, 29, tzinfo=UTC))
    assert is_settled("XNYS", "2026-11-20", datetime(2026, 11, 20, 21, 30, tzinfo=UTC))
    assert is_settled("XNYS", "2026-11-27", datetime(2026, 11, 27, 18, 30, tzinfo=UTC))
    assert not is_settled("24/7", "2026-11-20", datetime(2026, 11, 20, 23, 59, tzinfo=UTC))
    assert is_settled("24/7", "2026-11-20", datetime(2026, 11, 21, 1, 0, tzinfo=UTC))


@pytest.mark.parametrize(("calendar", "closed"), [("XSHG", ["10-01", "01-01"]), ("XBOM", ["01-26", "08-15", "10-02"])])
def test_beyond_what_is_known_the_days_closed_every_year_are_no_sessions(calendar, closed):
    last = exchange_sessions(calendar)[-1]
    ahead = next_sessions(calendar, last, 600)
    assert (np.diff(ahead).astype(int) > 0).all()
    assert np.is_busday(ahead).all()
    assert not {str(day)[5:] for day in ahead} & set(closed)
    assert len(ahead) > 0.97 * np.busday_count(ahead[0], ahead[-1])
