"""Days that only filler has: closed days on which a table repeats the last close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from s2squant.prices.calendars.exchanges import is_among, sessions_between
from s2squant.prices.calendars.guess import ALONE, guess_calendar, named_calendar
from s2squant.prices.checks.marks import mark
from s2squant.prices.checks.repair import without
from s2squant.prices.checks.sundays import evenings
from s2squant.series.arrays import Dates
from s2squant.series.history import PriceHistory

FEWEST = 3
"""Filled days below which nothing is done: a close may repeat by chance."""
WIDE = ("24/7", "24/5")
ONLY = 0.9
"""Share of the bars on closed days that repeat the last close, from which closed they were."""


def without_filler(history: PriceHistory, *, certain: bool = False) -> PriceHistory:
    """The history without filled days, which are told, on the calendar that its other dates have.

    A filled day repeats the last close, with no volume, the last bar's, or none known, and is closed on the history's
    calendar; or, where that is open every day or every weekday, neither `certain` nor named by the ticker, on the one
    that the days without such repetition fit.
    """
    still = repeats(history)
    if still.sum() < FEWEST:
        return history
    calendar, wide = history.calendar, history.calendar in WIDE or history.calendar.startswith(ALONE)
    if wide and not certain and not named_calendar(history.ticker):
        calendar = guess_calendar(history.ticker, history.dates[~still])
    closed = _closed(calendar, history.dates) & ~evenings(calendar, history.dates)
    filled = still & closed
    if filled.sum() < FEWEST or filled.sum() < ONLY * closed.sum():
        return history
    columns = {"adj_close": history.adj_close, **history.bars, **history.events}
    dates, columns = without(history.dates, columns, filled)
    days = history.dates[filled]
    text = f"{len(days)} day(s) closed on {calendar} that repeat the last close dropped"
    told = mark("filled day", "warning", days, text, each=[str(day) for day in days], done="dropped")
    return replace(
        history,
        calendar=calendar,
        dates=dates,
        adj_close=columns["adj_close"],
        bars={name: columns[name] for name in history.bars},
        events={name: columns[name] for name in history.events},
        findings=(*history.findings, *told),
    )


def repeats(history: PriceHistory) -> NDArray[np.bool_]:
    """Bars that repeat the one before: the same close, and no volume, the same, or none known."""
    still = np.r_[False, history.adj_close[1:] == history.adj_close[:-1]]
    volume = history.bars.get("volume")
    if volume is not None:
        with np.errstate(invalid="ignore"):
            still[1:] &= ~(volume[1:] > 0) | (volume[1:] == volume[:-1])
    return np.asarray(still)


def _closed(calendar: str, dates: Dates) -> NDArray[np.bool_]:
    known = sessions_between(calendar, dates[0], dates[-1])
    if len(known) == 0:
        return np.zeros(len(dates), bool)
    return np.asarray((dates >= known[0]) & (dates <= known[-1]) & ~is_among(dates, known))
