"""Panels from arrays, and returns from each baseline's own model."""

from dataclasses import replace

import numpy as np
from scipy.signal import lfilter

from s2squant.config.files import make_experiment
from s2squant.config.models import BASELINES as NAMES
from s2squant.forecasters.baselines.variance import Dynamics
from s2squant.forecasters.catalog import make
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

SETTINGS = make_experiment(
    {
        "forecasters": {
            "field": {"members": ["historical_simulation", "random_walk", "ewma_t", "har"]},
            "gbm": {"trees": 4, "nodes": 2, "levels": [0.1, 0.5, 0.9]},
            "extra": ["baselines"],
        }
    }
).forecasters
BASELINES = {name: make(name, SETTINGS) for name in NAMES}
CLOSED_FORM = {"random_walk", "drift", "ets", "arima", "theta", "ridge"}
"""Nothing is drawn."""
GARCH = Dynamics(omega=0.02, alpha=0.06, gamma=0.0, beta=0.92)
GJR = Dynamics(omega=0.02, alpha=0.03, gamma=0.08, beta=0.91)
EWMA = Dynamics(omega=0.0, alpha=0.06, gamma=0.0, beta=0.94)


def history(ticker, returns):
    """A history whose log returns are `returns`, to within rounding; one bar more than returns."""
    dates = np.datetime64("2000-01-03") + np.arange(len(returns) + 1)
    return PriceHistory(ticker, "XNYS", dates, 50 * np.exp(np.concatenate([[0], np.cumsum(returns)])))


def with_ranges(rng, bars, steps=60, *, stays=1.0):
    """A history with OHLC from a path within each bar, and without; its log volatility keeps `stays` of itself."""
    level = 0.01 * np.exp(0.5 * lfilter([1.0], [1.0, -stays], rng.normal(0, 0.08 if stays == 1 else 0.5, bars)))
    inside = np.cumsum(level[:, None] * rng.standard_normal((bars, steps)) / np.sqrt(steps), axis=1)
    base = np.log(50) + np.concatenate([[0], np.cumsum(inside[:, -1])])
    names = {"open": 0 * base[1:], "high": inside.max(axis=1).clip(0), "low": inside.min(axis=1).clip(None, 0)}
    bars_of = {k: np.exp(np.concatenate([[base[0]], base[:-1] + v])) for k, v in names.items()}
    plain = history("X", inside[:, -1])
    return replace(plain, bars=bars_of | {"close": np.exp(base)}), plain


def panel_of(**series):
    return Panel(tuple(history(ticker, returns) for ticker, returns in series.items()))


def student(rng, shape, nu):
    return rng.standard_t(nu, shape) * np.sqrt((nu - 2) / nu)


def garch_returns(rng, series, bars, dynamics, nu, scale=0.01):
    """Returns (series, bars) of the recursion with Student-t shocks, by the plainest loop."""
    shocks = student(rng, (series, bars), nu)
    returns, variance = np.empty_like(shocks), np.ones(series)
    for t in range(bars):
        x = returns[:, t] = np.sqrt(variance) * shocks[:, t]
        variance = dynamics.omega + (dynamics.alpha + dynamics.gamma * (x < 0)) * x**2 + dynamics.beta * variance
    return scale * returns


def fit_at_end(model, panel, horizon=20, seed=0):
    """Fit with one training row per ticker."""
    return model.fit(panel, panel.starts[1:] - 1 - horizon, horizon=horizon, seed=seed)
