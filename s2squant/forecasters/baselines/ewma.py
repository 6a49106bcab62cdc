"""EWMA variance with Student-t shocks: RiskMetrics with honest tails.

Shape legend: M tickers, N origins, S paths, H steps ahead, A quantile levels.
Source: J.P. Morgan/Reuters, RiskMetrics Technical Document (1996), section 5.2; tails by maximum likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2squant.config.baselines import EwmaTSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.returns import even_returns, tickers_of
from s2squant.forecasters.baselines.sampling import PATHS_KEPT
from s2squant.forecasters.baselines.student import fit_student_t, student_shocks
from s2squant.forecasters.baselines.variance import (
    SEED_BARS,
    Dynamics,
    filtered,
    scale_of,
    simulated_paths,
    simulated_quantiles,
)
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "ewma_t"


@dataclass(frozen=True)
class EwmaT:
    """Forecasts sigma_t times a table of simulated sums, sigma_t^2 the EWMA of squared returns.

    The table lets the variance move along each path as the filter would: flat variance would understate the tails of
    sums. A scale fitted beside the degrees of freedom keeps it calibrated where the filter is too small on average.
    """

    spec: EwmaTSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedEwmaT:
        """Student-t of the standardised returns, per ticker with a training row, on all bars of the panel."""
        tickers = tickers_of(panel, rows)
        learnt_M3, profiles = np.empty((len(tickers), 3)), profiles_of(panel)
        sd_R = None if profiles is None else profiles.sd(panel)
        for m, ticker in enumerate(tickers):
            returns_T = even_returns(panel, ticker, sd_R)
            unit = scale_of(returns_T)
            scaled_T = returns_T / unit
            standardised_T = scaled_T / np.sqrt(filtered(scaled_T, dynamics(self.spec))[:-1])
            learnt_M3[m] = (unit, *fit_student_t(standardised_T[SEED_BARS:]))
        return FittedEwmaT(self.spec, NAME, tickers, horizon, seed, {"learnt": learnt_M3}, profiles=profiles)

    def restore(self, state: State) -> FittedEwmaT:
        """The fitted forecaster that wrote `state`."""
        return FittedEwmaT.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedEwmaT(FittedBaseline[EwmaTSpec]):
    """EWMA for named tickers; `learnt` (M, 3) holds unit (root mean square return), nu and scale of each."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles sigma_t x table, the table simulated once a ticker; the mean is zero."""
        levels_NHA = np.empty((len(rows), self.horizon, len(ALL_LEVELS)))
        paths_NSH = np.empty((len(rows), PATHS_KEPT, self.horizon), np.float32)
        for origins in self.origins(panel, rows):
            unit, nu, scale = self.learnt[origins.number]
            shocks_SH = scale * student_shocks(self.spec.paths, self.horizon, nu, self.seed_of(origins.ticker))
            if origins.ahead is not None:  # each origin has steps of its own
                variance_N = filtered(origins.returns / unit, dynamics(self.spec))[origins.bars]
                law = (variance_N, dynamics(self.spec), shocks_SH, origins.ahead)
                levels_NHA[origins.where] = unit * simulated_quantiles(*law)
                paths_NSH[origins.where] = unit * simulated_paths(*law)
                continue
            table_HA = simulated_quantiles(np.ones(1), dynamics(self.spec), shocks_SH)[0]
            sigma_N = unit * np.sqrt(filtered(origins.returns / unit, dynamics(self.spec))[origins.bars])
            levels_NHA[origins.where] = sigma_N[:, None, None] * table_HA
            paths_NSH[origins.where] = sigma_N[:, None, None] * simulated_paths(
                np.ones(1), dynamics(self.spec), shocks_SH
            )
        return Forecast.of_levels(NAME, rows, levels_NHA, np.zeros(levels_NHA.shape[:2]), paths_NSH)


def dynamics(spec: EwmaTSpec) -> Dynamics:
    """The EWMA as a GARCH(1,1) without constant."""
    return Dynamics(omega=0.0, alpha=1 - spec.decay, gamma=0.0, beta=spec.decay)
