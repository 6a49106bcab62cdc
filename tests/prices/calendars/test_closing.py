"""When a market's day is over, on its own clock, in summer and in winter."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from s2squant.prices.calendars.closing import AFTER_CLOSE, Schedule, after_close, schedules_after
from s2squant.prices.calendars.exchanges import closes_at, sessions_between
from s2squant.prices.calendars.grid import bar_grid
from s2squant.prices.calendars.sessions import deadline, due_session


def days_of(field: str) -> set[int]:
    """Days of the week that a cron field names; Sunday is 0."""
    return numbers_of(field, 7)


def numbers_of(field: str, many: int) -> set[int]:
    """What a cron field names, of so many numbers from 0."""
    if field == "*":
        return set(range(many))
    first, dash, last = field.partition("-")
    return set(range(int(first), int(last) + 1)) if dash else {int(day) for day in field.split(",")}


def slots(schedule: Schedule, first: datetime, days: int) -> list[datetime]:
    minute, hour, _, _, weekdays = schedule.cron.split()
    zone = ZoneInfo(schedule.timezone)
    found = []
    for day in range(days):
        date = (first + timedelta(days=day)).date()
        if date.isoweekday() % 7 in days_of(weekdays):
            times = [time(each, int(minute)) for each in sorted(numbers_of(hour, 24))]
            found += [datetime.combine(date, moment, zone).astimezone(UTC) for moment in times]
    return found


@pytest.mark.parametrize("start", ["2026-02-02", "2026-07-13"])
@pytest.mark.parametrize("calendar", ["XNYS", "XETR", "XLON", "XTKS", "XASX", "XSAU", "CMES", "24/5", "24/7", "ECB"])
def test_every_session_has_its_slot_when_it_is_settled_and_before_the_deadline(calendar: str, start: str) -> None:
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    schedule = after_close(calendar)
    made = slots(schedule, first, 16)
    for session in sessions_between(calendar, start, np.datetime64(start, "D") + 11):
        slot = closes_at(calendar, session) + AFTER_CLOSE
        assert slot in made, session
        assert due_session(calendar, slot) == session
        assert slot < deadline(calendar, session)


def test_slots_are_written_as_cron_writes_them() -> None:
    assert after_close("XNYS") == Schedule("30 17 * * 1-5", "America/New_York")
    assert after_close("XSAU") == Schedule("30 16 * * 0,1,2,3,4", "Asia/Riyadh")
    assert after_close("24/7") == Schedule("30 1 * * *", "UTC")
    assert after_close("24/5") == Schedule("30 1 * * 2-6", "UTC")
    assert after_close("ECB") == Schedule("30 17 * * 1-5", "Europe/Berlin")
    assert after_close("nobody knows") == Schedule("30 1 * * 2-6", "UTC")


@pytest.mark.parametrize(
    ("market", "thursday"),
    [("1h:XNYS", "2026-03-05"), ("30m:XETR", "2026-10-22"), ("1h:24/5", "2026-10-29"), ("1h:24/7", "2026-03-05")],
)
def test_every_bar_has_its_slot_before_its_deadline_as_clocks_change(market: str, thursday: str) -> None:
    first = np.datetime64(thursday, "D")
    grid = bar_grid(market, first, first + 5)
    start = datetime.fromisoformat(thursday).replace(tzinfo=UTC) - timedelta(days=1)
    made = sorted(slot for schedule in schedules_after(market) for slot in slots(schedule, start, 8))
    for bar, end in zip(grid.starts[:-1], grid.ends[:-1], strict=True):
        slot = next(slot for slot in made if slot >= end.astype(datetime).replace(tzinfo=UTC))
        assert slot < deadline(market, bar), bar
        assert due_session(market, slot) == bar


def test_slots_of_hours_are_written_as_cron_writes_them() -> None:
    new_york = [Schedule(cron, "America/New_York") for cron in ("33 10-15 * * 1-5", "3 16 * * 1-5")]
    assert list(schedules_after("1h:XNYS")) == new_york
    assert schedules_after("1h:24/7") == (Schedule("3 * * * *", "UTC"),)
    assert schedules_after("XNYS") == (after_close("XNYS"),)
