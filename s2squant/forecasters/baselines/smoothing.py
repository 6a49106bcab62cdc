"""Exponential smoothing of the log price: ETS(A,N,N), (A,A,N) or (A,Ad,N), and Theta, which is the same with a drift.

    e[t] = r[t] - (alpha - 1) e[t-1] - phi b[t-1]        one-step error of the log price, r its return
    b[t] = phi b[t-1] + beta e[t]                        trend; the level lies (alpha - 1) e[t] above the price

Parameters by `statsmodels` at each fit; e and b are filtered daily in between. Errors are Gaussian with the root mean
square of the last 500.
Shape legend: M tickers, T returns, N origins, H steps ahead, Q quantile levels.
Source: Hyndman, Koehler, Ord and Snyder (2008), tables 2.1 and 6.1; Hyndman and Billah, IJF 19 (2003) for Theta.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from s2squant.config.baselines import LinearSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.random_walk import trailing_scale
from s2squant.forecasters.baselines.returns import log_returns, tickers_of
from s2squant.forecasters.baselines.variance import scale_of
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

FEWEST_RETURNS = 250
"""Below so many returns nothing is fitted: WALK."""


class Smoothing(NamedTuple):
    """Coefficients of the recursion, for returns divided by the ticker's scale; `start` is the first trend."""

    alpha: float
    beta: float
    phi: float
    start: float


WALK = Smoothing(alpha=1.0, beta=0.0, phi=1.0, start=0.0)
"""The random walk, used where nothing can be fitted."""


@dataclass(frozen=True)
class Ets:
    """Exponential smoothing with additive errors; trend and damping chosen by AICc."""

    spec: LinearSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedSmoothing:  # noqa: ARG002
        """Maximum likelihood on the last `spec.window` returns; nothing is drawn, `seed` is not used."""
        return _fit("ets", self.spec, panel, rows, horizon)

    def restore(self, state: State) -> FittedSmoothing:
        """The fitted forecaster that wrote `state`."""
        return FittedSmoothing.restored(self.spec, state, "ets")


@dataclass(frozen=True)
class Theta:
    """The Theta method: simple exponential smoothing with half the slope of a straight line as drift."""

    spec: LinearSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedSmoothing:  # noqa: ARG002
        """Slope and smoothing on the last `spec.window` returns; nothing is drawn, `seed` is not used."""
        return _fit("theta", self.spec, panel, rows, horizon)

    def restore(self, state: State) -> FittedSmoothing:
        """The fitted forecaster that wrote `state`."""
        return FittedSmoothing.restored(self.spec, state, "theta")


def _fit(name: str, spec: LinearSpec, panel: Panel, rows: Ints, horizon: int) -> FittedSmoothing:
    tickers = tickers_of(panel, rows)
    learnt_M5 = np.empty((len(tickers), 5))
    for m, ticker in enumerate(tickers):
        returns_T = log_returns(panel, ticker)[-spec.window :]
        unit = scale_of(returns_T)
        learnt_M5[m] = (unit, *(ets_of if name == "ets" else theta_of)(returns_T / unit))
    return FittedSmoothing(spec, name, tickers, horizon, arrays={"learnt": learnt_M5}, profiles=profiles_of(panel))


@dataclass(frozen=True)
class FittedSmoothing(FittedBaseline[LinearSpec]):
    """ETS or Theta for named tickers; `learnt` (M, 5) holds unit, alpha, beta, phi and start of each."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Gaussian quantiles around the level and trend filtered up to each origin."""
        mean_NH = np.empty((len(rows), self.horizon))
        spread_NH = np.empty_like(mean_NH)
        for origins in self.origins(panel, rows):
            unit, *coefficients = self.learnt[origins.number]
            model = Smoothing(*coefficients)
            error_T, trend_T = filtered_states(log_returns(panel, origins.ticker) / unit, model)
            damped_H = np.cumsum(model.phi ** np.arange(1, self.horizon + 1))
            last = origins.bars - 1
            level_N = (model.alpha - 1) * error_T[last]
            mean_NH[origins.where] = unit * (level_N[:, None] + trend_T[last][:, None] * damped_H)
            scale_N = unit * trailing_scale(error_T / origins.sd, origins.bars, self.spec.scale_window)
            gain_H = np.concatenate([[1.0], model.alpha + model.beta * damped_H[:-1]])
            spread_NH[origins.where] = scale_N[:, None] * np.sqrt(origins.spread(gain_H))
        return Forecast.of_levels(
            self.name, rows, mean_NH[:, :, None] + spread_NH[:, :, None] * ndtri(ALL_LEVELS), mean_NH
        )


def filtered_states(scaled_T: Floats, model: Smoothing) -> tuple[Floats, Floats]:
    """One-step errors (T,) and trends (T,) after each return."""
    error_T, trend_T = np.empty(len(scaled_T)), np.empty(len(scaled_T))
    alpha, beta, phi, trend = model
    error = 0.0
    for t, value in enumerate(scaled_T.tolist()):
        error = value + (1 - alpha) * error - phi * trend
        trend = phi * trend + beta * error
        error_T[t], trend_T[t] = error, trend
    return error_T, trend_T


def ets_of(scaled_T: Floats) -> Smoothing:
    """The best of three forms by AICc; the random walk where none can be fitted."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # half a second that other models need not wait for

    candidates = [(np.inf, WALK)]
    log_price = np.concatenate([[0.0], np.cumsum(scaled_T)])
    if len(scaled_T) >= FEWEST_RETURNS and scaled_T.std() > 0:
        for trend, damped in ((None, False), ("add", False), ("add", True)):
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    result = ETSModel(log_price, trend=trend, damped_trend=damped).fit(disp=False)
                except (ValueError, np.linalg.LinAlgError):
                    continue
            names = dict(zip(result.param_names, (float(x) for x in result.params), strict=True))
            model = Smoothing(
                alpha=names["smoothing_level"],
                beta=names.get("smoothing_trend", 0.0),
                phi=names.get("damping_trend", 1.0),
                start=names.get("initial_trend", 0.0),
            )
            if np.isfinite([*model, result.aicc]).all():
                candidates.append((float(result.aicc), model))
    return min(candidates, key=lambda pair: pair[0])[1]


def theta_of(scaled_T: Floats) -> Smoothing:
    """Smoothing and half the slope; the random walk where they cannot be fitted."""
    if len(scaled_T) < FEWEST_RETURNS or scaled_T.std() == 0:
        return WALK
    from statsmodels.tsa.forecasting.theta import ThetaModel

    log_price = np.concatenate([[0.0], np.cumsum(scaled_T)])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            parameters = ThetaModel(log_price, period=1, deseasonalize=False, use_test=False).fit().params
        except (ValueError, np.linalg.LinAlgError):
            return WALK
    model = Smoothing(alpha=float(parameters["alpha"]), beta=0.0, phi=1.0, start=float(parameters["b0"]) / 2)
    return model if np.isfinite(model).all() and 0 < model.alpha <= 1 else WALK
