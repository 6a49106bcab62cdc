"""Realised measures of each session from the bars within it.

    variance   RV = sum r_i^2
    bipower    BV = (pi / 2) n / (n - 1) sum |r_i| |r_{i-1}|            what diffusion adds, jumps left out
    jump       J = max(RV - BV, 0) where the ratio test finds one, else 0; continuous = RV - J
    up, down   sums of the squares of rises and of falls
    overnight  squared return from the last close to the open; total = overnight + RV

    Z = (1 - BV / RV) / sqrt(((pi / 2)^2 + pi - 5) / n max(1, TQ / BV^2)) > 3.09: one session in a thousand by chance
    TQ = n k n / (n - 2) sum (|r_i| |r_{i-1}| |r_{i-2}|)^(4/3), k = E|u|^(4/3)^-3

Where bars are missing, sums of pairs and triples are means over those there are, times n or n^2.

Sources: Andersen, Bollerslev, Diebold and Labys, Econometrica 71 (2003), RV; Barndorff-Nielsen and Shephard, J. of
Financial Econometrics 2 (2004), BV; Huang and Tauchen, the same 3 (2005), Z; Andersen, Bollerslev and Diebold, Review
of Economics and Statistics 89 (2007), J and its level; Barndorff-Nielsen, Kinnebrock and Shephard (2010), up and down.
Shape legend: N bars, D sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma, ndtri

from s2squant.series.arrays import Dates, Floats, Ints

SIGNIFICANT = float(ndtri(0.999))
FEWEST = 6
"""Bars of a session below which nothing is measured; one with under half of the usual number has none either."""
QUARTIC = float((2 ** (2 / 3) * gamma(7 / 6) / gamma(1 / 2)) ** -3)


@dataclass(frozen=True)
class Realised:
    """Measures of each session, (D,) each, NaN where bars are too few; variances of log returns."""

    days_D: Dates
    variance: Floats
    bipower: Floats
    jump: Floats
    down: Floats
    up: Floats
    overnight: Floats

    @property
    def continuous(self) -> Floats:
        """Variance without the jump."""
        return self.variance - self.jump

    @property
    def total(self) -> Floats:
        """Variance from close to close: the night's and the session's."""
        return self.overnight + self.variance


def realised(opens_N: Floats, closes_N: Floats, days_N: Dates) -> Realised:
    """Measures from the prices of bars in order and the sessions that they belong to; an open that lacks is NaN."""
    days_D, first_D, count_D = np.unique(days_N, return_index=True, return_counts=True)
    owner_N = np.repeat(np.arange(len(days_D)), count_D)
    starts_N = np.zeros(len(days_N), bool)
    starts_N[first_D] = True
    before_N = np.concatenate([[np.nan], closes_N[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        from_N = np.where(starts_N, opens_N, before_N)
        return_N = np.log(closes_N / from_N)
        night_D = np.square(np.log(opens_N[first_D] / before_N[first_D]))
    known_N = np.isfinite(return_N)
    return_N = np.where(known_N, return_N, 0.0)
    size_N = np.abs(return_N)
    chain_N = _chained(owner_N, known_N)
    pair_N = np.where(chain_N >= 2, size_N * np.append(0.0, size_N[:-1]), 0.0)
    triple_N = np.where(chain_N >= 3, pair_N * np.concatenate([[0.0, 0.0], size_N[:-2]]), 0.0)

    def total(values_N: NDArray[Any]) -> Floats:
        return np.asarray(np.bincount(owner_N, values_N, len(days_D)), np.float64)

    def mean(values_N: Floats, length: int) -> Floats:
        return total(values_N) / np.maximum(total(chain_N >= length), 1.0)

    n_D = total(known_N)
    enough_D = (count_D >= FEWEST) & (n_D >= 0.5 * np.median(n_D))
    n_D = np.where(enough_D, n_D, np.nan)
    variance_D = np.where(enough_D, total(return_N**2), np.nan)
    bipower_D = np.pi / 2 * n_D * mean(pair_N, 2)
    quarticity_D = QUARTIC * n_D**2 * mean(triple_N ** (4 / 3), 3)
    return Realised(
        days_D,
        variance_D,
        bipower_D,
        _jump(variance_D, bipower_D, quarticity_D, n_D),
        np.where(enough_D, total(np.where(return_N < 0, return_N**2, 0.0)), np.nan),
        np.where(enough_D, total(np.where(return_N > 0, return_N**2, 0.0)), np.nan),
        night_D,
    )


def _chained(owner_N: Ints, known_N: NDArray[np.bool_]) -> Ints:
    """How many known returns of one session stand in a row up to each bar, 3 at most."""
    same = np.append(False, owner_N[1:] == owner_N[:-1])
    one = known_N.astype(np.intp)
    two = one * np.where(same, np.append(0, one[:-1]), 0)
    three = two * np.where(same, np.append(0, two[:-1]), 0)
    return one + two + three


def _jump(variance_D: Floats, bipower_D: Floats, quarticity_D: Floats, n_D: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = ((np.pi / 2) ** 2 + np.pi - 5) / n_D * np.maximum(1.0, quarticity_D / bipower_D**2)
        z = (1 - bipower_D / variance_D) / np.sqrt(spread)
    jump = np.where(z > SIGNIFICANT, np.maximum(variance_D - bipower_D, 0.0), 0.0)
    return np.where(np.isfinite(variance_D), jump, np.nan)
