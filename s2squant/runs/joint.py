"""Joint paths of a run's recommended model at every cutoff, scored against independent ones and against GJR-FHS.

Shape legend: M tickers, K steps, A quantile levels, S paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from s2squant.errors import CheckpointError, SourceError
from s2squant.evaluation.joint_scores import INDEPENDENT, OWN, RIVAL, joint_table, pairs_of, scored
from s2squant.forecasters.anchor import stable_seed
from s2squant.forecasters.baselines.fhs import FittedGjrFhs
from s2squant.forecasters.baselines.joint_fhs import joint_fhs
from s2squant.runs.engines.worker import as_a_worker
from s2squant.runs.jobs import Inputs, load_fitted
from s2squant.series.arrays import Floats, Ints
from s2squant.series.history import PriceHistory
from s2squant.series.joint_paths import joint_paths, paths_table
from s2squant.series.panel import Fold
from s2squant.series.past_paths import PastPaths, ewma_deviation, joinable, past_paths, sharing
from s2squant.series.tails import all_quantiles

PATHS = 256
MOST_TICKERS = 40
"""Tickers of a market that take part, evenly spaced over all of it."""
STEPS = (1, 5, 10, 20)
"""Steps that take part, beside the last."""


@as_a_worker()
def joint_scores(inputs: Inputs, forecasts: pd.DataFrame) -> pd.DataFrame:
    """The table `joint` of Study; without rows where no market has two tickers with dates in common.

    `forecasts` are those of `joint_rows`.
    """
    walk, steps = inputs.experiment.walk, _steps(inputs)
    records: list[dict[str, Any]] = []
    for market in inputs.panels:
        records += _of_market(inputs, market, forecasts, steps)
    return joint_table(records, every=walk.every, horizon=walk.horizon)


def joint_rows(inputs: Inputs, forecasts: pd.DataFrame) -> pd.DataFrame:
    """The forecasts that take part: of the recommended model, some steps, at most MOST_TICKERS of a market."""
    recommended = inputs.experiment.verdict.recommended
    own = forecasts[(forecasts["model"] == recommended) & forecasts["y"].notna()]
    own = own[own["step"].isin(_steps(inputs))]
    tickers = {history.ticker for market in inputs.panels for history in _part(inputs, market, own)}
    return own[own["unique_id"].isin(tickers)]


def _steps(inputs: Inputs) -> Ints:
    horizon = inputs.experiment.walk.horizon
    return np.array(sorted({horizon, *(step for step in STEPS if step < horizon)}))


def _part(inputs: Inputs, market: str, own: pd.DataFrame) -> list[PriceHistory]:
    """The histories of a market's tickers that take part."""
    present = set(own["unique_id"].unique())
    able = [h for h in inputs.panels[market].histories if h.ticker in present]
    return [able[k] for k in np.linspace(0, len(able) - 1, min(len(able), MOST_TICKERS)).astype(int)]


