"""GJR-FHS over several tickers at once: residuals of the same dates drawn for all, what a risk department would do.

Shape legend: M tickers, T returns, D common dates, N origins, K steps, S paths, H steps ahead.
Source: Barone-Adesi, Giannopoulos and Vosper, J. Futures Markets 19 (1999), section on portfolios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2squant.forecasters.baselines.fhs import LARGEST, FittedGjrFhs
from s2squant.forecasters.baselines.variance import SEED_BARS, Dynamics, filtered, simulated_sums
from s2squant.series.arrays import Dates, Floats, Ints
from s2squant.series.history import PriceHistory

FEWEST = 100
"""Common dates without which nothing is drawn."""


@dataclass(frozen=True)
class JointFhs:
    """Fits of several tickers and their residuals (M, D) on common dates up to the fit."""

    fits: Sequence[FittedGjrFhs]
    histories: Sequence[PriceHistory]
    residuals_MD: Floats

    def simulate(self, days_N: Dates, steps: Ints, paths: int, *, seed: int) -> Floats:
        """Cumulative log returns (M, N, K, S) at `steps` from each of some days, the same drawn dates for all."""
        horizon = int(steps.max())
        drawn_SH = np.random.default_rng(seed).integers(self.residuals_MD.shape[1], size=(paths, horizon))
        made = np.empty((len(self.fits), len(days_N), len(steps), paths), np.float32)
        for m, (fit, history) in enumerate(zip(self.fits, self.histories, strict=True)):
            unit, mean, *coefficients = fit.learnt[0]
            dynamics = Dynamics(*coefficients)
            bars_N = np.searchsorted(history.dates, days_N)
            variance_N = filtered(history.log_returns / unit - mean, dynamics)[bars_N]
            sums = simulated_sums(variance_N, dynamics, self.residuals_MD[m][drawn_SH])
            for step, sums_NS in enumerate(sums, 1):
                if len(k := np.flatnonzero(steps == step)):
                    made[m, :, k[0]] = unit * (sums_NS + mean * step)
        return made


def joint_fhs(fits: Sequence[FittedGjrFhs], histories: Sequence[PriceHistory], until: np.datetime64) -> JointFhs | None:
    """The joint simulation of fits of one ticker each; None where their dates up to `until` are too few."""
    dated = [_residuals(fit, history, until) for fit, history in zip(fits, histories, strict=True)]
    days = dated[0][0]
    for other, _ in dated[1:]:
        days = np.intersect1d(days, other, assume_unique=True)
    if len(days) < FEWEST:
        return None
    common_MD = np.stack([values[np.searchsorted(own, days)] for own, values in dated])
    return JointFhs(fits, histories, common_MD - common_MD.mean(axis=1, keepdims=True))


def _residuals(fit: FittedGjrFhs, history: PriceHistory, until: np.datetime64) -> tuple[Dates, Floats]:
    """Dates and standardised returns after the filter's first bars, as far as the fit saw them."""
    unit, mean, *coefficients = fit.learnt[0]
    scaled_T = history.log_returns / unit - mean
    standardised_T = scaled_T / np.sqrt(filtered(scaled_T, Dynamics(*coefficients))[:-1])
    known = (history.dates[1:] <= until) & (np.arange(len(scaled_T)) >= SEED_BARS)
    return history.dates[1:][known], np.clip(standardised_T[known], -LARGEST, LARGEST)
