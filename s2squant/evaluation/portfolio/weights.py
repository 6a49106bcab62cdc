"""Weights of a portfolio from joint scenarios of simple returns over the horizon, by one rule declared before.

Shape legend: M tickers, S scenarios.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from s2squant.config.portfolio import PortfolioSpec
from s2squant.errors import ConfigError, first_of
from s2squant.series.arrays import Floats

SWEEPS = 500
TOLERANCE = 1e-10
FLAT = 1e-12
"""A deviation below this is no risk: such a ticker is treated as having this one."""


def weights_of(scenarios_MS: Floats, tickers: Sequence[str], spec: PortfolioSpec) -> Floats:
    """Weights (M,) as shares of wealth, what they lack to one in cash; raises ConfigError where they cannot be had."""
    match spec.weights:
        case "file":
            given = read_weights(Path(spec.file))
            mine = np.array([given.get(ticker, 0.0) for ticker in tickers])
            total = float(mine.sum())
            if abs(total) < FLAT:
                raise ConfigError(f"{spec.file}: its weights of {first_of(tickers, 3)} sum to zero")
            return np.asarray(mine / total)
        case "equal" | "none":
            return np.full(len(tickers), 1.0 / len(tickers))
        case "inverse_volatility":
            inverse = 1.0 / np.maximum(scenarios_MS.std(axis=1), FLAT)
            return np.asarray(inverse / inverse.sum())
        case "risk_parity":
            return risk_parity(np.cov(scenarios_MS))
        case "kelly_fraction":
            return spec.fraction * growth_optimal(scenarios_MS)
        case "min_cvar" | "mean_cvar":
            aversion = spec.risk_aversion if spec.weights == "mean_cvar" else None
            return least_cvar(scenarios_MS, level=spec.level, most=spec.most, risk_aversion=aversion)


def read_weights(path: Path) -> dict[str, float]:
    """Weights by ticker of a CSV with the columns ticker and weight, divided by their sum.

    Raises ConfigError, one line, for a file, a weight or a sum that is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a CSV with the columns ticker and weight") from None
    given: dict[str, float] = {}
    for row in rows:
        ticker, written = (row.get("ticker") or "").strip(), (row.get("weight") or "").strip()
        try:
            weight = float(written)
        except ValueError:
            weight = float("nan")
        if not ticker or not isfinite(weight):
            raise ConfigError(f"{path}: weight {written!r} of ticker {ticker!r}; each line is a ticker and a number")
        if ticker in given:
            raise ConfigError(f"{path}: {ticker} stands twice; take one line out")
        given[ticker] = weight
    total = sum(given.values())
    if abs(total) < 1e-9:
        raise ConfigError(f"{path}: its weights sum to zero; give some that sum to one")
    return {ticker: weight / total for ticker, weight in given.items()}


def risk_parity(covariance_MM: Floats) -> Floats:
    """Weights whose contributions to the variance are equal, by cyclical coordinate descent.

    Griveau-Billion, Richard and Roncalli 2013, algorithm 2.
    """
    covariance_MM = np.atleast_2d(covariance_MM)
    deviation_M = np.sqrt(np.maximum(np.diag(covariance_MM), FLAT**2))
    correlation_MM = covariance_MM / np.outer(deviation_M, deviation_M)
    np.fill_diagonal(correlation_MM, 1.0)
    share = 1.0 / len(deviation_M)
    x_M = np.full(len(deviation_M), np.sqrt(share))
    for _ in range(SWEEPS):
        before = x_M.copy()
        for m in range(len(x_M)):
            others = correlation_MM[m] @ x_M - x_M[m]
            x_M[m] = (np.sqrt(others**2 + 4 * share) - others) / 2
        if np.abs(x_M - before).max() < TOLERANCE:
            break
    weights_M = x_M / deviation_M
    return np.asarray(weights_M / weights_M.sum())


def growth_optimal(scenarios_MS: Floats) -> Floats:
    """Long weights, cash for the rest, of the largest mean log growth over the scenarios. Kelly 1956."""
    from scipy.optimize import minimize

    count = len(scenarios_MS)
    unit = max(float(scenarios_MS.std()), FLAT)

    def lost(weights_M: Floats) -> tuple[float, Floats]:
        gross_S = np.maximum(1.0 + weights_M @ scenarios_MS, 1e-9)
        return -float(np.log(gross_S).mean()) / unit**2, -(scenarios_MS / gross_S).mean(axis=1) / unit**2

    found = minimize(
        lost,
        np.full(count, 0.5 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "ineq", "fun": lambda w: 1.0 - w.sum(), "jac": lambda w: -np.ones(len(w))},
        options={"ftol": 1e-9, "maxiter": 300},
    )
    weights_M: Floats = np.clip(found.x, 0.0, 1.0)
    return weights_M / max(float(weights_M.sum()), 1.0)


def least_cvar(scenarios_MS: Floats, *, level: float, most: float, risk_aversion: float | None) -> Floats:
    """Long weights (M,) that sum to one, of least CVaR, or of largest mean less `risk_aversion` times CVaR.

    The linear program of Rockafellar and Uryasev 2000, by HiGHS: the threshold below which CVaR averages is a variable,
    and so is what each scenario lacks to it.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack

    (count, draws), unit = scenarios_MS.shape, max(float(scenarios_MS.std()), FLAT)
    returns_MS = scenarios_MS / unit
    aversion, mean_M = (1.0, np.zeros(count)) if risk_aversion is None else (risk_aversion, returns_MS.mean(axis=1))
    found = linprog(
        np.r_[-mean_M, aversion, np.full(draws, aversion / (level * draws))],
        A_ub=hstack([csr_array(-returns_MS.T), csr_array(-np.ones((draws, 1))), -eye_array(draws)], format="csr"),
        b_ub=np.zeros(draws),
        A_eq=csr_array(np.r_[np.ones(count), np.zeros(1 + draws)][None]),
        b_eq=[1.0],
        bounds=[(0.0, max(most, 1.0 / count))] * count + [(None, None)] + [(0.0, None)] * draws,
    )
    weights_M: Floats = np.clip(found.x[:count], 0.0, None)
    return np.asarray(weights_M / weights_M.sum())


def check_rule(spec: PortfolioSpec, markets: Mapping[str, Sequence[str]]) -> None:
    """Raise ConfigError for a rule that cannot be carried out on the tickers of these markets, before anything runs."""
    if spec.weights == "none":
        return
    if all(len(tickers) < 2 for tickers in markets.values()):
        raise ConfigError("portfolio: no market has two tickers; add tickers, or set portfolio.weights=none")
    if spec.weights == "file":
        known = {ticker for tickers in markets.values() for ticker in tickers}
        if missing := [ticker for ticker in read_weights(Path(spec.file)) if ticker not in known]:
            raise ConfigError(f"{spec.file}: {first_of(missing, 3)} is not among the tickers; take it out")
