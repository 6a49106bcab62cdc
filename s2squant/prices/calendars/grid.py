"""Session grid: the scheduled bars of a market whose bars are shorter than a day.

Sessions, breaks, half days and summer time are the exchange's. 24/7 has sessions from midnight to midnight UTC; 24/5,
of currencies, sessions from 17:00 to 17:00 in New York, Sunday evening to Friday.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.intervals import SECONDS, intraday
from s2squant.prices.calendars.exchanges import exchange_sessions, find_exchange, next_sessions, zone_of
from s2squant.series.arrays import Dates, Ints
from s2squant.series.history import PriceHistory
from s2squant.series.slots import Slots

NIGHT = np.timedelta64(3, "h")
"""A pause as long as this is a night; the longest at noon lasts two hours."""
BEYOND = 300
"""Bars of the grid after a ticker's last one, more than any horizon."""
FX_CLOSE, FX_ZONE = np.timedelta64(17, "h"), "America/New_York"

Moments = NDArray[np.datetime64]
"""UTC, datetime64[s]."""


@dataclass(frozen=True)
class Grid:
    """Scheduled bars, increasing: when each begins and ends (UTC), its session and its slot there."""

    starts: Moments
    ends: Moments
    sessions: Dates
    slots: Ints
    count: int
    """Slots of a full session."""

    @property
    def first(self) -> NDArray[np.bool_]:
        """Whether the market was closed for a night or longer before each bar; the first bar of all is not."""
        return np.append(False, self.starts[1:] - self.ends[:-1] >= NIGHT)[: len(self.starts)]


@dataclass(frozen=True)
class Hours:
    """Trading hours of sessions, UTC; a break is NaT where there is none."""

    sessions: Dates
    opens: Moments
    closes: Moments
    breaks: Moments
    """When the break begins."""
    resumes: Moments
    """When it ends."""


def hours_of(calendar: str, first: np.datetime64, last: np.datetime64) -> Hours:
    """Hours of the sessions from one day to another; beyond what is known, those of the same clock as the last."""
    start, end = first.astype("datetime64[D]"), last.astype("datetime64[D]")
    if calendar == "24/7":
        days = np.arange(start, end + 1)
        return _without_break(days, days.astype("datetime64[s]"), (days + 1).astype("datetime64[s]"))
    exchange = find_exchange(calendar)
    if exchange is None:
        days = np.arange(start, end + 1)
        days = days[np.is_busday(days)]
        closing = np.add(days.astype("datetime64[s]"), FX_CLOSE)
        return _without_break(days, _utc(closing - np.timedelta64(1, "D"), FX_ZONE), _utc(closing, FX_ZONE))
    known = exchange_sessions(calendar)
    rows = slice(int(np.searchsorted(known, start)), int(np.searchsorted(known, end, side="right")))
    columns = [
        _bare(pd.DatetimeIndex(values)[rows])
        for values in (exchange.opens, exchange.closes, exchange.break_starts, exchange.break_ends)
    ]
    found = Hours(known[rows], *columns)
    return _carried_on(calendar, found, end) if end > known[-1] else found


def _without_break(days: Dates, opens: Moments, closes: Moments) -> Hours:
    none = np.full(len(days), "NaT", "datetime64[s]")
    return Hours(days, opens, closes, none, none)


def _carried_on(calendar: str, known: Hours, end: np.datetime64) -> Hours:
    """The hours, and after the last known session those of its clock."""
    every = exchange_sessions(calendar)
    after = next_sessions(calendar, every[-1], max(1, int((end - every[-1]).astype(int))))
    after = after[after <= end]
    model = hours_of(calendar, every[-1], every[-1])
    zone = str(zone_of(calendar))
    columns = []
    for name in ("opens", "closes", "breaks", "resumes"):
        clock = _local(getattr(model, name), zone)[0] - model.sessions[0].astype("datetime64[s]")
        later = np.full(len(after), "NaT", "datetime64[s]") if np.isnat(clock) else _utc(after + clock, zone)
        columns.append(np.concatenate([getattr(known, name), later]))
    return Hours(np.concatenate([known.sessions, after]), *columns)