def newest_paths(inputs: Inputs, forecasts: pd.DataFrame) -> pd.DataFrame:
    """Joint paths of each market's newest forecasts: unique_id, sample_id, cutoff, close, step_1 and so on.

    As `s2squant predict --paths` writes them. A market's tickers share a sample_id's history; markets do not.
    """
    experiment, parts = inputs.experiment, []
    horizon, draws = experiment.walk.horizon, experiment.portfolio.draws
    own = forecasts[forecasts["model"] == experiment.verdict.recommended]
    for panel in inputs.panels.values():
        present = set(own["unique_id"].unique())
        histories, _ = joinable([h for h in panel.histories if h.ticker in present], horizon)
        last = {h.ticker: own[(own["unique_id"] == h.ticker) & (own["cutoff"] == str(h.dates[-1]))] for h in histories}
        histories = [h for h in histories if len(last[h.ticker]) == horizon]
        if not histories:
            continue
        past = past_paths(histories, horizon).known(max(h.dates[-1] for h in histories))
        levels = np.stack([all_quantiles(last[ticker].sort_values("step")) for ticker in past.tickers])
        made = joint_paths(levels, past.order(experiment.seed), draws, seed=experiment.seed)
        for history, paths_HS in zip(histories, made, strict=True):
            parts.append(paths_table(history.ticker, history.dates[-1], float(history.adj_close[-1]), paths_HS))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _of_market(inputs: Inputs, market: str, own: pd.DataFrame, steps: Ints) -> Iterator[dict[str, Any]]:
    horizon = int(steps.max())
    histories, _ = sharing(_part(inputs, market, own), horizon)
    if len(histories) < 2:
        return
    past = past_paths(histories, horizon)
    past = PastPaths(past.tickers, past.starts_W, past.ends_W, past.outcomes_MHW[:, steps - 1])
    seed = stable_seed(inputs.experiment.seed, "joint", market)
    pairs = pairs_of(len(histories) * len(steps), seed)
    deviations = {h.ticker: dict(zip(h.dates.tolist(), ewma_deviation(h), strict=True)) for h in histories}
    origins = dict(_origins(own, past, len(steps)))
    for fold in inputs.folds[market]:
        days = [day for day in fold.cutoffs if day in origins]
        rival_MNKS = _rival(inputs, fold, histories, days, steps, seed) if days else None
        for n, day in enumerate(days):
            levels_MKA, y_MK = origins[day]
            try:
                order = past.known(day).order(seed)
            except SourceError:
                continue
            deviation_M = np.array([deviations[ticker][day.item()] for ticker in past.tickers])
            scale_D = (deviation_M[:, None] * np.sqrt(steps)).ravel()
            joint = joint_paths(levels_MKA, order, PATHS, seed=seed)
            alone = np.random.default_rng(seed + 1).permuted(joint, axis=2)
            drawn = {OWN: joint, INDEPENDENT: alone}
            drawn |= {} if rival_MNKS is None else {RIVAL: rival_MNKS[:, n]}
            head = {"pool": market, "tickers": len(histories), "cutoff": day}
            for name, paths_MKS in drawn.items():
                paths_DS = paths_MKS.reshape(len(scale_D), -1) / scale_D[:, None]
                yield head | {"candidate": name} | scored(paths_DS, y_MK.ravel() / scale_D, pairs)


def _origins(own: pd.DataFrame, past: PastPaths, steps: int) -> Iterator[tuple[np.datetime64, tuple[Floats, Floats]]]:
    """Quantiles (M, K, A) and outcomes (M, K) of each cutoff that all tickers have, whole."""
    tickers = past.tickers
    place = {ticker: m for m, ticker in enumerate(tickers)}
    mine = own[own["unique_id"].isin(tickers)]
    mine = mine.assign(place=mine["unique_id"].map(place).astype(int)).sort_values(["cutoff", "place", "step"])
    for cutoff, part in mine.groupby("cutoff", sort=True):
        if len(part) == len(tickers) * steps:
            levels = all_quantiles(part).reshape(len(tickers), steps, -1)
            yield (
                np.datetime64(str(cutoff)).astype(past.starts_W.dtype),
                (levels, part["y"].to_numpy(np.float64).reshape(len(tickers), steps)),
            )


def _rival(
    inputs: Inputs,
    fold: Fold,
    histories: Sequence[PriceHistory],
    days: Sequence[np.datetime64],
    steps: Ints,
    seed: int,
) -> Floats | None:
    """Paths (M, N, K, S) of GJR-FHS from the cutoffs of a fold; None where it did not run."""
    if RIVAL not in inputs.experiment.forecasters.models:
        return None
    fits = []
    for history in histories:
        try:
            fitted = load_fitted(inputs, RIVAL, history.ticker, fold)
        except CheckpointError:
            return None
        assert isinstance(fitted, FittedGjrFhs)
        fits.append(fitted)
    together = joint_fhs(fits, histories, fold.fit_date)
    return None if together is None else together.simulate(np.array(days), steps, PATHS, seed=seed)
