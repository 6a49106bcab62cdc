"""Range volatility of a bar (Garman-Klass), the measure that HAR reads.

Shape legend: T returns of a ticker; the measure of the bar that a return ends on stands beside it.
Source: Garman and Klass, J. Business 53 (1980), equation 20, plus the squared gap overnight.
"""

from __future__ import annotations

import numpy as np

from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

ENOUGH = 0.95
"""Ranges are used where this share of bars has open, high, low and close."""
PER_RETURN = np.sqrt(np.pi / 2)
"""An absolute Gaussian return times this has the standard deviation as its mean."""


def range_volatility(history: PriceHistory) -> Floats:
    """Volatility (T,) of each bar from its range and the gap before it; NaN where one of the four prices is missing."""
    if not {"open", "high", "low", "close"} <= set(history.bars):
        return np.full(len(history) - 1, np.nan)
    prices = [history.bars[name][1:] for name in ("open", "high", "low", "close")]
    with np.errstate(divide="ignore", invalid="ignore"):
        opened, high, low, close = (np.log(np.where(price > 0, price, np.nan)) for price in prices)
    inside = close - opened
    gap = np.diff(history.log_price) - inside
    square: Floats = gap**2 + 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * inside**2
    measured: Floats = np.sqrt(np.maximum(square, 0.0))
    return measured


def has_ranges(history: PriceHistory) -> bool:
    """Whether enough bars have a range."""
    return bool(np.isfinite(range_volatility(history)).mean() >= ENOUGH)


def volatility(history: PriceHistory, *, ranges: bool) -> Floats:
    """Range volatility (T,), or the scaled absolute return where a bar has no range or `ranges` is false."""
    absolute: Floats = PER_RETURN * np.abs(np.diff(history.log_price))
    if not ranges:
        return absolute
    measured = range_volatility(history)
    filled: Floats = np.where(np.isfinite(measured), measured, absolute)
    return filled
