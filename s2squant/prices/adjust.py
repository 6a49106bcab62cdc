"""Adjustment for splits and dividends, and back: what a close would have been in today's shares, dividends reinvested.

The convention, bar by bar (T,), oldest first:
- `close` is the price as traded that day, in the shares of the day. (Yahoo's Close is not: it is adjusted for every
  split up to the day of the fetch; `as_traded` undoes that.)
- `splits` holds new shares per old share on the ex-date's bar: 2 for 2:1, 0.1 for a 1:10 reverse split. 1, 0 and NaN
  all say that there was none.
- `dividends` holds cash per share on the ex-date's bar, in the shares of that day (after a split on it). 0 and NaN say
  that there was none.
- An event on bar t changes the bars before t, never t itself; the last bar keeps its price. An event on the first bar
  changes nothing.

Factor of one ex-date s, applied to every bar before it: (1 - D[s] k[s] / C[s-1]) / k[s], with D the dividend, k the
split and C[s-1] the last known close before (the method of CRSP and of Yahoo's Adj Close).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2squant.series.arrays import Floats


def adjusted_close(close: ArrayLike, dividends: ArrayLike, splits: ArrayLike) -> Floats:
    """The close adjusted for splits and dividends, (T,) float64; its last value equals the last close.

    Raises ValueError as `adjustment_factor` does.
    """
    raw = _series("close", close)
    return raw * adjustment_factor(raw, dividends, splits)


def adjustment_factor(close: ArrayLike, dividends: ArrayLike, splits: ArrayLike) -> Floats:
    """What each bar's prices are multiplied by, (T,) float64, 1 on the last bar: Adj Close / Close.

    A bar without a close (NaN) has a factor all the same. Raises ValueError, naming the bar, for arrays of different
    lengths, a negative split or dividend, and a dividend that is not below the close before it.
    """
    return split_factor(splits) * dividend_factor(close, dividends, splits)


def split_factor(splits: ArrayLike) -> Floats:
    """The part of the factor that is due to splits, (T,): 1 over the product of all later splits.

    Prices are multiplied by it, volumes divided. Raises ValueError for a split that is negative or infinite.
    """
    return _later_product(1 / _ratios(splits))


def dividend_factor(close: ArrayLike, dividends: ArrayLike, splits: ArrayLike) -> Floats:
    """The part of the factor that is due to dividends, (T,): the product over later ex-dates of 1 - D k / C.

    Raises ValueError as `adjustment_factor` does.
    """
    raw, ratios = _series("close", close), _ratios(splits)
    cash = np.nan_to_num(_series("dividends", dividends), nan=0.0)
    if not len(raw) == len(ratios) == len(cash):
        raise ValueError(f"close, dividends and splits differ in length: {len(raw)}, {len(cash)}, {len(ratios)}")
    if (cash < 0).any():
        bar = int(np.flatnonzero(cash < 0)[0])
        raise ValueError(f"dividend {cash[bar]:g} on bar {bar} is negative")
    step = np.ones(len(raw))
    paid = np.flatnonzero(cash[1:] > 0) + 1
    before = _last_known(raw)[paid - 1]
    with np.errstate(invalid="ignore"):
        step[paid] = 1 - cash[paid] * ratios[paid] / before
    step[paid] = np.where(np.isnan(before), 1.0, step[paid])  # no close before: nothing to adjust
    wrong = np.flatnonzero(~((step > 0) & (step <= 1)))
    if len(wrong):
        bar = int(wrong[0])
        raise ValueError(f"dividend {cash[bar]:g} on bar {bar} is not below the close before it")
    return _later_product(step)


def as_traded(values: ArrayLike, splits: ArrayLike) -> Floats:
    """Split-adjusted prices or dividends (Yahoo's) in the shares of their own day, (T,).

    A split-adjusted volume is turned back by multiplying with `split_factor` instead.
    """
    return _series("values", values) / split_factor(splits)


def _ratios(splits: ArrayLike) -> Floats:
    ratios = np.nan_to_num(_series("splits", splits), nan=1.0, posinf=np.inf)
    ratios = np.where(ratios == 0, 1.0, ratios)
    wrong = np.flatnonzero(~((ratios > 0) & np.isfinite(ratios)))
    if len(wrong):
        raise ValueError(f"split {ratios[wrong[0]]:g} on bar {wrong[0]} is no ratio of shares")
    return ratios


def _later_product(steps: Floats) -> Floats:
    """Product of all later steps, (T,), 1 on the last bar."""
    if len(steps) == 0:
        return steps
    return np.concatenate([np.cumprod(steps[:0:-1])[::-1], [1.0]])


def _last_known(values: Floats) -> Floats:
    """Each gap filled with the last finite value before it."""
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(last >= 0, values[last], np.nan)


def _series(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array: NDArray[Any] = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} has {array.ndim} axes; one value a bar is needed")
    return array
