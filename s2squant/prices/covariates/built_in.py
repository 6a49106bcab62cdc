"""Covariates of a calendar, known beforehand: weekday, ends of month and quarter, holidays, half days, expiry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2squant.config.covariates import BuiltIn
from s2squant.config.intervals import calendar_of, intraday
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.prices.calendars.grid import sessions_of_bars
from s2squant.prices.calendars.periods import last_of_each
from s2squant.prices.calendars.scheduled import half_days, holidays, scheduled_sessions
from s2squant.series.arrays import Dates, Floats

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FAR = 10
"""Sessions to the next holiday beyond which it does not matter."""
_AROUND = np.timedelta64(100, "D")


def built_in(name: BuiltIn, calendar: str, days_S: Dates) -> Floats:
    """The values (S,) of a calendar's scheduled sessions.

    weekday: 0 is Monday. month_end: 1 on the last session of a month. quarter_turn: 1 on the last session of a quarter
    and the first of the next. holiday: sessions until the last one before a closing on a weekday, at most FAR.
    half_day: 1 where the exchange closes early. expiry: 1 on the third Friday of a month, or the session before where
    that is none. A bar within the day has the value of its session.
    """
    if intraday(calendar):
        days, place_S = np.unique(sessions_of_bars(calendar, days_S), return_inverse=True)
        return built_in(name, calendar_of(calendar), days)[place_S]
    around = scheduled_sessions(calendar, days_S[0] - _AROUND, days_S[-1] + _AROUND)
    match name:
        case "weekday":
            return ((days_S.astype(np.int64) + 3) % 7).astype(np.float64)
        case "month_end":
            return _on(days_S, last_of_each("monthly", around))
        case "quarter_turn":
            last = np.flatnonzero(_on(around, last_of_each("monthly", around)) * (_month(around) % 3 == 2))
            return _on(days_S, np.union1d(around[last], around[np.minimum(last + 1, len(around) - 1)]))
        case "holiday":
            return _to_holiday(calendar, days_S, around)
        case "half_day":
            return half_days(calendar, days_S)
        case "expiry":
            months = np.unique(around.astype("datetime64[M]"))
            fridays = np.busday_offset(months.astype("datetime64[D]"), 2, roll="forward", weekmask="Fri")
            return _on(days_S, around[np.searchsorted(around, fridays, side="right") - 1])


def _to_holiday(calendar: str, days_S: Dates, around: Dates) -> Floats:
    """Sessions that lie between each one and the next holiday; NaN before the exchange's calendar is known."""
    before = np.unique(np.searchsorted(around, holidays(calendar, around)) - 1)  # places of the sessions before one
    place = np.searchsorted(around, days_S)
    following = np.append(before, len(around) + FAR)[np.searchsorted(before, place)]
    count = np.minimum(following - place, FAR).astype(np.float64)
    known = exchange_sessions(calendar)
    return np.where(days_S < known[0], np.nan, count) if len(known) else count


def _on(days: Dates, marked: Dates) -> Floats:
    return np.isin(days, marked).astype(np.float64)


def _month(days: Dates) -> NDArray[np.int64]:
    """Month of the year, 0 to 11."""
    return days.astype("datetime64[M]").astype(np.int64) % 12
