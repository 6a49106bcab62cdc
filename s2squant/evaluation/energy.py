"""Which models draw whole paths well: energy scores beside the step-by-step CRPS, on the same origins."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.losses import Losses, group_mean
from s2squant.evaluation.pools import Pool
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.series.arrays import Floats

COLUMNS = [
    "model", "paths", "energy", "skill", "low", "high", "crps_skill", "p", "n", "n_eff", "smallest_detectable",
    "reason",
]  # fmt: skip
QUANTILES_ONLY = "quantiles only"


def energy_table(energies: pd.DataFrame, losses: Losses, pool: Pool, spec: VerdictSpec) -> pd.DataFrame:
    """One row a model of `losses`; columns as in Evidence. `energies` is the table of paths.scores_table.

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
    found = dm.examine(series, pool.overlap)
    made: dict[str, object] = {"skill": found.mean, "n": found.n, "n_eff": n_eff}
    if found.reason:
        return made | {"reason": found.reason}
    nu = np.array(float(found.nu))
    smallest = float(dm.detectable_factor(nu, spec.alpha)) * found.se
    made |= {"low": found.low, "high": found.high, "p": found.p}
    return made | {"smallest_detectable": smallest}


def _by_origin(losses: Losses, origins: pd.DataFrame) -> Floats:
    """Mean CRPS over the steps of each origin and model, NaN where the origin has no common unit."""
    size = len(losses.cutoffs)
    key_U = losses.ticker_U * size + losses.cutoff_U
    held, where = np.unique(key_U, return_inverse=True)
    means = np.stack([group_mean(column, where, len(held)) for column in losses.crps_UK.T], axis=1)
    ticker = np.array([losses.tickers.index(t) for t in origins["unique_id"]], np.intp)
    cutoff = np.minimum(np.searchsorted(losses.cutoffs, origins["cutoff"].to_numpy()), size - 1)
    place = np.minimum(np.searchsorted(held, ticker * size + cutoff), len(held) - 1)
    same = held[place] == ticker * size + cutoff if len(held) else np.zeros(0, bool)
    return np.where(same[:, None], means[place], np.nan)
