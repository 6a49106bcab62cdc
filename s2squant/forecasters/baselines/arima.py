"""ARIMA(p,1,q) with drift of the log price: the order by AICc, the parameters by `statsmodels`, filtered daily.

    x[t] = r[t] - c;    x[t] = sum ar[i] x[t-i] + e[t] + sum ma[j] e[t-j]

Errors are Gaussian with the root mean square of the last 500, as for the random walk, so that the two differ in their
location only.
Shape legend: M tickers, T returns, N origins, H steps ahead, K the largest order, Q quantile levels.
Source: Hannan and Rissanen, Biometrika 69 (1982), an eighth of the time of maximum likelihood and as good here;
Hyndman and Khandakar, J. Stat. Software 27 (2008) for the choice by AICc.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri

from s2squant.config.baselines import LinearSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.random_walk import trailing_scale
from s2squant.forecasters.baselines.returns import log_returns, tickers_of
from s2squant.forecasters.baselines.smoothing import FEWEST_RETURNS
from s2squant.forecasters.baselines.variance import scale_of
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "arima"
LARGEST = 2
"""p + q goes to 2: with more, poles and zeros that nearly cancel were chosen, for nothing."""


class Coefficients(NamedTuple):
    """Drift, and the two polynomials padded with zeros to K, for returns divided by the ticker's scale."""

    drift: float
    ar_K: Floats
    ma_K: Floats


ROOT = 1.01
"""Roots of both polynomials lie outside this circle: nearer to one, errors of years ago are not forgotten.

The rule of Hyndman and Khandakar. Without it one fold of EURCHF had a moving average of -0.9999 and lost 60 % of CRPS.
"""


@dataclass(frozen=True)
class Arima:
    """ARIMA(p,1,q) with drift of the log price, p + q at most 2."""

    spec: LinearSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedArima:  # noqa: ARG002
        """Order and coefficients on the last `spec.window` returns; nothing is drawn, `seed` is not used."""
        tickers = tickers_of(panel, rows)
        learnt_MP = np.empty((len(tickers), 2 + 2 * LARGEST))
        for m, ticker in enumerate(tickers):
            returns_T = log_returns(panel, ticker)[-self.spec.window :]
            unit = scale_of(returns_T)
            model = estimate(returns_T / unit)
            learnt_MP[m] = (unit, model.drift, *model.ar_K, *model.ma_K)
        return FittedArima(self.spec, NAME, tickers, horizon, arrays={"learnt": learnt_MP}, profiles=profiles_of(panel))

    def restore(self, state: State) -> FittedArima:
        """The fitted forecaster that wrote `state`."""
        return FittedArima.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedArima(FittedBaseline[LinearSpec]):
    """ARIMA for named tickers; `learnt` (M, 2 + 2 K) holds unit, drift, AR and MA coefficients of each."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Gaussian quantiles around the forecast from the errors filtered up to each origin."""
        mean_NH = np.empty((len(rows), self.horizon))
        spread_NH = np.empty_like(mean_NH)
        for origins in self.origins(panel, rows):
            unit, drift, *polynomials = self.learnt[origins.number]
            model = Coefficients(drift, np.array(polynomials[:LARGEST]), np.array(polynomials[LARGEST:]))
            centred_T = log_returns(panel, origins.ticker) / unit - drift
            error_T = errors(centred_T, model)
            mean_NH[origins.where] = unit * location(centred_T, error_T, origins.bars, model, self.horizon)
            scale_N = unit * trailing_scale(error_T / origins.sd, origins.bars, self.spec.scale_window)
            spread_NH[origins.where] = scale_N[:, None] * np.sqrt(origins.spread(gains(model, self.horizon)))
        return Forecast.of_levels(NAME, rows, mean_NH[:, :, None] + spread_NH[:, :, None] * ndtri(ALL_LEVELS), mean_NH)


def errors(centred_T: Floats, model: Coefficients) -> Floats:
    """One-step errors (T,), those before the first taken as zero."""
    errors_T: Floats = lfilter(np.r_[1.0, -model.ar_K], np.r_[1.0, model.ma_K], centred_T)
    return errors_T


def location(centred_T: Floats, error_T: Floats, bars_N: Ints, model: Coefficients, horizon: int) -> Floats:
    """Expected cumulative returns (N, H) from each bar."""
    lags = bars_N[:, None] - 1 - np.arange(LARGEST)
    past_NK, error_NK = (np.where(lags >= 0, x[np.maximum(lags, 0)], 0.0) for x in (centred_T, error_T))
    ahead_NH = np.empty((len(bars_N), horizon))
    for step in range(horizon):
        ahead_NH[:, step] = (past_NK * model.ar_K + error_NK * model.ma_K).sum(axis=1)
        past_NK = np.column_stack([ahead_NH[:, step], past_NK[:, :-1]])
        error_NK = np.column_stack([np.zeros(len(bars_N)), error_NK[:, :-1]])
    cumulative_NH: Floats = np.cumsum(ahead_NH + model.drift, axis=1)
    return cumulative_NH


def gains(model: Coefficients, horizon: int) -> Floats:
    """Cumulated psi weights (H,): the response of the cumulative return to an error of one."""
    impulse_H = np.zeros(horizon)
    impulse_H[0] = 1.0
    gains_H: Floats = np.cumsum(lfilter(np.r_[1.0, model.ma_K], np.r_[1.0, -model.ar_K], impulse_H))
    return gains_H


def estimate(scaled_T: Floats) -> Coefficients:
    """The best order by AICc of the squared one-step errors; the random walk with drift where none can be fitted."""
    zeros = np.zeros(LARGEST)
    if len(scaled_T) < FEWEST_RETURNS or scaled_T.std() == 0:
        return Coefficients(0.0, zeros, zeros)
    # half a second that other models need not wait for
    from statsmodels.tsa.arima.estimators.hannan_rissanen import hannan_rissanen

    drift = float(scaled_T.mean())
    candidates = []
    for p, q in ((i, j) for i in range(LARGEST + 1) for j in range(LARGEST + 1 - i)):
        ar_K, ma_K = zeros.copy(), zeros.copy()
        if p + q:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    result, _ = hannan_rissanen(scaled_T - drift, ar_order=p, ma_order=q, demean=False)
                except (ValueError, np.linalg.LinAlgError):
                    continue
            ar_K[:p], ma_K[:q] = result.ar_params, result.ma_params
        usable = np.isfinite([*ar_K, *ma_K]).all()
        if usable and smallest_root(-ar_K) > ROOT and smallest_root(ma_K) > ROOT:
            model = Coefficients(drift, ar_K, ma_K)
            candidates.append((aicc(errors(scaled_T - drift, model), p + q + 2), model))
    return min(candidates, key=lambda pair: pair[0])[1]


def aicc(error_T: Floats, parameters: int) -> float:
    """Akaike's criterion of Gaussian errors, corrected for few observations (Hurvich and Tsai 1989)."""
    count = len(error_T)
    spread = max(float(np.square(error_T).mean()), 1e-300)
    return count * float(np.log(spread)) + 2 * parameters * count / (count - parameters - 1)


def smallest_root(coefficients_K: Floats) -> float:
    """Smallest modulus of the roots of 1 + c1 z + c2 z^2 + ..; infinite without roots."""
    inverse = np.roots(np.r_[1.0, coefficients_K])
    largest = float(np.abs(inverse).max(initial=0.0))
    return 1 / largest if largest else float("inf")
