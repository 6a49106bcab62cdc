"""What is to be expected of a portfolio from joint paths: return, drawdown, VaR, expected shortfall, contributions.

Shape legend: M tickers, H steps, S paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.series.arrays import Floats
from s2squant.series.tails import ALL_LEVELS

LEVELS: tuple[float, ...] = (0.01, 0.05)
COLUMNS: tuple[str, ...] = (
    "step", "mean", "volatility", "fall", "var_95", "es_95", "var_99", "es_99", "low_80", "median", "high_80",
    "drawdown_median", "drawdown_95", "diversification",
)  # fmt: skip
PARTS: tuple[str, ...] = ("unique_id", "weight", "es_alone", "contribution", "share")


def wealth(paths_MHS: NDArray[np.floating[Any]], weights_M: Floats) -> Floats:
    """Wealth (H, S) from one, bought at the cutoff and held; the rest in cash."""
    total: Floats = np.ones(paths_MHS.shape[1:])
    for paths_HS, weight in zip(paths_MHS, weights_M, strict=True):
        total += weight * np.expm1(paths_HS)
    return total


def log_quantiles(wealth_HS: Floats) -> Floats:
    """Quantiles (H, A) of the log return at ALL_LEVELS; a portfolio that lost everything is at minus twenty."""
    return np.quantile(np.log(np.maximum(wealth_HS, 2e-9)), ALL_LEVELS, axis=1, method="hazen").T


def tail_mean(values_xS: Floats, level: float) -> Floats:
    """Mean of the lowest share `level` of the last axis, at least one value."""
    count = max(round(level * values_xS.shape[-1]), 1)
    return np.asarray(np.partition(values_xS, count - 1, axis=-1)[..., :count].mean(axis=-1))


def outlook(paths_MHS: NDArray[np.floating[Any]], weights_M: Floats, steps: Sequence[int]) -> pd.DataFrame:
    """A row a step: shares of wealth, losses positive; drawdowns from the highest wealth since the cutoff.

    `diversification` is the part of the tickers' own 95 % shortfalls, added up, that the portfolio does not have.
    """
    wealth_HS = wealth(paths_MHS, weights_M)
    peak_HS = np.maximum.accumulate(np.maximum(wealth_HS, 1.0), axis=0)
    fall_HS = np.maximum.accumulate(1.0 - wealth_HS / peak_HS, axis=0)
    rows = []
    for step in steps:
        gain_S = wealth_HS[step - 1] - 1.0
        row: dict[str, float] = {"step": step, "mean": float(gain_S.mean()), "volatility": float(gain_S.std())}
        row["fall"] = float((gain_S < 0).mean())
        for level in LEVELS:
            percent = round(100 * (1 - level))
            row[f"var_{percent}"] = -float(np.quantile(gain_S, level, method="hazen"))
            row[f"es_{percent}"] = -float(tail_mean(gain_S, level))
        row |= dict(zip(("low_80", "median", "high_80"), np.quantile(gain_S, (0.1, 0.5, 0.9)).tolist(), strict=True))
        middle, deep = np.quantile(fall_HS[step - 1], (0.5, 0.95))
        alone = float((np.abs(weights_M) * _alone(paths_MHS[:, step - 1], weights_M)).sum())
        row |= {"drawdown_median": float(middle), "drawdown_95": float(deep)}
        row["diversification"] = 1.0 - row["es_95"] / alone if alone > 0 else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def contributions(
    paths_MHS: NDArray[np.floating[Any]], weights_M: Floats, tickers: Sequence[str], level: float = 0.05
) -> pd.DataFrame:
    """A row a ticker: its own shortfall at the last step, and what it adds to the portfolio's; these sum to it.

    Euler contributions, the ticker's mean loss on the portfolio's worst paths. Tasche 1999.
    """
    gain_MS = np.expm1(paths_MHS[:, -1].astype(np.float64))
    total_S = weights_M @ gain_MS
    worst = np.argpartition(total_S, max(round(level * len(total_S)), 1) - 1)[: max(round(level * len(total_S)), 1)]
    added_M = -weights_M * gain_MS[:, worst].mean(axis=1)
    whole = float(added_M.sum())
    return pd.DataFrame(
        {
            "unique_id": list(tickers),
            "weight": weights_M,
            "es_alone": _alone(paths_MHS[:, -1], weights_M),
            "contribution": added_M,
            "share": added_M / whole if whole else np.full(len(added_M), np.nan),
        },
        columns=list(PARTS),
    )


def _alone(paths_MS: NDArray[np.floating[Any]], weights_M: Floats) -> Floats:
    """Expected shortfall at 95 % of each ticker by itself (M,), of its loss where it is held long, else its gain."""
    return -tail_mean(np.where(weights_M < 0, -1.0, 1.0)[:, None] * np.expm1(paths_MS.astype(np.float64)), 0.05)
