"""GARCH-X: GARCH(1,1) with Student-t shocks and covariates in the mean of the next return, by `arch`.

`arch` has regressors of the mean alone, none of the variance: what a covariate says of the width of a forecast, such as
an implied volatility, HAR-X, ridge regression and the networks can read, and this model cannot.

Shape legend: M tickers, T returns, N origins, H steps ahead, Q quantile levels, K covariates.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from s2squant.config.baselines import GarchTSpec
from s2squant.forecasters.baselines.exogenous import Regressors, by_step, covariates_of, names_read, weighted
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.garch import FEWEST_RETURNS, Learnt, estimate
from s2squant.forecasters.baselines.returns import even_returns, tickers_of
from s2squant.forecasters.baselines.sampling import PATHS_KEPT
from s2squant.forecasters.baselines.student import student_shocks
from s2squant.forecasters.baselines.variance import (
    Dynamics,
    filtered,
    scale_of,
    simulated_paths,
    simulated_quantiles,
)
from s2squant.forecasters.expected_return import shrunk_drifts
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "garch_x"
REGRESSORS = Regressors._fields
"""Arrays of the covariates, a row a ticker; `slopes` are their weights."""


@dataclass(frozen=True)
class GarchX:
    """GARCH-t whose mean has the covariates of the next session; a past one returns to its centre over the horizon."""

    spec: GarchTSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedGarchX:
        """Maximum likelihood on the last `spec.window` returns of every ticker with a training row."""
        tickers, names = tickers_of(panel, rows), names_read(panel)
        covariates = covariates_of(panel, names, NAME)
        recent, drift_M = slice(-self.spec.window, None), shrunk_drifts(panel).of(panel)
        learnt_M7, slopes, regressors, fallback = np.empty((len(tickers), 7)), [], [], []
        profiles = profiles_of(panel)
        sd_R = None if profiles is None else profiles.sd(panel)
        for m, ticker in enumerate(tickers):
            returns_T = even_returns(panel, ticker, sd_R)
            unit = scale_of(returns_T[recent])
            first_TK: Floats = np.empty((len(returns_T), 0))
            if covariates is not None:
                past_TP, ahead_THF = by_step(panel, ticker, covariates, unit, horizon)
                regressors.append(Regressors.of(past_TP[:-1], ahead_THF[:-1], recent))
                first_TK = regressors[-1].paths(past_TP[:-1], ahead_THF[:-1, :1])[:, 0]
            learnt, slopes_K = estimate_x(returns_T[recent], first_TK[recent])
            mean = {"constant": learnt.mean, "zero": 0.0}.get(
                self.spec.mean, float(drift_M[panel.tickers.index(ticker)]) / learnt.unit
            )
            learnt_M7[m] = (learnt.unit, mean, learnt.nu, *learnt.dynamics)
            slopes.append(slopes_K)
            fallback += [] if learnt.converged else [ticker]
        arrays: dict[str, Floats] = {"learnt": learnt_M7}
        if covariates is not None:
            arrays |= {name: np.array(x) for name, x in zip(REGRESSORS, zip(*regressors, strict=True), strict=True)}
            arrays["slopes"] = np.array(slopes)
        return FittedGarchX(self.spec, NAME, tickers, horizon, seed, arrays, tuple(fallback), names, profiles)

    def restore(self, state: State) -> FittedGarchX:
        """The fitted forecaster that wrote `state`."""
        return FittedGarchX.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedGarchX(FittedBaseline[GarchTSpec]):
    """GARCH-X for named tickers; `learnt` (M, 7) as in GARCH-t, `slopes` (M, K) for returns divided by the unit."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Simulated quantiles from the variance filtered up to each origin, moved by the expected path."""
        levels_NHA = np.empty((len(rows), self.horizon, len(ALL_LEVELS)))
        mean_NH = np.zeros((len(rows), self.horizon))
        paths_NSH = np.empty((len(rows), PATHS_KEPT, self.horizon), np.float32)
        covariates = covariates_of(panel, self.covariates, NAME)
        for origins in self.origins(panel, rows):
            unit, mean, nu, *coefficients = self.learnt[origins.number]
            dynamics, scaled_T = Dynamics(*coefficients), origins.returns / unit
            fitted_T, drift_NH = np.full(len(scaled_T), mean), np.full((len(origins.bars), self.horizon), mean)
            if covariates is not None:
                past_TP, ahead_THF = by_step(panel, origins.ticker, covariates, unit, self.horizon)
                own = Regressors(*(self.arrays[name][origins.number] for name in REGRESSORS))
                slopes_K = self.arrays["slopes"][origins.number]
                fitted_T += weighted(own.paths(past_TP[:-1], ahead_THF[:-1, :1]), slopes_K)[:, 0]
                drift_NH += weighted(own.paths(past_TP[origins.bars], ahead_THF[origins.bars]), slopes_K)
            moved_NH = np.cumsum(drift_NH, axis=1)
            shocks_SH = student_shocks(self.spec.paths, self.horizon, nu, self.seed_of(origins.ticker))
            variance_N = filtered(scaled_T - fitted_T, dynamics)[origins.bars]
            levels_NHA[origins.where] = unit * (
                simulated_quantiles(variance_N, dynamics, shocks_SH, origins.ahead) + moved_NH[:, :, None]
            )
            mean_NH[origins.where] = unit * moved_NH
            paths_NSH[origins.where] = unit * (
                simulated_paths(variance_N, dynamics, shocks_SH, origins.ahead) + moved_NH[:, None]
            )
        return Forecast.of_levels(NAME, rows, levels_NHA, mean_NH, paths_NSH)


def estimate_x(returns_T: Floats, regressors_TK: Floats) -> tuple[Learnt, Floats]:
    """Parameters and slopes of one ticker; those of GARCH-t without slopes where `arch` finds nothing."""
    slopes_K = np.zeros(regressors_TK.shape[1])
    plain = estimate(returns_T, leverage=False)
    moving = np.flatnonzero(regressors_TK.std(axis=0) > 1e-6) if len(returns_T) else np.empty(0, np.intp)
    if not len(moving) or len(returns_T) < FEWEST_RETURNS:
        return plain, slopes_K
    from arch import arch_model  # half a second that other baselines need not wait for

    model = arch_model(
        returns_T / plain.unit, x=regressors_TK[:, moving], mean="LS", vol="GARCH", p=1, q=1, dist="t", rescale=False
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = model.fit(disp="off", show_warning=False)
        except (ValueError, np.linalg.LinAlgError):
            return plain, slopes_K
    values = np.asarray(result.params, np.float64)
    if result.convergence_flag != 0 or not np.isfinite(values).all():
        return plain, slopes_K
    mean, slopes, (omega, alpha, beta, nu) = float(values[0]), values[1:-4], values[-4:].tolist()
    slopes_K[moving] = slopes
    return Learnt(plain.unit, mean, nu, Dynamics(omega, alpha, 0.0, beta), converged=True), slopes_K
