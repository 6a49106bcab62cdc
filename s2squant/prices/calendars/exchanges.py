"""Trading calendars: their real sessions, past and to come, and when each ends.

A calendar is a code: an exchange_calendars code such as XNYS, one that nobody knows (every weekday), or one kept here:
24/7 (every day), 24/5 (every weekday), ECB (weekdays without the closing days of the euro's TARGET system), or the
weeks or months of another: weekly:XNYS, monthly:24/5.
"""

from __future__ import annotations

import difflib
import warnings
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.intervals import calendar_of
from s2squant.errors import ConfigError
from s2squant.prices.calendars.periods import LONGEST, last_of_each, period_of, unit_of
from s2squant.prices.calendars.remembered import keep_sessions, read_sessions
from s2squant.series.arrays import Dates, frozen_array

SETTLED = timedelta(minutes=30)
"""After a session's close, until its bar counts as final."""

PUBLISHED, FRANKFURT = time(16), ZoneInfo("Europe/Berlin")
"""When and where the euro's reference rates come out."""

TEN_YEARS = 3652
"""Days."""

OWN = ("24/7", "24/5", "ECB")
"""The calendars kept here."""


def check_calendar(code: str) -> str:
    """The code itself where it is a calendar's; raises ConfigError, naming the nearest, where nobody knows it."""
    import exchange_calendars

    known = [*OWN, *exchange_calendars.get_calendar_names()]
    base = unit_of(code)[1]
    if base in known:
        return code
    near = difflib.get_close_matches(base.upper(), known, n=1)
    hint = f"did you mean {near[0]}?" if near else "codes are those of exchange_calendars, as XNYS, or 24/7, 24/5, ECB"
    raise ConfigError(f"universe.calendars: no calendar is called {code!r}; {hint}")


def next_sessions(calendar: str, after: Any, count: int) -> Dates:
    """The `count` sessions strictly after a day (anything numpy reads as one), datetime64[D], increasing.

    Exchange calendars are known to a month or a year ahead of today. Beyond that every weekday counts but those days of
    the year on which the exchange has always been closed; before their first year, and for codes nobody knows, every
    weekday.
    """
    if count < 1:
        raise ValueError(f"count is {count}; ask for at least one session")
    day: np.datetime64 = np.datetime64(after, "D")
    unit, base = unit_of(calendar)
    if unit:
        ends = last_of_each(unit, next_sessions(base, day - LONGEST[unit], (count + 3) * LONGEST[unit]))
        return ends[ends > day][:count]
    calendar = base
    if calendar == "24/7":
        return np.arange(day + 1, day + 1 + count)
    if calendar == "ECB":
        return _weekdays(day, count, target_closings(day, day + 2 * count + 30))
    known = exchange_sessions(calendar)
    if len(known) == 0 or day < known[0]:
        return _weekdays(day, count)
    first = int(np.searchsorted(known, day, side="right"))
    real = known[first : first + count]
    short, last = count - len(real), max(day, known[-1])
    if not short:
        return real.copy()
    return np.concatenate([real, _weekdays(last, short, _yearly_closings(calendar, last, last + 2 * short + 30))])


def sessions_between(calendar: str, first: Any, last: Any) -> Dates:
    """The calendar's sessions from `first` to `last`, both included, as far as they are known; empty for unknown codes.

    Exchange calendars are known from 1990 at the earliest to about a year ahead of today.
    """
    start, end = np.datetime64(first, "D"), np.datetime64(last, "D")
    unit, base = unit_of(calendar)
    if unit:
        ends = last_of_each(unit, sessions_between(base, start, end + LONGEST[unit]))
        return ends[ends <= end]
    calendar = base
    if calendar == "24/7":
        return np.arange(start, end + 1)
    if calendar in ("24/5", "ECB"):
        days = np.arange(start, end + 1)
        closed = target_closings(start, end) if calendar == "ECB" else np.array([], "datetime64[D]")
        return days[np.is_busday(days, holidays=closed)]
    known = exchange_sessions(calendar)
    return known[np.searchsorted(known, start) : np.searchsorted(known, end, side="right")]


def period_ends(calendar: str, days: Dates) -> Dates:
    """The last session of each day's week or month, by the calendar's unit; the days themselves where it has none.

    Weekdays count where the calendar is not known.
    """
    unit, base = unit_of(calendar)
    if not unit or len(days) == 0:
        return days
    first, last = days.min() - 2 * LONGEST[unit], days.max() + 2 * LONGEST[unit]
    known = sessions_between(base, first, last)
    every = np.arange(first, last + 1)
    inside = (every >= known[0]) & (every <= known[-1]) if len(known) else np.zeros(len(every), bool)
    ends = last_of_each(unit, np.union1d(known, every[np.is_busday(every) & ~inside]))
    return ends[np.searchsorted(period_of(unit, ends), period_of(unit, days))]


def is_among(days: Dates, known: Dates) -> NDArray[np.bool_]:
    """Which days are among `known`, an increasing array."""
    if len(known) == 0:
        return np.zeros(len(days), bool)
    return np.equal(known[np.minimum(np.searchsorted(known, days), len(known) - 1)], days)


