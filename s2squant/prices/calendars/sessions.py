"""The session a scheduled run forecasts from, and the deadline before which that forecast has to stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from s2squant.config.intervals import intraday
from s2squant.prices.calendars.due_bars import bar_deadline, due_bar, opens_later
from s2squant.prices.calendars.exchanges import (
    closes_at,
    exchange_sessions,
    find_exchange,
    is_settled,
    next_sessions,
    sessions_between,
    zone_of,
)
from s2squant.prices.calendars.grid import bars_between
from s2squant.prices.calendars.periods import unit_of
from s2squant.series.arrays import Dates

OPEN_ENDED = timedelta(hours=6)
"""After its close, until when a market that hardly pauses may be forecast."""
_LOOK_BACK = np.timedelta64(40, "D")


def due_session(calendar: str, moment: datetime) -> np.datetime64:
    """The last session whose bar is final at an instant (with its zone): closed `SETTLED` ago or longer.

    For codes nobody knows every weekday counts. Of bars within the day the last that has ended.
    """
    if intraday(calendar):
        return due_bar(calendar, moment)
    day: np.datetime64 = np.datetime64(moment.astimezone(UTC).date(), "D")
    sessions = sessions_between(calendar, day - _LOOK_BACK, day + 1)
    if len(sessions) == 0:
        days = np.arange(day - _LOOK_BACK, day + 2)
        sessions = days[np.is_busday(days)]
    final = [session for session in sessions[-10:] if is_settled(calendar, session, moment)]
    return np.datetime64(final[-1], "D")


def deadline(calendar: str, session: np.datetime64) -> datetime:
    """The instant (UTC) before which a forecast from this session has to stand: the opening of the next one.

    A market that does not close overnight (24/7, 24/5, futures), and one whose prices are fixings (ECB), gives
    OPEN_ENDED after its session's end.
    """
    if intraday(calendar):
        return bar_deadline(calendar, session)
    after, calendar = closes_at(calendar, session) + OPEN_ENDED, unit_of(calendar)[1]
    exchange = find_exchange(calendar)
    following = next_sessions(calendar, session, 1)[0]
    if exchange is None or not np.any(exchange_sessions(calendar) == following):
        return after
    opens = exchange.session_open(pd.Timestamp(following)).to_pydatetime().astimezone(UTC)
    latest: datetime = max(opens, after)
    return latest


def local_day(calendar: str, moment: datetime) -> np.datetime64:
    """The date of an instant on the exchange's own clock; UTC's where it has none."""
    return np.datetime64(moment.astimezone(zone_of(calendar)).date(), "D")


def is_closed(calendar: str, due: np.datetime64, moment: datetime) -> bool:
    """Whether an instant lies between two sessions, a day or more after the last: a holiday, or a weekend.

    Of bars within the day: on a day after the due bar's own, before the market opens.
    """
    day = local_day(calendar, moment)
    if intraday(calendar):
        began = due.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
        return bool(day > local_day(calendar, began)) and opens_later(calendar, due, moment)
    return bool(next_sessions(unit_of(calendar)[1], due, 1)[0] > day > due)


def sessions_after(calendar: str, last: np.datetime64, due: np.datetime64) -> Dates:
    """The sessions, or bars within the day, strictly between two, increasing: those that nobody forecast from."""
    if intraday(calendar):
        return bars_between(calendar, last + np.timedelta64(1, "s"), due - np.timedelta64(1, "s"))
    between = next_sessions(calendar, last, max(1, int((due - last).astype(int))))
    return between[between < due]
