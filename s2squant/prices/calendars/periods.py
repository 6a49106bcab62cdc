"""Weeks and months: calendars whose sessions are the last ones of each week or month of another, as weekly:XNYS."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from s2squant.config.intervals import calendar_of
from s2squant.series.arrays import Dates

Unit = Literal["", "weekly", "monthly"]

LONGEST: dict[Unit, int] = {"weekly": 7, "monthly": 31}
"""Days from the end of one period to the next, at most, holidays apart."""
WEEKLY, MONTHLY = (5, 9), (26, 33)
"""Days between bars of neighbouring weeks and months, from and to, both included."""
NEARLY_ALL = 0.9
FEWEST = 10
"""Steps that have to be a week or a month before bars are taken for weekly or monthly."""


def unit_of(calendar: str) -> tuple[Unit, str]:
    """The unit of a calendar and the one that it is made of: weekly and XNYS of weekly:XNYS; none, and itself.

    Bars within the day have the sessions of their exchange.
    """
    calendar = calendar_of(calendar)
    unit, _, base = calendar.partition(":")
    if unit == "weekly":
        return "weekly", base
    return ("monthly", base) if unit == "monthly" else ("", calendar)


def period_of(unit: Unit, days: Dates) -> NDArray[np.int64]:
    """Number of the week (Monday to Sunday) or month that each day is in."""
    if unit == "weekly":
        return (days.astype("datetime64[D]").astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday
    return days.astype("datetime64[M]").astype(np.int64)


def last_of_each(unit: Unit, days: Dates) -> Dates:
    """The last of increasing days in each week or month."""
    period = period_of(unit, days)
    return days[np.append(np.diff(period) > 0, True)] if len(days) else days


def spacing(dates: Dates) -> tuple[Unit, int]:
    """The unit in which increasing dates follow each other, and the bar from which it is another, 0 for none.

    Bars of two spacings, ten steps of each at least, one after the other, have the unit of the wider.
    """
    steps = np.diff(dates.astype("datetime64[D]")).astype(np.int64)
    kinds: tuple[tuple[Unit, tuple[int, int]], ...] = (("weekly", WEEKLY), ("monthly", MONTHLY))
    for unit, (least, most) in kinds:
        inside = (steps >= least) & (steps <= most)
        if inside.sum() < FEWEST:
            continue
        if inside.mean() >= NEARLY_ALL:
            return unit, 0
        run = np.flatnonzero(np.diff(np.concatenate([[0], inside, [0]])))
        starts, ends = run[::2], run[1::2]
        longest = int(np.argmax(ends - starts))
        if ends[longest] - starts[longest] >= FEWEST and inside.sum() >= 2 * FEWEST:
            other = ends[longest] if starts[longest] == 0 else starts[longest]
            return unit, int(other)
    return "", 0
