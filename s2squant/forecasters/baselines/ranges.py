"""Ranges of a ticker's bars, and the volatility (Garman-Klass) that HAR reads.

Shape legend: T bars of a ticker, its returns are the T - 1 that end on all bars but the first.
Source: Garman and Klass, J. Business 53 (1980), equation 20, plus the squared gap overnight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

PRICES = ("open", "high", "low", "close")
ENOUGH = 0.95
"""HAR reads ranges where this share of bars has one."""
PER_RETURN = np.sqrt(np.pi / 2)
"""An absolute Gaussian return times this has the standard deviation as its mean."""
ROUNDING = 1e-3
"""How far, in logs, open and close may lie outside of high and low."""


class Moves(NamedTuple):
    """Log moves of each bar (T,), NaN where its four prices are missing or make no sense."""

    span_T: Floats
    """High over low."""
    inside_T: Floats
    """Close over open."""
    gap_T: Floats
    """Open over the close before, on the adjusted basis; NaN at the first bar."""


def moves(history: PriceHistory) -> Moves:
    """The moves of every bar; one price four times, or an open or close beyond high and low, is no range."""
    if not set(PRICES) <= set(history.bars):
        return Moves(*np.full((3, len(history)), np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        opened, high, low, close = (np.log(np.where(history.bars[p] > 0, history.bars[p], np.nan)) for p in PRICES)
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    sound = (high > low) & (top <= high + ROUNDING) & (bottom >= low - ROUNDING)
    inside = np.where(sound, close - opened, np.nan)
    gap = np.where(history.resumed_T, np.nan, np.diff(history.log_price, prepend=np.nan)) - inside
    return Moves(np.where(sound, high - low, np.nan), inside, gap)


def range_volatility(history: PriceHistory) -> Floats:
    """Volatility (T - 1,) of the bar that each return ends on; NaN where that has no range."""
    span, inside, gap = (x[1:] for x in moves(history))
    square: Floats = gap**2 + 0.5 * span**2 - (2 * np.log(2) - 1) * inside**2
    measured: Floats = np.sqrt(np.maximum(square, 0.0))
    return measured


def has_ranges(history: PriceHistory) -> bool:
    """Whether enough bars have a range."""
    return bool(np.isfinite(range_volatility(history)).mean() >= ENOUGH)


def realised(history: PriceHistory, measure: str) -> Floats:
    """A realised variance (T - 1,) of the bar that each return ends on; NaN where it is not known."""
    covariates = history.covariates
    places = () if covariates is None else [j for j, c in enumerate(covariates.past) if c.measure == measure]
    if covariates is None or not places:
        return np.full(len(history) - 1, np.nan)
    values: Floats = covariates.past_TP[1:, places[0]]
    return values


def volatility(history: PriceHistory, *, ranges: bool, measured: bool = False) -> Floats:
    """Range volatility (T - 1,), or the scaled absolute return where a bar has no range or `ranges` is false.

    Where `measured`, the root of the realised variance of the whole day comes before either.
    """
    if measured:
        total = realised(history, "total")
        root: Floats = np.where(total > 0, np.sqrt(np.maximum(total, 0.0)), volatility(history, ranges=ranges))
        return root
    absolute: Floats = PER_RETURN * np.abs(history.log_returns)
    if not ranges:
        return absolute
    ranged = range_volatility(history)
    filled: Floats = np.where(np.isfinite(ranged), ranged, absolute)
    return filled
