"""Filtered historical simulation: GJR(1,1) by maximum likelihood, its shocks resampled from its own residuals.

Shape legend: M tickers, T returns, N origins, S paths, H steps ahead, Q quantile levels.
Source: Barone-Adesi, Giannopoulos and Vosper, J. Futures Markets 19 (1999); Hull and White, J. Risk 1 (1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2squant.config.baselines import GarchTSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.garch import Law, estimate, simulated_forecast
from s2squant.forecasters.baselines.returns import Origins, even_returns, tickers_of
from s2squant.forecasters.baselines.sampling import uniforms
from s2squant.forecasters.baselines.variance import SEED_BARS, Dynamics, filtered
from s2squant.forecasters.expected_return import shrunk_drifts
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel

NAME = "gjr_fhs"
SHOCKS = 2048
"""Residuals are kept as so many values at equally spaced levels."""
LARGEST = 15.0
"""Residuals beyond are this large: a peg that broke says nothing about the next one's distance."""


@dataclass(frozen=True)
class GjrFhs:
    """GJR(1,1) as in `gjr_t`, but with the skew and tails that its residuals have.

    The constant is the sample's mean: that of a symmetric likelihood lies too high where falls are larger than rises.
    """

    spec: GarchTSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedGjrFhs:
        """Maximum likelihood on the last `spec.window` returns of every ticker with a training row."""
        tickers = tickers_of(panel, rows)
        learnt_M6, shocks_MK = np.empty((len(tickers), 6)), np.empty((len(tickers), SHOCKS))
        fallback, profiles = [], profiles_of(panel)
        sd_R = None if profiles is None else profiles.sd(panel)
        for m, ticker in enumerate(tickers):
            returns_T = even_returns(panel, ticker, sd_R)[-self.spec.window :]
            learnt = estimate(returns_T, leverage=True, zero_mean=self.spec.mean == "zero")
            if not learnt.converged:
                fallback.append(ticker)
            learnt_M6[m] = (learnt.unit, learnt.mean, *learnt.dynamics)
            learnt_M6[m, 1] = mean = self._mean(panel, ticker, returns_T) / learnt.unit
            shocks_MK[m] = residuals(returns_T / learnt.unit - mean, learnt.dynamics)
        return FittedGjrFhs(
            self.spec,
            NAME,
            tickers,
            horizon,
            seed,
            {"learnt": learnt_M6, "shocks": shocks_MK},
            tuple(fallback),
            profiles=profiles,
        )

    def _mean(self, panel: Panel, ticker: str, returns_T: Floats) -> float:
        match self.spec.mean:
            case "constant":
                return float(returns_T.mean())
            case "zero":
                return 0.0
            case "shrunk":
                return float(shrunk_drifts(panel).of(panel)[panel.tickers.index(ticker)])

    def restore(self, state: State) -> FittedGjrFhs:
        """The fitted forecaster that wrote `state`."""
        return FittedGjrFhs.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedGjrFhs(FittedBaseline[GarchTSpec]):
    """GJR for named tickers: learnt (M, 6) unit, mean, omega, alpha, gamma and beta, shocks (M, K) the residuals."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Simulated quantiles from the variance filtered up to each origin, moved by the drift."""
        return simulated_forecast(self, panel, rows, self._law)

    def _law(self, origins: Origins) -> Law:
        unit, mean, *coefficients = self.learnt[origins.number]
        order_SH = uniforms(self.spec.paths, self.horizon, self.seed_of(origins.ticker))
        shocks_SH = self.arrays["shocks"][origins.number][(order_SH * SHOCKS).astype(np.intp)]
        return Law(unit, mean, Dynamics(*coefficients), shocks_SH)


def residuals(scaled_T: Floats, dynamics: Dynamics) -> Floats:
    """Standardised returns as SHOCKS values, increasing, mean 0: those after the filter's first 60 bars, or all."""
    standardised_T = scaled_T / np.sqrt(filtered(scaled_T, dynamics)[:-1])
    settled = standardised_T[SEED_BARS:] if len(standardised_T) > 2 * SEED_BARS else standardised_T[1:]
    return spaced(np.clip(np.sort(settled), -LARGEST, LARGEST) if len(settled) else np.zeros(1))


def spaced(sorted_T: Floats) -> Floats:
    """SHOCKS values at equally spaced levels of a sorted sample, less their mean."""
    level = (np.arange(SHOCKS) + 0.5) / SHOCKS
    values: Floats = np.quantile(sorted_T, level, method="hazen")
    values -= values.mean()
    return values
