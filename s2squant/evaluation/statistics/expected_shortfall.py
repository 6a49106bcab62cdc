"""Expected shortfall: its value from quantiles, its tests, and losses that elicit it together with VaR.

All of the lower tail; the upper one is the lower tail of the negative. Between levels a quantile is taken as linear in
the logarithm of its level, which is an exponential law piece by piece, and so beyond the outermost.

Shape legend: N forecasts, A tail levels (increasing, the last is .05), R draws.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from s2squant.series.arrays import Floats, Ints

GRID: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05)
"""Levels of the tail quantiles that are read."""
DRAWS = 999
SEED = 20


def shortfall(tail_NA: Floats, level: float) -> Floats:
    """Expected shortfall (N,): the mean of the quantiles below `level`, which is one of GRID."""
    last = GRID.index(level)
    slope = (tail_NA[:, 1] - tail_NA[:, 0]) / np.log(GRID[1] / GRID[0])
    total = GRID[0] * (tail_NA[:, 0] - slope)
    for k in range(last):
        low, high = GRID[k], GRID[k + 1]
        slope = (tail_NA[:, k + 1] - tail_NA[:, k]) / np.log(high / low)
        total += (high - low) * tail_NA[:, k] + slope * (high * np.log(high / low) - (high - low))
    return np.asarray(total / level)


def expected_loss(levels_NA: Floats, level: float) -> Floats:
    """Share of the price lost on average beyond VaR (N,), from cumulative log returns at ALL_LEVELS (N, all)."""
    return -shortfall(np.expm1(levels_NA[:, : len(GRID)]), level)


def tail_draws(tail_NA: Floats, place: Ints, level_u: Floats) -> Floats:
    """Quantiles of the forecasts at `place` at the levels `level_u` (below .05)."""
    k = np.clip(np.searchsorted(GRID, level_u) - 1, 0, len(GRID) - 2)
    low, high = np.asarray(GRID)[k], np.asarray(GRID)[k + 1]
    slope = (tail_NA[place, k + 1] - tail_NA[place, k]) / np.log(high / low)
    return np.asarray(tail_NA[place, k] + slope * np.log(level_u / low))


class ShortfallTests(NamedTuple):
    """Two-sided p of both tests; NaN where there is no exceedance to test."""

    mcneil_frey: float
    acerbi_szekely: float


def shortfall_tests(y_N: Floats, tail_NA: Floats, level: float) -> ShortfallTests:
    """Whether outcomes below VaR are on average where the expected shortfall says.

    McNeil and Frey 2000: the mean of (y - ES) / |ES - VaR| over the exceedances is zero. Acerbi and Szekely 2014, their
    second test: the mean of y 1[y < VaR] / (level ES) over all dates is one. Both p are ranks among draws from the
    forecasts themselves, so no law is assumed and short series keep the size.
    """
    var, es = tail_NA[:, GRID.index(level)], shortfall(tail_NA, level)
    if not (es < 0).all():
        return ShortfallTests(np.nan, np.nan)
    unit = np.maximum(var - es, np.finfo(float).tiny)
    hit = y_N < var
    second = float((y_N[hit] / es[hit]).sum())
    row, place, u = _draws(len(y_N), level)
    drawn = tail_draws(tail_NA, place, u)
    seconds = np.asarray(np.bincount(row, drawn / es[place], DRAWS), np.float64)
    if not hit.any():
        return ShortfallTests(np.nan, _rank(second, seconds))
    first = float(((y_N[hit] - es[hit]) / unit[hit]).mean())
    counts = np.bincount(row, minlength=DRAWS)
    sums = np.asarray(np.bincount(row, (drawn - es[place]) / unit[place], DRAWS), np.float64)
    firsts = sums[counts > 0] / counts[counts > 0]
    return ShortfallTests(_rank(first, firsts), _rank(second, seconds))


@lru_cache(maxsize=64)
def _draws(n: int, level: float) -> tuple[Ints, Ints, Floats]:
    """The draws below `level` among DRAWS series of n uniform ones: series, place and level of each."""
    u = np.random.default_rng([SEED, n, round(1e4 * level)]).random((DRAWS, n))
    row, place = np.nonzero(u < level)
    return row, place, u[row, place]


def _rank(value: float, draws: Floats) -> float:
    """Two-sided p of a value among draws, ties at half their weight."""
    below, same = float((draws < value).sum()), float((draws == value).sum())
    share = (below + 0.5 * same + 0.5) / (len(draws) + 1)
    return min(1.0, 2.0 * min(share, 1.0 - share))


def fissler_ziegel(y_N: Floats, var_N: Floats, es_N: Floats, level: float) -> Floats:
    """FZ0 loss of (VaR, ES), which both elicit together; lower is better, NaN where ES is not below zero.

    Patton, Ziegel and Chen, J. Econometrics 211 (2019), equation 6.
    """
    es = np.where(es_N < 0, es_N, np.nan)
    return np.asarray(-np.maximum(var_N - y_N, 0.0) / (level * es) + var_N / es + np.log(-es) - 1.0)


def tick(y_N: Floats, var_N: Floats, level: float) -> Floats:
    """Tick (pinball) loss of VaR. Koenker and Bassett 1978."""
    return np.asarray((level - (y_N < var_N)) * (y_N - var_N))
