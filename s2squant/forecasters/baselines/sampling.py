"""Quasi-Monte-Carlo draws and sample quantiles, deterministic in a seed.

Shape legend: S paths (a power of two), H steps ahead, Q even levels, T tail levels, A all levels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2squant.series.arrays import Floats
from s2squant.series.tails import ALL_LEVELS, put_together, taken_apart

CHUNK = 32
"""Origins simulated together: their paths stay in the cache. It changes no result."""
PATHS_KEPT = 128
"""Sample paths of an origin that a forecast hands on, for scores of whole paths; quantiles come from all of them."""


def ticker_seed(seed: int, ticker: str, model: str) -> int:
    """A seed for one ticker of one model that does not depend on which other tickers are present."""
    digest = hashlib.sha256(f"{seed}\0{model}\0{ticker}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def uniforms(paths: int, horizon: int, seed: int) -> Floats:
    """Scrambled Sobol points (S, H) in [0, 1), S the power of two from `paths` up.

    Every column has exactly one point in each of the S intervals [k/S, (k+1)/S). Source: Owen (1998), Matousek (1998).
    """
    from scipy.stats import qmc  # half a second that models without draws need not wait for

    points: Floats = qmc.Sobol(horizon, scramble=True, rng=seed).random_base2(max(paths - 1, 1).bit_length())
    return points


def sample_quantiles(samples_xS: NDArray[np.floating[Any]]) -> Floats:
    """Quantiles (..., A) at ALL_LEVELS of samples along the last axis, which is sorted in place.

    The k-th smallest of S has level (k + 1/2) / S, linear between (type 5 of Hyndman and Fan 1996): unbiased for one
    stratified point per interval. Sorting single precision is four times as fast as double.
    """
    count = samples_xS.shape[-1]
    place_A = np.clip(ALL_LEVELS * count - 0.5, 0, count - 1)
    below_A = np.minimum(np.floor(place_A).astype(np.intp), count - 2)
    samples_xS.sort(axis=-1)
    low_xA = samples_xS[..., below_A].astype(np.float64)
    high_xA = samples_xS[..., below_A + 1].astype(np.float64)
    levels_xA = low_xA + (high_xA - low_xA) * (place_A - below_A)
    even_xQ, tails_xT = taken_apart(levels_xA)
    return put_together(np.maximum.accumulate(even_xQ, axis=-1), tails_xT)


def quantiles_and_paths(sums: Iterable[NDArray[np.float32]]) -> tuple[Floats, Floats]:
    """Quantiles (N, H, A) and the paths that are kept (N, S, H) of simulated sums, (N, S) a step in one buffer."""
    quantiles, paths = [], []
    for sums_NS in sums:
        paths.append(sums_NS[:, :PATHS_KEPT].copy())
        quantiles.append(sample_quantiles(sums_NS.copy()))
    return np.stack(quantiles, axis=1), np.stack(paths, axis=2)
