"""Forecast tables with a known truth: Gaussian random walks with a common factor, forecast by models given by scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from s2squant.evaluation.losses import Losses, score
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS

Z = ndtri(LEVELS)


def paths_after(returns: np.ndarray, cutoffs: np.ndarray, horizon: int) -> np.ndarray:
    """Cumulative returns (M, C, H) after each cutoff of (M, T) returns; a cutoff is the place of the last known bar."""
    total = np.cumsum(np.pad(returns, ((0, 0), (1, 0))), axis=1)
    steps = np.arange(1, horizon + 1)
    return total[:, cutoffs[:, None] + 1 + steps] - total[:, cutoffs + 1][..., None]


def table_of(y_MCH: np.ndarray, models: Mapping[str, tuple[Any, Any]], *, every: int = 10) -> pd.DataFrame:
    """Normal forecasts, a model by its (location, scale), each broadcast to (M, C, H), of outcomes `y_MCH`."""
    tickers, cutoffs, horizon = y_MCH.shape
    days = np.busday_offset(np.datetime64("2015-01-01", "D"), np.arange(cutoffs * every + horizon), roll="forward")
    ticker, cutoff, step = (a.ravel() for a in np.indices(y_MCH.shape))
    parts = []
    for name, (location, scale) in models.items():
        where, wide = (np.broadcast_to(v, y_MCH.shape).ravel() for v in (location, scale))
        quantiles = (where[:, None] + wide[:, None] * Z).astype(np.float32)
        parts.append(
            pd.DataFrame(
                {
                    "model": name,
                    "unique_id": np.array([f"T{m}" for m in range(tickers)], object)[ticker],
                    "cutoff": days[cutoff * every].astype("datetime64[ms]"),
                    "ds": days[cutoff * every + step + 1].astype("datetime64[ms]"),
                    "step": (step + 1).astype(np.int16),
                    "y": y_MCH.ravel(),
                    "mean": where.astype(np.float32),
                    **dict(zip(QUANTILE_COLUMNS, quantiles.T, strict=True)),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def walks(seed: int, *, tickers: int = 3, cutoffs: int = 60, horizon: int = 6, every: int = 2) -> np.ndarray:
    """Outcomes (M, C, H) of random walks of 1 % a bar, correlation 0.3."""
    rng = np.random.default_rng(seed)
    bars = cutoffs * every + horizon
    returns = 0.01 * (np.sqrt(0.3) * rng.standard_normal(bars) + np.sqrt(0.7) * rng.standard_normal((tickers, bars)))
    return paths_after(returns, np.arange(cutoffs) * every - 1, horizon)


def known_scale(horizon: int, wide: float = 1.0) -> np.ndarray:
    """Standard deviations (H,) of those walks, times `wide`."""
    return wide * 0.01 * np.sqrt(np.arange(1, horizon + 1))


def scored(table: pd.DataFrame) -> Losses:
    """The losses of a table."""
    return score(table)