def bar_grid(market: str, first: np.datetime64, last: np.datetime64) -> Grid:
    """The scheduled bars of the sessions from one day to another, both included."""
    return _grid(market, first.astype("datetime64[D]"), last.astype("datetime64[D]"))


@lru_cache(maxsize=32)
def _grid(market: str, first: np.datetime64, last: np.datetime64) -> Grid:
    within = intraday(market)
    assert within is not None, f"{market} has no bars within the day"
    interval, calendar, _ = within
    step = np.timedelta64(SECONDS[interval], "s")
    hours = hours_of(calendar, first, last)
    broken = ~np.isnat(hours.breaks)
    morning = np.where(broken, hours.breaks, hours.closes)
    parts = [(np.arange(len(broken)), hours.opens, morning)]
    if broken.any():
        parts.append((np.flatnonzero(broken), hours.resumes[broken], hours.closes[broken]))
    starts, ends, session, slots = [], [], [], []
    usual, count = _shape(market)
    for part, (rows, opens, closes) in enumerate(parts):
        begins, counts = _bars_of(market, opens, closes)
        number = np.concatenate([np.arange(n) for n in counts]) if len(counts) else np.zeros(0, np.int64)
        each = np.repeat(begins, counts) + number * step
        starts.append(each)
        ends.append(np.minimum(each + step, np.repeat(closes, counts)))
        session.append(np.repeat(rows, counts))
        slots.append(np.minimum(number + part * usual, count - 1))
    order = np.argsort(np.concatenate(starts), kind="stable")
    begin = np.concatenate(starts)[order]
    order = order[np.append(True, np.diff(begin) > np.timedelta64(0, "s"))[: len(order)]]
    place = np.concatenate(slots)[order]
    at = np.concatenate(session)[order].astype(np.intp)
    return Grid(np.concatenate(starts)[order], np.concatenate(ends)[order], hours.sessions[at], place, count)


@lru_cache(maxsize=32)
def _shape(market: str) -> tuple[int, int]:
    """Bars before the break of a usual session, 0 without one, and slots of the longest."""
    within = intraday(market)
    assert within is not None, f"{market} has no bars within the day"
    known = exchange_sessions(within[1])
    first, last = (known[0], known[-1]) if len(known) else (np.datetime64("2024-01-01"), np.datetime64("2024-12-31"))
    hours = hours_of(within[1], first, last)
    broken = ~np.isnat(hours.breaks)
    morning = _bars_of(market, hours.opens, np.where(broken, hours.breaks, hours.closes))[1]
    if not broken.any():
        return 0, int(morning.max())
    usual = int(np.bincount(morning[broken].astype(np.intp)).argmax())
    afternoon = _bars_of(market, hours.resumes[broken], hours.closes[broken])[1]
    return usual, max(int(morning.max()), usual + int(afternoon.max()))


