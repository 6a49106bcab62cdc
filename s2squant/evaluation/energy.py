"""Energy scores of sample paths, which see how steps hang together, and the models' comparison by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.losses import Losses, group_mean
from s2squant.evaluation.pools import Pool
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.series.arrays import Floats
from s2squant.series.forecast import Forecast
from s2squant.series.panel import Panel

SCORE_COLUMNS = ["model", "unique_id", "cutoff", "energy", "paths"]
COLUMNS = [
    "model", "paths", "energy", "skill", "low", "high", "crps_skill", "p", "n", "n_eff", "smallest_detectable",
    "reason",
]  # fmt: skip
QUANTILES_ONLY = "quantiles only"


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
        own = np.flatnonzero(whole_N & (owner_N == m))
        history = panel.histories[m]
        bar = np.sqrt(np.square(history.log_returns[history.dates[1:] <= fit_date]).mean())
        scores = energy_score(
            forecast.paths_NSH[own].astype(np.float64), y_NH[own], bar * np.sqrt(np.arange(1, horizon + 1))
        )
        yield {
            "model": forecast.forecaster,
            "unique_id": ticker,
            "cutoff": [str(day) for day in panel.dates[forecast.rows[own]]],
            "energy": [float(f"{score:.7g}") for score in scores],
            "paths": forecast.paths_NSH.shape[1],
        }


def energy_scores(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The records of `path_scores` as one table: model, unique_id, cutoff, energy, paths."""
    if not records:
        return pd.DataFrame(columns=SCORE_COLUMNS)
    parts = [pd.DataFrame(dict(record)) for record in records]
    table = pd.concat(parts, ignore_index=True)[SCORE_COLUMNS]
    return table.assign(cutoff=pd.to_datetime(table["cutoff"]).astype("datetime64[s]"))


def energy_table(energies: pd.DataFrame, losses: Losses, pool: Pool, spec: VerdictSpec) -> pd.DataFrame:
    """One row a model of `losses`; columns as in Evidence. `energies` is the table of `energy_scores`.

    Compared on the origins that every model with paths has, relative to the reference's mean score of the ticker,
    averaged by date and tested as everywhere (EWC, Student t). `pool` is that of all units.
    """
    table = energies[energies["model"].isin(losses.models) & energies["unique_id"].isin(losses.tickers)]
    wide = table.pivot_table(index=["unique_id", "cutoff"], columns="model", values="energy", observed=True)
    whole = wide.dropna()
    crps = _by_origin(losses, whole.index.to_frame(index=False))
    common = np.flatnonzero(np.isfinite(crps).all(axis=1))
    whole, crps = whole.iloc[common], crps[common]
    origins = whole.index.to_frame(index=False)
    paths = table.groupby("model", observed=True)["paths"].max()
    rows = []
    for k, model in enumerate(losses.models):
        row: dict[str, object] = dict.fromkeys(COLUMNS, np.nan) | {"model": model, "paths": 0, "n": 0, "n_eff": 0.0}
        if model not in whole.columns or not len(whole):
            rows.append(row | {"reason": "no whole path is known" if model in whole.columns else QUANTILES_ONLY})
            continue
        row |= {"paths": int(paths[model]), "energy": float(whole[model].mean()), "reason": ""}
        if spec.reference in whole.columns:
            base = losses.models.index(spec.reference)
            row |= _against(whole[model].to_numpy(float), whole[spec.reference].to_numpy(float), origins, pool, spec)
            row["crps_skill"] = _against(crps[:, k], crps[:, base], origins, pool, spec)["skill"]
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _against(score: Floats, base: Floats, origins: pd.DataFrame, pool: Pool, spec: VerdictSpec) -> dict[str, object]:
    ticker = pd.factorize(origins["unique_id"])[0]
    date, dates = pd.factorize(origins["cutoff"], sort=True)
    scale = group_mean(base, ticker, int(ticker.max()) + 1)
    series = group_mean((base - score) / scale[ticker], date, len(dates))
    n_eff = pool.n_eff * len(dates) / max(pool.dates, 1)
    gain = dm.examine(series, pool.overlap)
    row: dict[str, object] = {"skill": gain.mean, "n": gain.n, "n_eff": n_eff, "reason": gain.reason}
    if not gain.reason:
        row |= {"low": gain.low, "high": gain.high, "p": gain.p}
        row["smallest_detectable"] = gain.smallest_detectable(spec.alpha)
    return row


def _by_origin(losses: Losses, origins: pd.DataFrame) -> Floats:
    """Mean CRPS over the steps of each origin and model, NaN where the origin has no common unit."""
    size = len(losses.cutoffs)
    key_U = losses.ticker_U * size + losses.cutoff_U
    origin, where = np.unique(key_U, return_inverse=True)
    means = np.stack([group_mean(column, where, len(origin)) for column in losses.crps_UK.T], axis=1)
    ticker = np.array([losses.tickers.index(t) for t in origins["unique_id"]], np.intp)
    cutoff = np.minimum(np.searchsorted(losses.cutoffs, origins["cutoff"].to_numpy()), size - 1)
    place = np.minimum(np.searchsorted(origin, ticker * size + cutoff), len(origin) - 1)
    same = origin[place] == ticker * size + cutoff if len(origin) else np.zeros(0, bool)
    return np.where(same[:, None], means[place], np.nan)
