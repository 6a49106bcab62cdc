"""Empirical-Bayes shrinkage of skill by ticker: a ranking by raw skill ranks noise and short histories.

Normal prior with the pooled mean and a spread estimated from the tickers (Paule and Mandel 1982; Efron 2010). Errors of
tickers that move together are alike, which makes them look less spread than they are: the tickers are drawn closer to
the mean than independence would have them, and the mean's error comes from the pooled test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from s2squant.series.arrays import Floats


class Shrunken(NamedTuple):
    """Posterior mean and standard deviation (M,), the weight of a ticker's own data (M,), the prior's spread."""

    mean: Floats
    deviation: Floats
    weight: Floats
    prior: float


def shrink(effect: Floats, se: Floats, centre: float, centre_se: float) -> Shrunken:
    """Draw effects (M,) with standard errors (M,) towards `centre`; a ticker without a standard error gets the centre.

    A `centre` that is unknown (NaN) is replaced by the precision-weighted mean.
    """
    known = np.isfinite(effect) & np.isfinite(se) & (se > 0)
    if not known.any():
        nothing = np.full(len(effect), np.nan)
        return Shrunken(nothing, nothing, np.zeros(len(effect)), np.nan)
    prior = _prior(effect[known], se[known])
    if not np.isfinite(centre):
        weights = 1.0 / (prior**2 + se[known] ** 2)
        centre, centre_se = float(weights @ effect[known] / weights.sum()), float(weights.sum() ** -0.5)
    error = np.where(known, se, np.inf)
    weight = prior**2 / (prior**2 + error**2)
    own = np.where(known, effect, centre)
    variance = np.where(known, weight * np.where(known, error, 0.0) ** 2, prior**2)
    variance = variance + np.square((1.0 - weight) * np.nan_to_num(centre_se))
    return Shrunken(centre + weight * (own - centre), np.sqrt(variance), weight, prior)


def _prior(effect: Floats, se: Floats) -> float:
    """The spread at which the weighted squares around the mean are as large as they should be; 0 if never."""

    def excess(spread: float) -> float:
        weights = 1.0 / (spread**2 + se**2)
        centre = weights @ effect / weights.sum()
        return float(weights @ np.square(effect - centre)) - (len(effect) - 1)

    if len(effect) < 2 or excess(0.0) <= 0:
        return 0.0
    top = 10.0 * float(np.ptp(effect))
    return float(brentq(excess, 0.0, top)) if excess(top) < 0 else top
