"""Giacomini-Rossi fluctuation test: the rolling mean loss difference, with a band for its largest excursion.

Giacomini and Rossi 2010, with the variance by equal-weighted cosines and the critical value drawn for as many dates,
as wide a window and as much overlap as there are, instead of read from their table for long samples.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from s2squant.evaluation.statistics.diebold_mariano import ewc
from s2squant.evaluation.statistics.ideal_forecaster import exceeding
from s2squant.series.arrays import Floats

DRAWS = 1999


class Fluctuation(NamedTuple):
    """Rolling means (n - window + 1,), each over `window` dates, and the largest |mean| chance allows at 5 %."""

    rolling: Floats
    window: int
    band: float
    statistic: float
    p: float
    reason: str


def fluctuation(differences: Floats, overlap: int, share: float) -> Fluctuation:
    """Roll over windows of `share` of the dates; no test, with the reason, when a window is not 4 overlaps long."""
    n = len(differences)
    window = max(1, round(share * n))
    rolling = rolling_mean(differences, window) if n else np.empty(0)
    if window < 4 * overlap or window < 8:
        return Fluctuation(rolling, window, np.nan, np.nan, 1.0, f"windows of {window} cutoffs are too short")
    if not np.isfinite(differences).all():
        return Fluctuation(rolling, window, np.nan, np.nan, 1.0, "a loss is not finite")
    _, se, _ = ewc(differences, overlap)
    if se <= 0:
        return Fluctuation(rolling, window, np.nan, 0.0, 1.0, "the two do not differ")
    draws = _draws(n, window, overlap)
    scale = float(se) * np.sqrt(n / window)
    statistic = float(np.abs(rolling).max() / scale)
    p = float(exceeding(np.array(statistic), draws))
    return Fluctuation(rolling, window, float(np.quantile(draws, 0.95)) * scale, statistic, p, "")


def rolling_mean(values: Floats, window: int) -> Floats:
    """Means of `window` neighbours along the last axis."""
    total = np.cumsum(np.concatenate([np.zeros((*values.shape[:-1], 1)), values], axis=-1), axis=-1)
    return np.asarray((total[..., window:] - total[..., :-window]) / window)


@lru_cache(maxsize=128)
def _draws(n: int, window: int, overlap: int) -> Floats:
    """Sorted draws of the largest excursion of overlapping sums of noise."""
    rng = np.random.default_rng([n, window, overlap])
    largest = []
    for size in (1000, DRAWS - 1000):
        series = rolling_mean(rng.standard_normal((size, n + overlap - 1)), overlap)
        _, se, _ = ewc(series, overlap)
        largest.append(np.abs(rolling_mean(series, window)).max(axis=1) / (se * np.sqrt(n / window)))
    return np.sort(np.concatenate(largest))
