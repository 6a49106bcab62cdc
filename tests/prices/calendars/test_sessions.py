"""Which session a run is about, and until when a forecast from it speaks of the future."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from s2squant.prices.calendars.sessions import deadline, due_session, local_day, sessions_after


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("calendar", "when", "due", "until"),
    [
        ("XNYS", "2026-11-20T17:30-05:00", "2026-11-20", "2026-11-23T09:30-05:00"),
        ("XNYS", "2026-11-20T16:20-05:00", "2026-11-19", "2026-11-20T09:30-05:00"),  # not settled yet
        ("XNYS", "2026-11-26T17:30-05:00", "2026-11-25", "2026-11-27T09:30-05:00"),  # Thanksgiving
        ("XNYS", "2026-11-27T13:45-05:00", "2026-11-27", "2026-11-30T09:30-05:00"),  # closed at one o'clock
        ("XNYS", "2026-03-06T17:30-05:00", "2026-03-06", "2026-03-09T09:30-04:00"),  # clocks go forward in between
        ("XTKS", "2026-11-20T17:00+09:00", "2026-11-20", "2026-11-24T09:00+09:00"),  # Monday is a holiday there
        ("XETR", "2026-11-20T19:00+01:00", "2026-11-20", "2026-11-23T09:00+01:00"),
        ("ECB", "2026-11-20T17:30+01:00", "2026-11-20", "2026-11-20T22:00+01:00"),
        ("24/7", "2026-11-21T00:40+00:00", "2026-11-20", "2026-11-21T06:00+00:00"),
        ("XTAE", "2026-11-19T20:00+02:00", "2026-11-19", "2026-11-20T09:59+02:00"),
    ],
)
def test_due_session_and_its_deadline(calendar: str, when: str, due: str, until: str) -> None:
    session = due_session(calendar, at(when))
    assert str(session) == due
    assert abs(deadline(calendar, session) - at(until)) <= timedelta(minutes=1)


def test_unknown_calendars_count_weekdays() -> None:
    assert str(due_session("NOPE", at("2026-11-22T12:00+00:00"))) == "2026-11-20"
    assert deadline("NOPE", np.datetime64("2026-11-20")) == datetime(2026, 11, 21, 6, tzinfo=UTC)


def test_sessions_in_between() -> None:
    found = sessions_after("XNYS", np.datetime64("2026-11-20"), np.datetime64("2026-12-01"))
    assert [str(day) for day in found] == ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-27", "2026-11-30"]
    assert len(sessions_after("XNYS", np.datetime64("2026-11-20"), np.datetime64("2026-11-23"))) == 0


def test_the_day_is_the_exchange_s_own() -> None:
    late = at("2026-11-21T01:00+00:00")  # Friday evening in New York, Saturday morning in Tokyo and London
    others = ("XTKS", "ECB", "24/7", "NOPE")
    assert str(local_day("XNYS", late)) == "2026-11-20"
    assert {str(local_day(code, late)) for code in others} == {"2026-11-21"}
