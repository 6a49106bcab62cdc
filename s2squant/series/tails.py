"""Tail levels beside the even grid, and any level between them: what VaR and expected shortfall are read from.

CRPS and every score of the whole distribution stay on the even grid alone (forecast.LEVELS); the tail levels stand
beside it, two on each side.

Shape legend: Q even levels, T tail levels, A all levels (T and Q together, increasing).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.series.arrays import Floats

LEVELS: Floats = np.arange(1, 40) / 40.0
"""The even grid of every forecast, 0.025 .. 0.975 by 0.025."""
TAIL_LEVELS: Floats = np.array([0.005, 0.01, 0.99, 0.995])
"""The tail levels of every forecast."""
ALL_LEVELS: Floats = np.concatenate([TAIL_LEVELS[:2], LEVELS, TAIL_LEVELS[2:]])
QUANTILE_COLUMNS: tuple[str, ...] = tuple(f"q{level:.3f}" for level in LEVELS)
"""Column names of the even grid in a forecast table, q0.025 .. q0.975."""
TAIL_COLUMNS: tuple[str, ...] = tuple(f"q{level:.3f}" for level in TAIL_LEVELS)
"""Column names of the tails, q0.005, q0.010, q0.990, q0.995."""
ALL_COLUMNS: tuple[str, ...] = (*TAIL_COLUMNS[:2], *QUANTILE_COLUMNS, *TAIL_COLUMNS[2:])
EVEN = slice(2, 2 + len(LEVELS))
"""The even grid among all levels."""
MEDIAN = len(LEVELS) // 2


def taken_apart(levels_xA: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The even grid (..., Q) and the tails (..., T) of quantiles at ALL_LEVELS."""
    return np.ascontiguousarray(levels_xA[..., EVEN]), np.concatenate(
        [levels_xA[..., :2], levels_xA[..., -2:]], axis=-1
    )


def put_together(even_xQ: Floats, tails_xT: Floats) -> Floats:
    """Quantiles (..., A) at ALL_LEVELS, tails never inside the even grid."""
    low = np.minimum(tails_xT[..., :2], even_xQ[..., :1])
    high = np.maximum(tails_xT[..., 2:], even_xQ[..., -1:])
    return np.concatenate([low, even_xQ, high], axis=-1)


def exponential_tails(even_xQ: Floats) -> Floats:
    """Tails (..., T) of an exponential law through the two outermost quantiles on each side.

    For forecasts whose law ends with the even grid. The log score reads densities off the same tails.
    """
    reach_T = np.log(LEVELS[0] / np.minimum(TAIL_LEVELS, 1 - TAIL_LEVELS)) / np.log(LEVELS[1] / LEVELS[0])
    low, high = (even_xQ[..., :1], even_xQ[..., 1:2]), (even_xQ[..., -1:], even_xQ[..., -2:-1])
    parts = [out + (out - inner) * reach for (out, inner), reach in ((low, reach_T[:2]), (high, reach_T[2:]))]
    return np.concatenate(parts, axis=-1)


def stretched_tails(even_xQ: Floats, like_xQ: Floats, tails_xT: Floats) -> Floats:
    """Tails (..., T) as far beyond the outermost quantiles as those of a like law, in distances to the median."""
    parts = []
    for end, own in ((0, slice(0, 2)), (-1, slice(2, 4))):
        reach = like_xQ[..., end] - like_xQ[..., MEDIAN]
        beyond = tails_xT[..., own] - like_xQ[..., end, None]
        share = np.divide(beyond, reach[..., None], out=np.zeros_like(beyond), where=reach[..., None] != 0)
        distance = (even_xQ[..., end] - even_xQ[..., MEDIAN])[..., None]
        parts.append(even_xQ[..., end, None] + np.maximum(share, 0.0) * distance)
    return np.concatenate(parts, axis=-1)


def tail_columns(table: pd.DataFrame) -> list[str]:
    """The tail columns that a forecast table has; tables of before 0.2 and some made by hand have none."""
    return [name for name in TAIL_COLUMNS if name in table.columns]


def all_quantiles(table: pd.DataFrame) -> Floats:
    """Quantiles (N, A) at ALL_LEVELS of a forecast table; exponential tails where it has none, or not of every row."""
    even = table[list(QUANTILE_COLUMNS)].to_numpy(np.float64)
    fallback = exponential_tails(even)
    if len(tail_columns(table)) < len(TAIL_COLUMNS):
        return put_together(even, fallback)
    tails = table[list(TAIL_COLUMNS)].to_numpy(np.float64)
    return put_together(even, np.where(np.isfinite(tails), tails, fallback))


def at_level(quantiles_xA: Floats, level: float) -> Floats:
    """Quantiles (...) at any level from 0.005 to 0.995, from those at ALL_LEVELS.

    Exact on the levels; between them monotone cubic interpolation (Fritsch and Carlson 1980) over normal scores, in
    which a Gaussian law is a straight line. Raises ValueError beyond the outermost levels.
    """
    near = int(np.argmin(np.abs(ALL_LEVELS - level)))
    if np.isclose(ALL_LEVELS[near], level, rtol=0, atol=1e-9):
        return np.asarray(quantiles_xA[..., near])
    if not ALL_LEVELS[0] < level < ALL_LEVELS[-1]:
        raise ValueError(f"level {level:g} is beyond the outermost levels, {ALL_LEVELS[0]:g} and {ALL_LEVELS[-1]:g}")
    from scipy.interpolate import PchipInterpolator
    from scipy.special import ndtri

    return np.asarray(PchipInterpolator(ndtri(ALL_LEVELS), quantiles_xA, axis=-1)(ndtri(level)))
