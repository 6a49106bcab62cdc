"""Giacomini-White test of equal conditional predictive ability, given what is known at the cutoff.

Giacomini and White 2006, equation 4, with the long-run covariance by equal-weighted cosines and its F law (Lazarus,
Lewis, Stock and Watson 2018), which keeps the level under overlap where chi-square does not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import f as f_law
from scipy.stats import ncf

from s2squant.evaluation.statistics.diebold_mariano import POWER, cosine_table, degrees
from s2squant.series.arrays import Floats

FAR = 3.0
"""Instruments are cut off at this many standard deviations."""


class JointTest(NamedTuple):
    """A test that several means are zero."""

    statistic: float
    p: float
    nu: int
    reason: str


def giacomini_white(differences: Floats, spread: Floats, overlap: int) -> JointTest:
    """Test (n,) loss differences against three instruments: 1, the last matured difference, the forecast's `spread`.

    The difference of a cutoff is known `overlap` cutoffs later and used no earlier. `spread` (n,) is known at the
    cutoff: the width of the reference's interval. Instruments without variation are left out.
    """
    n = len(differences) - overlap
    if n < 1 or not np.isfinite(differences).all() or not np.isfinite(spread).all():
        return JointTest(np.nan, 1.0, 0, "too few cutoffs" if n < 1 else "a loss is not finite")
    now = differences[overlap:]
    instruments: list[Floats] = [np.ones(n)]
    instruments += [s for s in (_standard(differences[:-overlap]), _standard(spread[overlap:])) if s is not None]
    return zero_means(np.stack([now * g for g in instruments], axis=1), overlap)


def zero_means(values_TQ: Floats, overlap: int) -> JointTest:
    """F test that the means of Q serially dependent series are all zero."""
    n, q = values_TQ.shape
    nu = degrees(n, overlap)
    if nu < q + 1:
        return JointTest(np.nan, 1.0, nu, f"{n} cutoffs, about {2 * overlap * (q + 1)} needed")
    cosines = cosine_table(n, nu).T @ values_TQ
    covariance = cosines.T @ cosines / nu
    mean = values_TQ.mean(axis=0)
    if np.linalg.matrix_rank(covariance, hermitian=True) < q:
        return JointTest(0.0, 1.0, nu, "the two do not differ")
    statistic = float(n * mean @ np.linalg.solve(covariance, mean)) * (nu - q + 1) / (nu * q)
    return JointTest(statistic, float(f_law.sf(statistic, q, nu - q + 1)), nu, "")


@lru_cache(maxsize=256)
def detectable_distance(q: int, nu: int, alpha: float) -> float:
    """Standard errors that one mean must measure to be found by the joint test of `q` means with 80 % power."""
    if nu < q + 1:
        return float("nan")
    critical = f_law.isf(alpha, q, nu - q + 1)

    def missing(distance: float) -> float:
        return float(ncf.sf(critical, q, nu - q + 1, distance**2)) - POWER

    return float(brentq(missing, 0.1, 1e3))


def _standard(values: Floats) -> Floats | None:
    deviation = values.std()
    if deviation <= 0:
        return None
    return np.asarray(np.clip((values - values.mean()) / deviation, -FAR, FAR))
