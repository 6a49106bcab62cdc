"""From tonight's forecasts to what is issued: the blend behind its gate, and the recalibrated row beside it.

Both learn from the ledger: the gate from the matured losses of each member, the recalibration from the matured outcomes
of the blend as it was issued.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd

from s2squant.blend import blend
from s2squant.config import Experiment
from s2squant.conformal import SUFFIX, adapted
from s2squant.frames import KEYS
from s2squant.ledger import Issue
from s2squant.night_scoring import adjustment, raw_close
from s2squant.records import QUANTILE_COLUMNS, PriceHistory

COLUMNS = ["model", *KEYS, "ds", "y", "crps", "mean", *QUANTILE_COLUMNS]


def issued_models(experiment: Experiment) -> tuple[str, ...]:
    """Every model whose forecasts go into the ledger, the recommended one recalibrated last."""
    models: tuple[str, ...] = experiment.forecasters.models
    return (*models, experiment.verdict.recommended + SUFFIX) if experiment.conformal.enabled else models


def compose(
    tonight: pd.DataFrame, record: pd.DataFrame, experiment: Experiment, markets: Mapping[str, str], known: datetime
) -> pd.DataFrame:
    """Tonight's forecasts with the blend's and the recalibrated ones, from what the record knew at `known`.

    `tonight` is the long table of the fitted models, `record` the live rows of Ledger.record().
    """
    now = tonight.assign(y=np.nan, crps=np.nan)[COLUMNS]
    past = known_by(record, known)[COLUMNS]
    models = experiment.forecasters.models
    if "blend" in models:
        now = pd.concat([now, _blended(now, past, experiment, markets)], ignore_index=True)
    if experiment.conformal.enabled:
        name = experiment.verdict.recommended
        both = pd.concat([past[past["model"] == name], now[now["model"] == name]], ignore_index=True)
        rows = adapted(both, name, experiment.conformal)
        now = pd.concat([now, _of_tonight(rows, now)], ignore_index=True)
    return now.drop(columns=["y", "crps"]).sort_values(["model", *KEYS], ignore_index=True)


def known_by(record: pd.DataFrame, known: datetime) -> pd.DataFrame:
    """The record as it was at an instant: outcomes scored later are unknown."""
    if record.empty:
        return record
    later = ~(pd.to_datetime(record["scored_at"], utc=True) <= pd.Timestamp(known))
    return record.assign(y=record["y"].mask(later), crps=record["crps"].mask(later))


def _blended(now: pd.DataFrame, past: pd.DataFrame, experiment: Experiment, markets: Mapping[str, str]) -> pd.DataFrame:
    """The blend's rows of tonight; the gate reads the units that every member has forecast."""
    names = ["anchor", *experiment.forecasters.blend.members]
    both = pd.concat([past, now], ignore_index=True)
    both = both[both["model"].isin(names) & both["unique_id"].isin(markets)]
    complete = both.groupby(KEYS)["model"].transform("size") == len(names)
    both = both[complete].reset_index(drop=True)
    rows, _ = blend(both, both["crps"].to_numpy(np.float64), experiment.forecasters.blend, markets)
    return _of_tonight(rows.assign(crps=np.nan), now)[COLUMNS]


def _of_tonight(rows: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    units = pd.MultiIndex.from_frame(now[["unique_id", "cutoff"]].drop_duplicates())
    return rows[pd.MultiIndex.from_frame(rows[["unique_id", "cutoff"]]).isin(units)]


def issues_of(table: pd.DataFrame, history: PriceHistory, market: str, versions: Mapping[str, str]) -> list[Issue]:
    """One ticker's rows of `compose` as the ledger takes them; `versions` by model."""
    made = []
    at = len(history) - 1
    for model, rows in table.groupby("model", sort=True):
        rows = rows.sort_values("step")
        made.append(
            Issue(
                ticker=history.ticker,
                market=market,
                cutoff=history.dates[at].astype(object),
                model=str(model),
                version=versions[str(model)],
                sessions=[day.astype(object) for day in rows["ds"].to_numpy().astype("datetime64[D]")],
                quantiles_HQ=rows[list(QUANTILE_COLUMNS)].to_numpy(np.float32),
                mean_H=rows["mean"].to_numpy(np.float32),
                close=float(raw_close(history)[at]),
                factor=float(adjustment(history)[at]),
                prices_sha256=history.sha256,
                prices_at=history.fetched_at,
            )
        )
    return made
