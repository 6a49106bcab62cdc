"""Scores of whole paths, where a forecaster gives sample paths: the energy score sees how steps hang together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from s2squant.series.arrays import Floats
from s2squant.series.forecast import Forecast
from s2squant.series.panel import Panel

COLUMNS = ["model", "unique_id", "cutoff", "energy", "paths"]


def energy_score(paths_NSH: Floats, y_NH: Floats, scale_H: Floats | None = None) -> Floats:
    """E|X - y| - E|X - X'| / 2 with the Euclidean norm over the steps, (N,), from S >= 2 sample paths; fair in S.

    Gneiting and Raftery 2007, equation 22; pairs of equal draws are left out (Ferro 2014), so that it does not depend
    on S on average. Steps are divided by `scale_H`, by default the root mean square of all paths at the step: otherwise
    the last steps decide. Compare only scores of the same scale.
    """
    draws = paths_NSH.shape[1]
    if paths_NSH.ndim != 3 or y_NH.shape != (paths_NSH.shape[0], paths_NSH.shape[2]) or draws < 2:
        raise ValueError(f"paths {paths_NSH.shape} for outcomes {y_NH.shape}; two or more paths an origin are needed")
    if scale_H is None:
        scale_H = np.sqrt(np.square(paths_NSH).mean(axis=(0, 1)))
    scale_H = np.where(scale_H > 0, scale_H, 1.0)
    paths, y = paths_NSH / scale_H, y_NH / scale_H
    miss = np.linalg.norm(paths - y[:, None], axis=2).mean(axis=1)
    spread = np.array([_mean_distance(one) for one in paths])
    return np.asarray(miss - 0.5 * spread)


def _mean_distance(paths_SH: Floats) -> float:
    """Mean distance of two different paths, by |a|^2 + |b|^2 - 2ab: S x S numbers, no S x S x H ones."""
    squares = np.square(paths_SH).sum(axis=1)
    distance = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * paths_SH @ paths_SH.T, 0.0))
    np.fill_diagonal(distance, 0.0)
    draws = len(paths_SH)
    return float(distance.sum() / (draws * (draws - 1)))


def path_scores(panel: Panel, fit_date: np.datetime64, forecast: Forecast) -> Iterator[dict[str, Any]]:
    """Energy scores of a forecast's origins whose whole path is known, a plain record a ticker; none without paths.

    Step h of the cumulative return is divided by the root of h times the root mean square one-bar return of the
    ticker up to `fit_date`: every step weighs alike, and all models of a fold are scaled alike.
    """
    if forecast.paths_NSH is None:
        return
    horizon = forecast.mean_NH.shape[1]
    y_NH = panel.targets(forecast.rows, horizon)
    whole_N = np.isfinite(y_NH).all(axis=1)
    owner_N = panel.ticker_of[forecast.rows]
    for m in np.unique(owner_N[whole_N]):
        ticker = panel.tickers[m]
        at = np.flatnonzero(whole_N & (owner_N == m))
        rows = panel.rows_of(ticker)
        past = panel.log_price[rows[panel.dates[rows] <= fit_date]]
        bar = np.sqrt(np.square(np.diff(past)).mean())
        scores = energy_score(
            forecast.paths_NSH[at].astype(np.float64), y_NH[at], bar * np.sqrt(np.arange(1, horizon + 1))
        )
        yield {
            "model": forecast.forecaster,
            "unique_id": ticker,
            "cutoff": [str(day) for day in panel.dates[forecast.rows[at]]],
            "energy": [float(f"{score:.7g}") for score in scores],
            "paths": forecast.paths_NSH.shape[1],
        }


def scores_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The records of `path_scores` as one table: model, unique_id, cutoff, energy, paths."""
    if not records:
        return pd.DataFrame(columns=COLUMNS)
    parts = [pd.DataFrame(dict(record)) for record in records]
    table = pd.concat(parts, ignore_index=True)[COLUMNS]
    return table.assign(cutoff=pd.to_datetime(table["cutoff"]).astype("datetime64[s]"))
