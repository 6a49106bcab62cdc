"""What a calendar says beforehand: its scheduled sessions, their closes, half days and holidays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.intervals import intraday
from s2squant.prices.calendars.exchanges import (
    FRANKFURT,
    PUBLISHED,
    exchange_sessions,
    find_exchange,
    is_among,
    next_sessions,
    sessions_between,
)
from s2squant.prices.calendars.grid import bar_ends, bars_between
from s2squant.prices.calendars.periods import unit_of
from s2squant.series.arrays import Dates

UNFORESEEN = ("America/New_York", "America/Chicago", "America/Toronto")
"""Zones of exchanges whose closings outside the rules came by surprise (2001-09-11); elsewhere lunar holidays are among
those, which are published years before."""


def scheduled_sessions(calendar: str, first: Any, last: Any) -> Dates:
    """The sessions from `first` to `last` as they were scheduled, closings that nobody foresaw included; increasing.

    Weekdays where the calendar is not known; bars of the session grid where they are shorter than a day.
    """
    if intraday(calendar):
        return bars_between(calendar, np.datetime64(first, "s"), np.datetime64(last, "s"))
    start, end = np.datetime64(first, "D"), np.datetime64(last, "D")
    if unit_of(calendar)[0] or calendar in ("24/7", "24/5", "ECB"):
        return sessions_between(calendar, start, end)
    known = exchange_sessions(calendar)
    if len(known) == 0:
        return _weekdays(start, end)
    before = _weekdays(start, min(end, known[0] - 1))
    inside = np.union1d(sessions_between(calendar, start, end), unforeseen(calendar, start, end))
    after = next_sessions(calendar, max(start - 1, known[-1]), max(1, int((end - known[-1]).astype(int))))
    return np.concatenate([before, inside, after[after <= end] if end > known[-1] else after[:0]])


def unforeseen(calendar: str, first: np.datetime64, last: np.datetime64) -> Dates:
    """Days that were to be sessions and were none: closings by surprise, increasing."""
    exchange = find_exchange(calendar)
    if exchange is None or str(exchange.tz) not in UNFORESEEN:
        return np.array([], "datetime64[D]")
    days = np.sort(np.array([pd.Timestamp(day).date() for day in exchange.adhoc_holidays], "datetime64[D]"))
    return days[(days >= first) & (days <= last) & np.is_busday(days)]


def closing_times(calendar: str, days: Dates) -> NDArray[np.datetime64]:
    """When each day's session ends, UTC in seconds: at the exchange's close, half days included; a day that is no
    session ends at its midnight. ECB's end when the rates are out.
    """
    if intraday(calendar):
        return bar_ends(calendar, days)
    base = unit_of(calendar)[1]
    ends = (days + 1).astype("datetime64[s]")
    if base == "ECB":
        published = np.timedelta64(PUBLISHED.hour, "h")
        stamps = pd.DatetimeIndex(days.astype("datetime64[s]") + published).tz_localize(FRANKFURT)
        return _utc(stamps)
    exchange = find_exchange(base)
    if exchange is None:
        return ends
    known = exchange_sessions(base)
    among = is_among(days, known)
    ends[among] = _utc(pd.DatetimeIndex(exchange.closes.to_numpy()))[np.searchsorted(known, days[among])]
    return ends


def half_days(calendar: str, days: Dates) -> NDArray[np.float64]:
    """1 where the exchange is scheduled to close early, 0 elsewhere; NaN beyond the years it is known for."""
    exchange = find_exchange(calendar)
    if exchange is None:
        return np.zeros(len(days))
    known = exchange_sessions(calendar)
    early = np.array(exchange.early_closes, "datetime64[D]")
    return np.where((days >= known[0]) & (days <= known[-1]), np.isin(days, early), np.nan)


def holidays(calendar: str, days: Dates) -> Dates:
    """Days between the first and last of increasing scheduled sessions on which only a holiday keeps it closed."""
    exchange = find_exchange(calendar)
    mask = "1111100" if exchange is None else str(exchange.weekmask)
    every = np.arange(days[0], days[-1] + 1)
    return every[np.is_busday(every, weekmask=mask) & ~is_among(every, days)]


def _weekdays(start: np.datetime64, end: np.datetime64) -> Dates:
    days = np.arange(start, end + 1)
    return days[np.is_busday(days)]


def _utc(stamps: pd.DatetimeIndex) -> NDArray[np.datetime64]:
    bare = stamps.tz_convert("UTC").tz_localize(None) if stamps.tz is not None else stamps
    return bare.to_numpy().astype("datetime64[s]")
