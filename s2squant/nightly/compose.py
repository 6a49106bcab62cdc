"""From tonight's forecasts to what is issued: the blend by its weights, and the recalibrated row beside it.

Both learn from the ledger: the weights from the matured losses of each member, the recalibration from the matured
outcomes of the blend as it was issued.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.forecasters.blend import blend
from s2squant.forecasters.recalibration import recalibrated
from s2squant.nightly import young
from s2squant.nightly.ledger.entries import Issue
from s2squant.nightly.outcomes import adjustment, raw_close
from s2squant.series.arrays import Dates, Floats, dates_of
from s2squant.series.history import PriceHistory
from s2squant.series.long_table import KEYS
from s2squant.series.tails import ALL_COLUMNS

COLUMNS = ["model", *KEYS, "ds", "y", "crps", "mean", *ALL_COLUMNS]


def compose(
    tonight: pd.DataFrame, record: pd.DataFrame, experiment: Experiment, markets: Mapping[str, str]
) -> pd.DataFrame:
    """Tonight's forecasts with the blend's and the recalibrated ones, from what the record knows.

    `tonight` is the long table of the fitted models, `record` the live rows of Ledger.record(), as they were known by
    the moment that the night takes for its own: what is entered or corrected later must not tell when it is replayed.
    `markets` are those of tonight's tickers; a ticker that has no forecast tonight keeps the market of its record.
    """
    names = [name for name in COLUMNS if name in tonight.columns or name in ("y", "crps")]
    now, past = tonight.assign(y=np.nan, crps=np.nan)[names], record[names]
    known = dict(zip(record["unique_id"], record["market"], strict=True)) | dict(markets)
    models = experiment.forecasters.models
    if "blend" in models:
        parts = [now, _blended(now, past, experiment, known), young.blended(now)]
        now = pd.concat([part for part in parts if len(part)], ignore_index=True)
    if experiment.recalibration.enabled:
        name = experiment.verdict.recommended
        both = pd.concat([past[past["model"] == name], now[now["model"] == name]], ignore_index=True)
        rows, _ = recalibrated(both, name, experiment.recalibration, known)
        now = pd.concat([now, _of_tonight(rows, now)], ignore_index=True)
    return now.drop(columns=["y", "crps"]).sort_values(["model", *KEYS], ignore_index=True)


def _blended(now: pd.DataFrame, past: pd.DataFrame, experiment: Experiment, markets: Mapping[str, str]) -> pd.DataFrame:
    """The blend's rows of tonight; its weights read the units that every member has forecast."""
    told = now.groupby("model")["unique_id"].nunique()
    spec = experiment.forecasters.blending
    whole = tuple(m for m in spec.members if told.get(m, 0) == told.max())  # an own model that failed is out tonight
    names = ["anchor", *whole]
    both = pd.concat([past, now], ignore_index=True)
    both = both[both["model"].isin(names)]
    complete = both.groupby(KEYS)["model"].transform("size") == len(names)
    both = both[complete].reset_index(drop=True)
    rows, _ = blend(both, spec.model_copy(update={"members": whole}), markets)
    return _of_tonight(rows.assign(crps=np.nan), now)[list(now.columns)]


def _of_tonight(rows: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    units = pd.MultiIndex.from_frame(now[["unique_id", "cutoff"]].drop_duplicates())
    return rows[pd.MultiIndex.from_frame(rows[["unique_id", "cutoff"]]).isin(units)]


@dataclass(frozen=True)
class ModelForecast:
    """One model's forecast of one ticker: dates (H,), quantiles at ALL_LEVELS (H, A) and means (H,)."""

    model: str
    dates_H: Dates
    levels_HA: Floats
    mean_H: Floats


def by_ticker(table: pd.DataFrame) -> dict[str, list[ModelForecast]]:
    """The rows of `compose`, taken apart by ticker and model, steps in order."""
    table = table.sort_values(["unique_id", "model", "step"], ignore_index=True)
    dates = table["ds"].to_numpy()
    quantiles, mean = table[list(ALL_COLUMNS)].to_numpy(np.float32), table["mean"].to_numpy(np.float32)
    tickers, models = table["unique_id"].to_numpy(), table["model"].to_numpy()
    new = np.flatnonzero((tickers[1:] != tickers[:-1]) | (models[1:] != models[:-1])) + 1
    forecasts: dict[str, list[ModelForecast]] = {}
    for start, end in pairwise([0, *new, len(table)] if len(table) else []):
        forecast = ModelForecast(str(models[start]), dates[start:end], quantiles[start:end], mean[start:end])
        forecasts.setdefault(str(tickers[start]), []).append(forecast)
    return forecasts


def issues_of(
    forecasts: Sequence[ModelForecast], history: PriceHistory, market: str, versions: Mapping[str, str]
) -> list[Issue]:
    """One ticker's forecasts as the ledger takes them, from the last bar of `history`; `versions` by model."""
    at = len(history) - 1
    close, factor = float(raw_close(history)[at]), float(adjustment(history)[at])
    sha256, cutoff = history.sha256, history.dates[at].astype(object)
    return [
        Issue(
            ticker=history.ticker,
            market=market,
            cutoff=cutoff,
            model=one.model,
            version=versions[one.model],
            sessions=list(dates_of(history.calendar, one.dates_H).astype(object)),
            quantiles_HQ=one.levels_HA,
            mean_H=one.mean_H,
            close=close,
            factor=factor,
            prices_sha256=sha256,
            prices_at=history.fetched_at,
        )
        for one in forecasts
    ]
