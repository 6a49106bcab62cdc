"""The GARCH(1,1) recursion with leverage, used twice: to filter what happened and to simulate what may.

    v[b+1] = omega + (alpha + gamma 1[r[b] < 0]) r[b]^2 + beta v[b]

Shape legend: T returns, N origins, S paths, H steps ahead, A quantile levels.
Source: Bollerslev (1986); Glosten, Jagannathan and Runkle (1993). EWMA is omega = gamma = 0, alpha = 1 - beta.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from s2squant.forecasters.baselines.sampling import CHUNK, PATHS_KEPT, sample_quantiles
from s2squant.series.arrays import Floats
from s2squant.series.tails import ALL_LEVELS

SEED_BARS = 60
FLOOR = 1e-8
"""Smallest variance, in units of the ticker's squared scale: a pegged price moves again one day."""
CEILING = 1e12
"""Largest simulated variance in the same units; far beyond any market, it keeps single precision finite."""


class Dynamics(NamedTuple):
    """Coefficients of the recursion, for returns divided by the ticker's scale."""

    omega: float
    alpha: float
    gamma: float
    beta: float


def scale_of(returns_T: Floats) -> float:
    """Root mean square of a ticker's returns, what its returns are divided by; 1e-8 where the price never moves."""
    return max(float(np.sqrt(np.square(returns_T).mean())), 1e-8)


def filtered(scaled_T: Floats, dynamics: Dynamics) -> Floats:
    """Variances (T + 1,): entry b is that of the next return given the first b; entry 0, given none, is NaN.

    Up to bar 60 it is the mean square so far, which seeds the recursion: each entry reads only returns before it.
    The recursion is linear in v, hence one pass of a compiled filter.
    """
    squares_T = np.square(scaled_T)
    warm = min(SEED_BARS, len(squares_T))
    variance = np.full(len(squares_T) + 1, np.nan)
    variance[1 : warm + 1] = np.cumsum(squares_T[:warm]) / np.arange(1, warm + 1)
    if len(squares_T) > warm:
        weight = dynamics.alpha + dynamics.gamma * (scaled_T[warm:] < 0)
        pushed = dynamics.omega + weight * squares_T[warm:]
        start = [dynamics.beta * variance[warm]]
        variance[warm + 1 :] = lfilter([1.0], [1.0, -dynamics.beta], pushed, zi=start)[0]
    floored: Floats = np.maximum(variance, FLOOR)
    return floored


def simulated_sums(
    variance_N: Floats, dynamics: Dynamics, shocks_SH: Floats, ahead_NH: Floats | None = None
) -> Iterator[Floats]:
    """Yield, step by step, the cumulative returns (N, S) of all paths from each origin's next variance.

    With `ahead_NH` each step's return is multiplied by its relative standard deviation; the variance goes on without.
    All origins share the shocks. Single precision; the same array every time: read it, do not keep or change it.
    """
    shape = (len(variance_N), len(shocks_SH))
    gain_SH = np.square(shocks_SH) * (dynamics.alpha + dynamics.gamma * (shocks_SH < 0)) + dynamics.beta
    gain_HS, shock_HS = (np.ascontiguousarray(x.T, dtype=np.float32) for x in (gain_SH, shocks_SH))
    omega, ceiling = np.float32(dynamics.omega), np.float32(CEILING)
    variance = np.broadcast_to(variance_N[:, None], shape).astype(np.float32)
    sums, move = np.zeros(shape, np.float32), np.empty(shape, np.float32)
    for step, (gain_S, shock_S) in enumerate(zip(gain_HS, shock_HS, strict=True)):
        np.minimum(variance, ceiling, out=variance)
        np.sqrt(variance, out=move)
        move *= shock_S
        if ahead_NH is not None:
            move *= ahead_NH[:, step, None].astype(np.float32)
        sums += move
        yield sums
        variance *= gain_S
        variance += omega


def simulated_quantiles(
    variance_N: Floats, dynamics: Dynamics, shocks_SH: Floats, ahead_NH: Floats | None = None
) -> Floats:
    """Quantiles (N, H, A) of the cumulative return, in the ticker's scale, from each origin's next variance.

    Without leverage the law is symmetric, and so are its quantiles made: that halves their sampling variance.
    """
    parts = [
        np.stack(
            [
                sample_quantiles(sums.copy())
                for sums in simulated_sums(
                    variance_N[first : first + CHUNK],
                    dynamics,
                    shocks_SH,
                    None if ahead_NH is None else ahead_NH[first : first + CHUNK],
                )
            ],
            axis=1,
        )
        for first in range(0, len(variance_N), CHUNK)
    ]
    levels_NHA = np.concatenate(parts) if parts else np.empty((0, shocks_SH.shape[1], len(ALL_LEVELS)))
    return levels_NHA if dynamics.gamma else (levels_NHA - levels_NHA[..., ::-1]) / 2


def simulated_paths(
    variance_N: Floats, dynamics: Dynamics, shocks_SH: Floats, ahead_NH: Floats | None = None
) -> Floats:
    """The first PATHS_KEPT paths (N, S, H) of the cumulative return, in the ticker's scale; single precision."""
    shape = (len(variance_N), min(PATHS_KEPT, len(shocks_SH)), shocks_SH.shape[1])
    paths_NSH = np.empty(shape, np.float32)
    for step, sums_NS in enumerate(simulated_sums(variance_N, dynamics, shocks_SH[:PATHS_KEPT], ahead_NH)):
        paths_NSH[..., step] = sums_NS
    return paths_NSH
