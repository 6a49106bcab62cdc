"""A fan of one forecast for the terminal: history as a line of dots, bands as shades, the median as a line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np

from s2squant.report.formats import price
from s2squant.series.arrays import Floats
from s2squant.series.forecast import LEVELS

SHADES = {95: "░", 80: "▒", 50: "▓"}
"""From the widest band to the narrowest, which is drawn over it."""
PAST, MEDIAN, NOW = "•", "━", "┊"
HEIGHT = 11
AHEAD = 2
"""Columns of a step, where the fan has room."""


def fan_lines(
    past: Floats,
    past_days: Sequence[object],
    prices_HQ: Floats,
    dates_H: Sequence[object],
    *,
    width: int = 76,
    height: int = HEIGHT,
) -> list[str]:
    """The lines of a fan at most `width` characters wide, axis and dates included; `past` ends with the last close."""
    steps = len(dates_H)
    labels = max(len(price(value)) for value in (*past, prices_HQ.min(), prices_HQ.max()))
    room = width - labels - 3
    ahead = min(AHEAD * steps, room // 2)
    before = room - ahead - 1
    shown = past[-before:]
    low, high = min(shown.min(), prices_HQ.min()), max(shown.max(), prices_HQ.max())
    span = (high - low) or abs(high) or 1.0
    canvas = np.full((height, len(shown) + 1 + ahead), " ")

    def row(value: float) -> int:
        return round(float((high - value) / span * (height - 1)))

    for column, value in enumerate(shown):
        canvas[row(value), column] = PAST
    canvas[canvas[:, len(shown)] == " ", len(shown)] = NOW
    for column in range(ahead):
        at_Q = prices_HQ[min(steps - 1, column * steps // ahead)]
        for percent, shade in SHADES.items():
            top, bottom = (row(float(np.interp(0.5 + side * percent / 200, LEVELS, at_Q))) for side in (1, -1))
            canvas[top : bottom + 1, len(shown) + 1 + column] = shade
        canvas[row(float(np.interp(0.5, LEVELS, at_Q))), len(shown) + 1 + column] = MEDIAN
    ticks = {0: high, (height - 1) // 2: high - span * ((height - 1) // 2) / (height - 1), height - 1: low}
    lines = [f"{price(ticks[r]) if r in ticks else '':>{labels}} ┤{''.join(canvas[r])}".rstrip() for r in range(height)]
    begin, now, end = (f"{day}" for day in (past_days[-len(shown)], past_days[-1], dates_H[-1]))
    foot = f"{begin}{'':{max(1, len(shown) - len(begin) - len(now))}}{now}"
    left = len(shown) + 1 + ahead - len(foot)
    return [*lines, f"{'':>{labels}}  {foot}{end:>{max(left, len(end) + 1)}}"]


def key() -> str:
    """What the signs mean."""
    bands = ", ".join(f"{shade} {percent} %" for percent, shade in reversed(SHADES.items()))
    return f"{PAST} adjusted close, {MEDIAN} median, ranges: {bands}"


def days_old(last: np.datetime64) -> int:
    """Days from a bar to today."""
    return int((np.datetime64(date.today(), "D") - last.astype("datetime64[D]")).astype(int))
