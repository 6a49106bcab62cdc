"""Quantiles of others' levels on ours, and of sums of daily returns.

Shape legend: N origins, H steps ahead, L given levels, Q our levels, S sample paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from s2squant.series.arrays import Floats
from s2squant.series.forecast import LEVELS

PATHS = 2048


def on_our_levels(quantiles_NHL: Floats, levels_L: Sequence[float]) -> Floats:
    """Quantiles (N, H, Q) at LEVELS, sorted: linear in those of the standard normal, beyond the outer levels too.

    For a normal distribution this is exact.
    """
    found = _at(np.sort(quantiles_NHL, axis=2), ndtri(np.asarray(levels_L)), ndtri(LEVELS))
    return np.asarray(np.maximum.accumulate(found, axis=2))


def _at(values_NHL: Floats, known_L: Floats, wanted_Q: Floats) -> Floats:
    right = np.clip(np.searchsorted(known_L, wanted_Q), 1, len(known_L) - 1)
    low, high = known_L[right - 1], known_L[right]
    weight_Q = (wanted_Q - low) / (high - low)
    found: Floats = values_NHL[..., right - 1] * (1 - weight_Q) + values_NHL[..., right] * weight_Q
    return found


def summed(steps_NHQ: Floats, seed: int) -> Floats:
    """Quantiles (N, H, Q) of sums of daily returns whose marginals at LEVELS are given.

    Paths are drawn, every step independent of the others, and summed; the draws of a step are a Latin hypercube's, and
    all origins share them, so that none depends on which others are asked.
    """
    horizon, even_S = steps_NHQ.shape[1], ndtri((np.arange(PATHS) + 0.5) / PATHS)
    rng = np.random.default_rng(seed)
    normal_SH = np.stack([rng.permutation(even_S) for _ in range(horizon)], axis=1)
    result, known = np.empty_like(steps_NHQ), ndtri(LEVELS)
    for n, steps_HQ in enumerate(steps_NHQ):
        drawn_SH = np.stack([_at(steps_HQ[None, h : h + 1], known, normal_SH[:, h])[0, 0] for h in range(horizon)], 1)
        result[n] = np.quantile(np.cumsum(drawn_SH, axis=1), LEVELS, axis=0).T
    return result
