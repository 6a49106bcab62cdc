"""Joint sample paths: the marginals of any quantile forecast in the rank order of past outcomes.

    path s of ticker m at step h = F_mh^-1((rank of its date's outcome among all, at m and h) / S)

Schaake shuffle (Clark et al., J. Hydrometeorology 5 (2004)), the empirical copula of past standardised outcomes: S
equally spaced levels of each forecast's quantile function are laid out in the order that past dates have. Every column
holds the same S values whatever the order, so that the marginals stay the forecast's.

Shape legend: M tickers, H steps, A all quantile levels, W dates of past outcomes, S paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.series.arrays import Floats
from s2squant.series.tails import ALL_LEVELS

Paths = NDArray[np.float32]


def joint_paths(levels_MHA: Floats, order_MHW: NDArray[np.int32], paths: int, *, seed: int) -> Paths:
    """Cumulative log returns (M, H, S) of `paths` joint paths.

    `levels_MHA` are quantiles at ALL_LEVELS, `order_MHW` the past dates in order of their outcomes
    (`PastPaths.order`). Each date is drawn equally often, up to one; the same date at every step and ticker of a path.
    """
    made = np.empty((*levels_MHA.shape[:2], paths), np.float32)
    for m, paths_HS in enumerate(each_ticker(levels_MHA, order_MHW, paths, seed=seed)):
        made[m] = paths_HS
    return made


def each_ticker(levels_MHA: Floats, order_MHW: NDArray[np.int32], paths: int, *, seed: int) -> Iterator[Paths]:
    """The joint paths (H, S) of one ticker after the other: S x H numbers at a time."""
    if paths < 1:
        raise ValueError(f"{paths} paths")
    draws = np.random.default_rng(seed)
    dates = order_MHW.shape[2]
    count_W = np.full(dates, paths // dates, np.int32)
    count_W[draws.permutation(dates)[: paths % dates]] += 1
    order_S = draws.permutation(paths)
    date_S = np.repeat(np.arange(dates), count_W)[order_S]
    copy_S = (np.arange(paths) - np.repeat(np.cumsum(count_W) - count_W, count_W)).astype(np.int32)[order_S]
    repeated = paths > dates
    count_S = count_W[date_S]
    for levels_HA, order_HW in zip(levels_MHA, order_MHW, strict=True):
        count_HW = count_W[order_HW]
        first_HW = np.empty_like(count_HW)
        np.put_along_axis(first_HW, order_HW, np.cumsum(count_HW, axis=1, dtype=np.int32) - count_HW, axis=1)
        place_HS = np.take(first_HW, date_S, axis=1)
        if repeated:  # copies of a date stand next to each other, in an order that another column does not share
            turn_HW = (draws.random(first_HW.shape, np.float32) * count_W).astype(np.int32)
            copy_HS = np.take(turn_HW, date_S, axis=1) + copy_S
            copy_HS -= np.where(copy_HS >= count_S, count_S, np.int32(0))
            place_HS += copy_HS
        yield np.take_along_axis(spaced_quantiles(levels_HA, paths).astype(np.float32), place_HS, axis=1)


def paths_table(ticker: str, cutoff: np.datetime64, close: float, paths_HS: Paths) -> pd.DataFrame:
    """A row a path: unique_id, sample_id, cutoff, close, then the cumulative log return of each step, step_1 on."""
    paths = np.arange(paths_HS.shape[1], dtype=np.int32)
    head = pd.DataFrame({"unique_id": ticker, "sample_id": paths, "cutoff": cutoff.astype("datetime64[s]")})
    steps = pd.DataFrame({f"step_{step}": paths_S for step, paths_S in enumerate(paths_HS, 1)})
    return pd.concat([head.assign(close=close), steps], axis=1)


def spaced_quantiles(levels_xA: Floats, paths: int) -> Floats:
    """Quantiles (x, S) at the levels (k + 1/2) / S, increasing, from those at ALL_LEVELS (x, A).

    Between levels as `tails.at_level`, so that as many of the S lie below each quantile as its level says; beyond the
    outermost an exponential law through the last two, as expected shortfall reads it.
    """
    at_SA, slope_SA = _basis(paths)
    return np.asarray(levels_xA @ at_SA.T + _slopes(levels_xA) @ slope_SA.T)


def _slopes(levels_xA: Floats) -> Floats:
    """Derivatives of the monotone cubic at its knots. Fritsch and Carlson 1980, as in scipy."""
    from scipy.interpolate import PchipInterpolator
    from scipy.special import ndtri

    knots = ndtri(ALL_LEVELS)
    curve = PchipInterpolator(knots, levels_xA, axis=-1)
    return np.asarray(curve(knots, 1))


@lru_cache(maxsize=8)
def _basis(paths: int) -> tuple[Floats, Floats]:
    """Weights (S, A) of the knots' values and of their slopes: the cubic Hermite basis."""
    from scipy.special import ndtri

    knots, level_S = ndtri(ALL_LEVELS), (np.arange(paths) + 0.5) / paths
    x_S = ndtri(level_S)
    k_S = np.clip(np.searchsorted(knots, x_S, side="right") - 1, 0, len(knots) - 2)
    wide_S = knots[k_S + 1] - knots[k_S]
    t_S = np.clip((x_S - knots[k_S]) / wide_S, 0.0, 1.0)
    rows = np.arange(paths)
    at, slope = np.zeros((paths, len(knots))), np.zeros((paths, len(knots)))
    at[rows, k_S] = (1 + 2 * t_S) * (1 - t_S) ** 2
    at[rows, k_S + 1] = t_S**2 * (3 - 2 * t_S)
    slope[rows, k_S] = wide_S * t_S * (1 - t_S) ** 2
    slope[rows, k_S + 1] = -wide_S * t_S**2 * (1 - t_S)
    for end, inner, share_S in ((0, 1, level_S), (-1, -2, 1 - level_S)):
        outermost = float(min(ALL_LEVELS[end], 1 - ALL_LEVELS[end]))
        apart = np.log(min(ALL_LEVELS[inner], 1 - ALL_LEVELS[inner]) / outermost)
        beyond = np.flatnonzero(share_S < outermost)
        reach = np.log(outermost / share_S[beyond]) / apart
        at[beyond, end], at[beyond, inner] = 1 + reach, -reach
    return at, slope
