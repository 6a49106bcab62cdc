"""Segments of a history: what lies on two sides of a hole is not one series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s2squant.prices.checks.filler import repeats
from s2squant.prices.checks.marks import WILD, log_returns, mark, own_scale, runs
from s2squant.prices.checks.repair import without
from s2squant.prices.checks.spans import sessions_inside
from s2squant.series.history import PriceHistory

SEGMENT = 15
"""Sessions without trading from which on a new segment begins."""
YEAR_DAYS = 365
ENOUGH = 750
"""Bars after a hole with which a ticker can be backtested alone."""


def last_segment(history: PriceHistory) -> PriceHistory:
    """The bars after the last hole of more than a year, where they are enough to be used alone; the others set aside.

    Where they are not enough, the history as it is, with its gap.
    """
    holes = np.flatnonzero(np.diff(history.dates).astype(int) > YEAR_DAYS)
    if len(holes) == 0 or len(history) - holes[-1] - 1 < ENOUGH:
        return history
    last = int(holes[-1])
    days = int((history.dates[last + 1] - history.dates[last]).astype(int))
    text = f"{last + 1} bar(s) to {history.dates[last]} set aside: {days} days without any follow"
    aside = mark("gap", "warning", history.dates[last : last + 1], text, done="set aside")
    return replace(history.between(history.dates[last + 1], None), findings=(*history.findings, *aside))


def without_halts(history: PriceHistory) -> PriceHistory:
    """The history without long halts: more than 15 bars in a row that repeat the last close without any volume.

    Those at its beginning and its end are left for the check of placeholders.
    """
    volume = history.bars.get("volume")
    if volume is None:
        return history
    idle = repeats(history) & (volume == 0)
    starts, lengths = runs(idle.astype(np.float64))
    halted = np.zeros(len(history), bool)
    for start, length in zip(starts, lengths, strict=True):
        inside = start > 1 and start + length < len(history)
        halted[start : start + length] = inside and idle[start] and length > SEGMENT
    if not halted.any():
        return history
    columns = {"adj_close": history.adj_close, **history.bars, **history.events}
    dates, columns = without(history.dates, columns, halted)
    first = history.dates[halted & ~np.r_[False, halted[:-1]]]
    text = f"{halted.sum()} day(s) without trading that repeat the last close dropped"
    told = mark("filled day", "warning", first, text, each=[f"from {day}" for day in first], done="dropped")
    return replace(
        history,
        dates=dates,
        adj_close=columns["adj_close"],
        bars={name: columns[name] for name in history.bars},
        events={name: columns[name] for name in history.events},
        findings=(*history.findings, *told),
    )


def in_segments(history: PriceHistory) -> PriceHistory:
    """The history with the first day of each segment: no return and no window reaches across what lies before it.

    A segment begins after more than 15 sessions without a bar; and, where no volume says whether a price stood still or
    was filled in, after more than 15 equal closes that end in a wild move.
    """
    days = np.diff(history.dates).astype(int)
    wide = [i for i in np.flatnonzero(days > SEGMENT).tolist() if sessions_inside(history, i) > SEGMENT]
    starts, lengths = runs(history.adj_close)
    ends = (starts + lengths)[:-1][lengths[:-1] > SEGMENT] - 1
    if len(ends) and "volume" not in history.bars:
        returns = log_returns(history)
        wide += ends[np.abs(returns[ends]) > WILD * own_scale(returns)].tolist()
    return replace(history, resumed=tuple(str(history.dates[i + 1]) for i in sorted({*wide}))) if wide else history
