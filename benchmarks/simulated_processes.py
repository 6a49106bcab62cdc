"""Simulated returns from the model that each baseline assumes, for its coverage gate.

Shape legend: X series, T returns.
"""

from __future__ import annotations

import numpy as np

from s2squant.config.asset_classes import DRIFT_PRIORS
from s2squant.config.models import ModelName
from s2squant.errors import ConfigError
from s2squant.forecasters.baselines.variance import Dynamics
from s2squant.series.arrays import Floats

GARCH = Dynamics(omega=0.02, alpha=0.06, gamma=0.0, beta=0.92)
GJR = Dynamics(omega=0.02, alpha=0.03, gamma=0.08, beta=0.91)
EWMA = Dynamics(omega=0.0, alpha=0.06, gamma=0.0, beta=0.94)
DAILY = 0.01
"""Standard deviation of a return, so that the numbers look like a stock's."""
PRIOR_DRIFT = DRIFT_PRIORS["stocks"].mean / 252 / DAILY


def own_returns(name: ModelName, series: int, bars: int, seed: int) -> Floats:
    """Daily returns (X, T) from the model that the baseline of this name assumes; raises ConfigError for a network."""
    rng = np.random.default_rng(seed)
    shape = (series, bars)
    returns: Floats
    match name:
        case "random_walk":
            returns = rng.standard_normal(shape)
        case "historical_simulation":
            returns = student(rng, shape, 4.0)
        case "drift":
            returns = 0.05 + rng.standard_normal(shape)
        case "block_bootstrap":
            returns = recursion(rng, shape, Dynamics(omega=0.3, alpha=0.2, gamma=0.0, beta=0.5), 6.0)
        case "ewma_t":
            returns = recursion(rng, shape, EWMA, 6.0)
        case "garch_t" | "gbm" | "field":
            returns = recursion(rng, shape, GARCH, 6.0)
        case "gjr_t":
            returns = recursion(rng, shape, GJR, 6.0)
        case "garch_shrunk" | "garch_x":
            returns = PRIOR_DRIFT + recursion(rng, shape, GARCH, 6.0)
        case "gjr_shrunk":
            returns = PRIOR_DRIFT + recursion(rng, shape, GJR, 6.0)
        case "gjr_fhs":
            returns = recursion(rng, shape, GJR, 6.0, skewed=True)
        case "har" | "har_x" | "har_rv" | "har_cj":
            returns = har_returns(rng, shape)
        case "ets":
            returns = smoothing_returns(rng, shape, alpha=0.8, beta=0.05, phi=0.8, start=0.0)
        case "theta":
            returns = smoothing_returns(rng, shape, alpha=0.8, beta=0.0, phi=1.0, start=0.05)
        case "arima":
            returns = arma_returns(rng, shape, ar=0.5, ma=-0.3, mean=0.05)
        case "ridge":
            returns = arma_returns(rng, shape, ar=0.1, ma=0.0, mean=0.0)
        case _:
            raise ConfigError(f"{name} is no baseline: no model of its own to draw from")
    scaled: Floats = DAILY * returns
    return scaled


def student(rng: np.random.Generator, shape: tuple[int, ...], nu: float) -> Floats:
    """Student-t draws of unit variance."""
    draws: Floats = rng.standard_t(nu, shape) * np.sqrt((nu - 2) / nu)
    return draws


def recursion(
    rng: np.random.Generator, shape: tuple[int, int], dynamics: Dynamics, nu: float, *, skewed: bool = False
) -> Floats:
    """GARCH, GJR or EWMA returns with Student-t shocks, or with shocks whose falls are one and a half times as wide."""
    shocks = student(rng, shape, nu)
    if skewed:
        shocks = np.where(shocks < 0, 1.5 * shocks, shocks)
        shocks = (shocks - shocks.mean()) / shocks.std()
    returns, variance = np.empty(shape), np.ones(shape[0])
    for t in range(shape[1]):
        x = returns[:, t] = np.sqrt(variance) * shocks[:, t]
        variance = dynamics.omega + (dynamics.alpha + dynamics.gamma * (x < 0)) * x**2 + dynamics.beta * variance
    return returns


def har_returns(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Returns whose scale is a HAR of past absolute returns, with Student-t shocks."""
    shocks, returns = student(rng, shape, 8.0), np.empty(shape)
    absolute = np.full((shape[0], shape[1] + 22), 0.8)
    mean_shock = float(np.abs(shocks).mean())
    for t in range(shape[1]):
        past = absolute[:, t : t + 22] / mean_shock
        level = 0.05 + 0.15 * past[:, -1] + 0.35 * past[:, -5:].mean(axis=1) + 0.45 * past.mean(axis=1)
        returns[:, t] = level * shocks[:, t]
        absolute[:, t + 22] = np.abs(returns[:, t])
    return returns


def smoothing_returns(
    rng: np.random.Generator, shape: tuple[int, int], *, alpha: float, beta: float, phi: float, start: float
) -> Floats:
    """Returns of a log price with exponentially smoothed level and trend, Gaussian errors."""
    errors, returns = rng.standard_normal(shape), np.empty(shape)
    gap, trend = np.zeros(shape[0]), np.full(shape[0], start)
    for t in range(shape[1]):
        returns[:, t] = errors[:, t] + gap + phi * trend
        gap, trend = (alpha - 1) * errors[:, t], phi * trend + beta * errors[:, t]
    return returns


def arma_returns(rng: np.random.Generator, shape: tuple[int, int], *, ar: float, ma: float, mean: float) -> Floats:
    """ARMA(1,1) returns, Gaussian errors."""
    errors, returns = rng.standard_normal(shape), np.empty(shape)
    last, error = np.zeros(shape[0]), np.zeros(shape[0])
    for t in range(shape[1]):
        last = ar * last + errors[:, t] + ma * error
        error = errors[:, t]
        returns[:, t] = mean + last
    return returns
