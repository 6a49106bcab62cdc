"""The bar within the day that a scheduled run forecasts from, and before when that forecast has to stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from s2squant.config.intervals import SECONDS, interval_of
from s2squant.prices.calendars.grid import bar_ends, bar_grid, bars_after

GRACE = 4
"""A forecast stands within one part in so many of a bar after the end of the one that it is made from."""
_LOOK_BACK = np.timedelta64(20, "D")


def due_bar(market: str, moment: datetime) -> np.datetime64:
    """When the last bar that has ended at an instant (with its zone) began, UTC."""
    now = _utc(moment)
    grid = bar_grid(market, now - _LOOK_BACK, now + np.timedelta64(1, "D"))
    ended = grid.starts[grid.ends <= now]
    last: np.datetime64 = ended[-1]
    return last


def bar_deadline(market: str, bar: np.datetime64) -> datetime:
    """The instant (UTC) before which a forecast from this bar has to stand: the opening after a pause.

    Where the next bar begins as this one ends, a quarter of a bar later.
    """
    end = bar_ends(market, np.array([bar]))[0]
    opening = bars_after(market, bar, 1)[0]
    grace = timedelta(seconds=SECONDS[interval_of(market)]) / GRACE
    return max(_instant(opening), _instant(end) + grace)


def opens_later(market: str, bar: np.datetime64, moment: datetime) -> bool:
    """Whether the bar after this one has not begun at an instant."""
    return bool(bars_after(market, bar, 1)[0] > _utc(moment))


def _utc(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s")


def _instant(moment: np.datetime64) -> datetime:
    bare: datetime = moment.astype("datetime64[s]").astype(datetime)
    return bare.replace(tzinfo=UTC)