def _bars_of(market: str, opens: Moments, closes: Moments) -> tuple[Moments, Ints]:
    """When the first bar of each stretch of trading begins, and how many there are."""
    within = intraday(market)
    assert within is not None, f"{market} has no bars within the day"
    interval, calendar, clock = within
    length = SECONDS[interval]
    begins = opens - (_local(opens, str(zone_of(calendar))).astype(np.int64) % length) if clock else opens
    counts: Ints = -(-(closes - begins) // np.timedelta64(length, "s"))
    return begins, counts


def bars_after(market: str, after: np.datetime64, count: int) -> Moments:
    """The `count` scheduled bars strictly after a moment."""
    first = after.astype("datetime64[D]") - np.timedelta64(1, "D")
    per_session = max(1, bar_grid(market, first - np.timedelta64(14, "D"), first).count)
    days = 10 + 2 * (count // per_session + 1)
    while True:
        starts = bar_grid(market, first, first + np.timedelta64(days, "D")).starts
        starts = starts[starts > after]
        if len(starts) >= count:
            return starts[:count]
        days *= 2


def next_bars(market: str, after: np.datetime64, count: int) -> Dates:
    """The `count` scheduled bars strictly after one: moments within the day, else sessions, ends of weeks or months."""
    return bars_after(market, after, count) if intraday(market) else next_sessions(market, after, count)


def bars_between(market: str, first: np.datetime64, last: np.datetime64) -> Moments:
    """The scheduled bars from one moment to another, both included."""
    one = np.timedelta64(1, "D")
    starts = bar_grid(market, first.astype("datetime64[D]") - one, last.astype("datetime64[D]") + one).starts
    return starts[(starts >= first) & (starts <= last)]


def bar_ends(market: str, starts: Moments) -> Moments:
    """When each bar ends; one that is not scheduled, an interval after it begins."""
    within = intraday(market)
    assert within is not None, f"{market} has no bars within the day"
    usual: Moments = starts + np.timedelta64(SECONDS[within[0]], "s")
    if len(starts) == 0:
        return usual
    one = np.timedelta64(1, "D")
    grid = bar_grid(market, starts.min().astype("datetime64[D]") - one, starts.max().astype("datetime64[D]") + one)
    at = np.minimum(np.searchsorted(grid.starts, starts), max(len(grid.starts) - 1, 0))
    return np.where(grid.starts[at] == starts, grid.ends[at], usual) if len(grid.starts) else usual


def sessions_of_bars(market: str, starts: Moments) -> Dates:
    """The session of each bar; of one that is not scheduled, that of the scheduled bar before."""
    one = np.timedelta64(1, "D")
    grid = bar_grid(market, starts.min() - one, starts.max() + one)
    return grid.sessions[np.maximum(np.searchsorted(grid.starts, starts, side="right") - 1, 0)]


def with_slots(history: PriceHistory) -> PriceHistory:
    """The history with the slots of its bars, all of which stand on the grid; itself where bars are daily or longer."""
    if not history.is_intraday:
        return history
    first = history.dates[0].astype("datetime64[D]") - np.timedelta64(1, "D")
    ahead = bars_after(history.calendar, history.dates[-1], BEYOND)[-1].astype("datetime64[D]")
    grid = bar_grid(history.calendar, first, ahead + np.timedelta64(1, "D"))
    begin = int(np.searchsorted(grid.starts, history.dates[0]))
    place_R = np.searchsorted(grid.starts, history.dates) - begin
    weekday_V = (grid.sessions[begin:].astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    slots = Slots.on_grid(grid.count, grid.slots[begin:], weekday_V, grid.first[begin:], place_R)
    return replace(history, slots=slots)


def clock_text(market: str, dates: Dates) -> list[str]:
    """Dates for people: days as they are, moments on the exchange's clock, 2024-05-31 09:30."""
    if not intraday(market):
        return [str(date) for date in dates]
    local = _local(dates, str(zone_of(market)))
    return [str(moment)[:16].replace("T", " ") for moment in local]


def clock_name(market: str) -> str:
    """Whose clock it is: New York time, UTC; empty for days."""
    if not intraday(market):
        return ""
    zone = str(zone_of(market))
    return zone if "/" not in zone else f"{zone.rpartition('/')[2].replace('_', ' ')} time"


def _bare(stamps: pd.DatetimeIndex) -> Moments:
    bare = stamps.tz_convert("UTC").tz_localize(None) if stamps.tz is not None else stamps
    return bare.to_numpy().astype("datetime64[s]")


def _local(moments: Moments, zone: str) -> Moments:
    """The clock of a zone at moments of UTC."""
    stamps = pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return stamps.to_numpy().astype("datetime64[s]")


def _utc(clock: Moments, zone: str) -> Moments:
    """Moments of UTC at which a zone's clock shows this; the later of two hours that read the same."""
    summer = np.zeros(len(clock), bool)
    stamps = pd.DatetimeIndex(clock).tz_localize(zone, ambiguous=summer, nonexistent="shift_forward")
    return _bare(stamps)
