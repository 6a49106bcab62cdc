"""Equal predictive accuracy under overlapping horizons: Diebold-Mariano with an EWC variance and Student t.

Diebold and Mariano 1995; equal-weighted cosines after Lazarus, Lewis, Stock and Watson 2018. The number of
cosines is also capped at n / (2 overlap), so that none is fast enough to mistake an overlapping label for
independent evidence; simulated size 4 to 5 % at nominal 5 % (tests/evaluation/test_verdict.py).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from s2squant.series.arrays import Floats

MIN_CUTOFFS = 8
"""Fewer cutoffs are not tested at all."""
POWER = 0.8
"""Power at which the smallest detectable effect is stated."""
INTERVAL = 0.975
"""Upper quantile of the two-sided 95 % interval."""


class Series(NamedTuple):
    """Mean of a series of loss differences, its standard error, and what the error rests on."""

    mean: float
    se: float
    nu: int
    n: int
    reason: str
    """Why there is no test; empty when there is one."""

    @property
    def low(self) -> float:
        """Lower end of the mean's 95 % interval."""
        return self.mean - float(interval_factor(np.array(float(self.nu)))) * self.se

    @property
    def high(self) -> float:
        """Upper end of the mean's 95 % interval."""
        return self.mean + float(interval_factor(np.array(float(self.nu)))) * self.se

    @property
    def p(self) -> float:
        """Two-sided p of a mean of zero."""
        statistic = t_statistic(np.array(self.mean), np.array(self.se))
        return float(p_value(statistic, np.array(float(self.nu))))

    def smallest_detectable(self, alpha: float) -> float:
        """Mean that the two-sided test at `alpha` would find four times in five."""
        return float(detectable_factor(np.array(float(self.nu)), alpha)) * self.se


def degrees(n: int, overlap: int) -> int:
    """Number of cosines, which is also the degrees of freedom of the t statistic."""
    return max(1, int(min(0.4 * n ** (2 / 3), n / (2 * overlap))))


def fewest(overlap: int) -> int:
    """Cutoffs without which a series is not tested."""
    return max(MIN_CUTOFFS, 2 * overlap)


def ewc(differences: Floats, overlap: int) -> tuple[Floats, Floats, int]:
    """Mean and EWC standard error along the last axis (..., n), and their degrees of freedom.

    `overlap` is how many consecutive cutoffs share part of their label: ceil(horizon / bars between cutoffs).
    """
    n = differences.shape[-1]
    nu = degrees(n, overlap)
    cosines = differences @ cosine_table(n, nu)
    return differences.mean(axis=-1), np.sqrt(np.square(cosines).mean(axis=-1) / n), nu


def examine(differences: Floats, overlap: int) -> Series:
    """`ewc` of one series (n,), or the reason why it cannot be tested (too short, not finite)."""
    n = len(differences)
    needed = fewest(overlap)
    if n < needed:
        seen = float(differences.mean()) if n else np.nan
        return Series(seen, np.nan, degrees(max(n, 1), overlap), n, f"{n} cutoffs, at least {needed} needed")
    if not np.isfinite(differences).all():
        return Series(np.nan, np.nan, degrees(n, overlap), n, "the benchmark lost nothing")
    mean_of, se_of, nu = ewc(differences, overlap)
    return Series(float(mean_of), float(se_of), nu, n, "")


def t_statistic(mean: Floats, se: Floats) -> Floats:
    """Mean over se; 0 where the two models are identical (no spread), NaN where untested."""
    statistic = np.divide(mean, se, out=np.zeros_like(mean), where=se > 0)
    return np.where(np.isnan(se), np.nan, statistic)


def p_value(statistic: Floats, nu: Floats) -> Floats:
    """Two-sided Student-t p; 1 where untested, which claims nothing."""
    return np.where(np.isnan(statistic), 1.0, 2.0 * stdtr(nu, -np.abs(np.nan_to_num(statistic))))


def interval_factor(nu: Floats) -> Floats:
    """Standard errors on each side of the effect in its 95 % interval."""
    return np.asarray(stdtrit(nu, INTERVAL))


def detectable_factor(nu: Floats, alpha: float) -> Floats:
    """Standard errors an effect must measure to be found with 80 % power at the two-sided level `alpha`."""
    return np.asarray(stdtrit(nu, 1.0 - alpha / 2.0) + stdtrit(nu, POWER))


def power_margin(nu: int, alpha: float) -> float:
    """Standard errors by which a detectable effect exceeds its 95 % interval's half-width."""
    return float(detectable_factor(np.array(float(nu)), alpha) - interval_factor(np.array(float(nu))))


@lru_cache(maxsize=512)
def cosine_table(n: int, nu: int) -> Floats:
    """The first `nu` cosines over `n` dates (n, nu): a stationary series turns into nearly independent numbers."""
    t, j = np.arange(1, n + 1), np.arange(1, nu + 1)
    table: Floats = np.sqrt(2.0 / n) * np.cos(np.pi * np.outer(t - 0.5, j) / n)
    table.setflags(write=False)
    return table
