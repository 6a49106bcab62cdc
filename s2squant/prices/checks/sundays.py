"""Bars of Sunday evening, where currencies and futures open the week: they are the beginning of Monday's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from s2squant.prices.calendars.exchanges import is_among
from s2squant.prices.checks.marks import mark
from s2squant.series.arrays import Dates
from s2squant.series.history import PriceHistory

NIGHTS = ("24/5", "CMES", "IEPA")
"""Calendars whose Monday begins on Sunday evening."""


def evenings(calendar: str, dates: Dates) -> NDArray[np.bool_]:
    """Mask (T,) of the Sundays on which a market of this calendar opens."""
    return np.asarray((dates.astype(np.int64) + 3) % 7 == 6) & (calendar in NIGHTS)  # 1970-01-01 was a Thursday


def without_sundays(history: PriceHistory) -> PriceHistory:
    """The history with Sunday's bars joined to Monday's, which is told; a Monday without a bar takes Sunday's.

    Joined, the open is Sunday's, the close Monday's, high and low are the extremes, volumes and dividends the sums.
    """
    sundays = evenings(history.calendar, history.dates)
    if not sundays.any():
        return history
    alone = sundays & ~is_among(history.dates + 1, history.dates)
    night = np.flatnonzero(sundays & ~alone)
    columns = {name: np.array(values) for name, values in {**history.bars, **history.events}.items()}
    for name, values in columns.items():
        evening, day = values[night], values[night + 1]
        match name:
            case "open":
                values[night + 1] = np.where(np.isnan(evening), day, evening)
            case "high":
                values[night + 1] = np.fmax(evening, day)
            case "low":
                values[night + 1] = np.fmin(evening, day)
            case "volume" | "dividends":
                values[night + 1] = np.nansum([evening, day], axis=0)
    kept = ~sundays | alone
    told = history.dates[sundays]
    text = f"{len(told)} bar(s) of Sunday evening joined to Monday's, the first of {told[0]}"
    return replace(
        history,
        dates=np.where(alone, history.dates + 1, history.dates)[kept],
        adj_close=history.adj_close[kept],
        bars={name: columns[name][kept] for name in history.bars},
        events={name: columns[name][kept] for name in history.events},
        findings=(*history.findings, *mark("Sunday bar", "note", told, text, done="joined")),
    )