def is_settled(calendar: str, session: Any, now: datetime) -> bool:
    """Whether the session's bar is final: its market closed at least `SETTLED` ago. `now` carries a time zone."""
    day: np.datetime64 = np.datetime64(session, "D")
    if np.datetime64(now.astimezone(UTC).date(), "D") - day > np.timedelta64(3, "D"):
        return True  # whatever the exchange
    return now.astimezone(UTC) >= closes_at(calendar, day) + SETTLED


def closes_at(calendar: str, session: Any) -> datetime:
    """When a session ends (UTC): at the exchange's close, half days included; ECB at 16:00 in Frankfurt, when the rates
    are out; elsewhere with its day.
    """
    calendar = unit_of(calendar)[1]
    day: np.datetime64 = np.datetime64(session, "D")
    midnight = datetime.combine(day.astype(object), time(), UTC) + timedelta(days=1)
    if calendar == "ECB":
        return datetime.combine(day.astype(object), PUBLISHED, FRANKFURT).astimezone(UTC)
    exchange = find_exchange(calendar)
    if exchange is None or not np.any(exchange_sessions(calendar) == day):
        return midnight
    close: datetime = exchange.session_close(pd.Timestamp(day)).to_pydatetime()
    return close.astimezone(UTC)


def zone_of(calendar: str) -> tzinfo:
    """The time zone of an exchange's own clock; UTC where it has none."""
    calendar = unit_of(calendar)[1]
    exchange = find_exchange(calendar)
    zone: tzinfo = FRANKFURT if calendar == "ECB" else UTC if exchange is None else exchange.tz
    return zone


def target_closings(first: np.datetime64, last: np.datetime64) -> Dates:
    """TARGET's closing days of every year touched: 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December."""
    years = range(_year(first), _year(last) + 1)
    fixed = [f"{year}-{day}" for year in years for day in ("01-01", "05-01", "12-25", "12-26")]
    easters = np.array([_easter(year) for year in years])
    return np.sort(np.concatenate([np.array(fixed, "datetime64[D]"), easters - 2, easters + 1]))


@cache
def exchange_sessions(calendar: str) -> Dates:
    """Every known session of an exchange, from 1990 where its calendar reaches back so far; empty for unknown codes.

    They end a year after the first of this month, so that every process of a month knows the same.
    """
    calendar = calendar_of(calendar)
    month = np.datetime64(datetime.now(UTC).date(), "M")
    until: np.datetime64 = (month + 12).astype("datetime64[D]")
    kept = read_sessions(calendar, until)
    if kept is not None:
        return frozen_array(kept, "datetime64[D]")
    exchange = find_exchange(calendar)
    days: Dates = np.array([] if exchange is None else exchange.sessions.to_numpy(), "datetime64[D]")
    days = days[days <= until]
    if len(days):
        keep_sessions(calendar, until, days)
    return frozen_array(days, "datetime64[D]")


@cache
def find_exchange(calendar: str) -> Any:
    """The exchange_calendars object, or None where the library has none of that code, or none that can be made."""
    import exchange_calendars  # a second to import, and many runs never need it

    calendar = calendar_of(calendar)
    if calendar in OWN or calendar not in exchange_calendars.get_calendar_names():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, about pandas 3.1
        for start in ("1990-01-01", "2000-01-01", None, "2026-01-05"):
            try:
                return exchange_calendars.get_calendar(calendar, start=start)
            except ValueError:  # its holidays are not recorded that far back; XTAE traded on Sundays until 2026
                continue
            except NotImplementedError:  # ASEX, whose Easter this pandas cannot add to a date
                return None
    return None


def _weekdays(after: np.datetime64, count: int, closed: Dates | None = None) -> Dates:
    holidays = np.array([], "datetime64[D]") if closed is None else closed
    start = np.busday_offset(after, 0, roll="backward", holidays=holidays)
    return np.asarray(np.busday_offset(start, np.arange(1, count + 1), holidays=holidays), "datetime64[D]")


def _yearly_closings(calendar: str, first: np.datetime64, last: np.datetime64) -> Dates:
    """The days from `first` to `last` on whose day of the year the exchange was closed whenever it was a weekday, of
    the last ten years that are known, three times at least.
    """
    known = exchange_sessions(calendar)
    days = np.arange(known[-1] - TEN_YEARS, known[-1] + 1)
    weekdays = days[np.is_busday(days)]
    place, closed = _day_of_year(weekdays), ~is_among(weekdays, known)
    count, shut = np.bincount(place, minlength=400), np.bincount(place, weights=closed, minlength=400)
    ahead = np.arange(first, last + 1)
    closings: Dates = ahead[((shut >= 3) & (shut == count))[_day_of_year(ahead)]]
    return closings


def _day_of_year(days: Dates) -> NDArray[np.int64]:
    """Month and day of the month as one number below 400."""
    months = days.astype("datetime64[M]")
    place: NDArray[np.int64] = (days - months).astype(np.int64) + 32 * (months.astype(np.int64) % 12)
    return place


def _year(day: np.datetime64) -> int:
    return int(day.astype("datetime64[Y]").astype(np.int64)) + 1970


def _easter(year: int) -> np.datetime64:
    """Easter Sunday, Gregorian (Meeus, Astronomical Algorithms, chapter 8)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    moved = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * moved) // 433
    month = (h + moved - 7 * m + 90) // 25
    day = (h + moved - 7 * m + 33 * month + 19) % 32
    return np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D")
