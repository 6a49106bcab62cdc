"""Permutation importance of covariates: how much more a fitted model loses when one of them is that of another time.

A covariate's values are rolled along the sessions of its ticker, so that they keep their own dynamics and lose what
they say of these days (Breiman 2001; rolled, not shuffled, because they are serially dependent). A static one is that
of the next ticker. It tells what a fitted model leans on, not what a model without the covariate would lose.

Shape legend: N origins, H steps, D dates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.config.models import kind_of
from s2squant.config.readers import reads_of
from s2squant.evaluation.losses import Losses, group_mean
from s2squant.evaluation.pools import Pool
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.false_discovery import with_findings
from s2squant.series.arrays import Floats
from s2squant.series.forecast import Fitted, Forecast, quantile_crps
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

ROLLS = 2
"""Other times whose losses are averaged."""
IDLE = "its forecasts do not depend on it"
"""Why a covariate that a model leaves alone is not tested."""
COLUMNS = [
    "model", "covariate", "step", "rise", "low", "high", "p", "p_adjusted", "n", "n_eff", "smallest_detectable",
    "finding", "reason",
]  # fmt: skip


def rolled(panel: Panel, name: str, number: int) -> Panel:
    """The panel with one covariate of another time, a quarter to three quarters of its sessions away."""
    digest = hashlib.sha256(f"{name}\0{number}".encode()).digest()
    share = 0.25 + 0.5 * int.from_bytes(digest[:4]) / 2**32
    following = panel.histories[1:] + panel.histories[:1]
    pairs = zip(panel.histories, following, strict=True)
    return Panel(tuple(_rolled(h, after, name, share) for h, after in pairs), panel.whole, panel.whole_until)


def _rolled(history: PriceHistory, following: PriceHistory, name: str, share: float) -> PriceHistory:
    own, other = history.covariates, following.covariates
    assert own is not None
    assert other is not None
    past, future, static = own.past_TP.copy(), own.future_SF.copy(), own.static_C.copy()
    for values, columns in ((past, own.past), (future, own.future)):
        for place in (k for k, column in enumerate(columns) if column.name == name):
            values[:, place] = np.roll(values[:, place], max(1, int(share * len(values))))
    for place in (k for k, column in enumerate(own.static) if column.name == name):
        static[place] = other.static_C[place]
    return replace(history, covariates=replace(own, past_TP=past, future_SF=future, static_C=static))


def importances(fitted: Fitted, panel: Panel, forecast: Forecast) -> Iterator[dict[str, Any]]:
    """Losses with each covariate that the model reads as it was and rolled, a plain record a ticker and covariate.

    Of the origins whose whole path is known: by cutoff, mean over steps, and by step, mean over cutoffs. A user's own
    model reads those on which its forecasts depend.
    """
    covariates, horizon = panel.covariates, forecast.mean_NH.shape[1]
    y_NH = panel.targets(forecast.rows, horizon)
    whole = np.flatnonzero(np.isfinite(y_NH).all(axis=1))
    if covariates is None or not len(whole):
        return
    several = len(panel.histories) > 1  # a static covariate has to come from another ticker
    kinds = {"past": covariates.past, "future": covariates.future, "static": covariates.static if several else ()}
    rows, y_NH = forecast.rows[whole], y_NH[whole]
    base_NH = quantile_crps(y_NH, forecast.quantiles_NHQ[whole])
    own_model = kind_of(fitted.name, "") == "own"
    names = [c.name for columns in kinds.values() for c in columns] if own_model else reads_of(fitted.name, kinds)
    for name in names:
        try:
            parts = [fitted.predict(rolled(panel, name, number), rows).quantiles_NHQ for number in range(ROLLS)]
        except Exception:  # whatever a user's code raises; its forecasts as they were stand
            if not own_model:
                raise
            continue
        if own_model and all(np.array_equal(part, forecast.quantiles_NHQ[whole]) for part in parts):
            continue
        other_NH = np.mean([quantile_crps(y_NH, quantiles) for quantiles in parts], axis=0)
        for m in np.unique(panel.ticker_of[rows]):
            own = panel.ticker_of[rows] == m
            yield {
                "model": fitted.name,
                "unique_id": panel.tickers[m],
                "covariate": name,
                "cutoff": [str(day) for day in panel.dates[rows[own]]],
                "crps": _short(base_NH[own].mean(axis=1)),
                "rolled": _short(other_NH[own].mean(axis=1)),
                "crps_by_step": _short(base_NH[own].mean(axis=0)),
                "rolled_by_step": _short(other_NH[own].mean(axis=0)),
            }


def _short(values: Floats) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def importance_table(
    records: Sequence[Mapping[str, Any]], losses: Losses, pool: Pool, spec: VerdictSpec
) -> pd.DataFrame:
    """Columns as in Evidence: for each model and covariate a tested row of all steps, then one a step without a test.

    `rise` is relative to the ticker's own mean loss, averaged over tickers and by date; `pool` is that of all units.
    """
    known = [record for record in records if record["unique_id"] in losses.tickers]
    if not known:
        return pd.DataFrame(columns=COLUMNS)
    pairs = dict.fromkeys((str(r["model"]), str(r["covariate"])) for r in known)
    own = {pair: [r for r in known if (r["model"], r["covariate"]) == pair] for pair in pairs}
    tested = pd.DataFrame([_tested(pair, some, pool, spec) for pair, some in own.items()])
    tested = with_findings(tested, spec, effect="rise", words=("leans on it", "misled by it"))
    steps = [row for pair, some in own.items() for row in _by_step(pair, some)]
    return pd.concat([tested, pd.DataFrame(steps)], ignore_index=True).reindex(columns=COLUMNS)


def _tested(
    pair: tuple[str, str], records: Sequence[Mapping[str, Any]], pool: Pool, spec: VerdictSpec
) -> dict[str, object]:
    rises = pd.concat([_rise(ticker, some) for ticker, some in _by_ticker(records).items()], ignore_index=True)
    date, dates = pd.factorize(rises["cutoff"], sort=True)
    series_D = group_mean(rises["rise"].to_numpy(float), date, len(dates))
    gain = dm.examine(series_D, pool.overlap)
    idle = IDLE if not rises["rise"].any() else ""
    row: dict[str, object] = {
        "model": pair[0],
        "covariate": pair[1],
        "step": "all",
        "rise": gain.mean,
        "low": np.nan,
        "high": np.nan,
        "p": np.nan,
        "n": gain.n,
        "n_eff": pool.n_eff * len(dates) / max(pool.dates, 1),
        "smallest_detectable": np.nan,
        "reason": idle or gain.reason,
    }
    if not row["reason"]:
        row |= {"low": gain.low, "high": gain.high, "p": gain.p}
        row["smallest_detectable"] = gain.smallest_detectable(spec.alpha)
    return row


def _rise(ticker: str, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rise of the loss at each cutoff of a ticker, in units of its mean loss."""
    crps, other = (np.concatenate([record[key] for record in records]) for key in ("crps", "rolled"))
    days = [day for record in records for day in record["cutoff"]]
    return pd.DataFrame({"unique_id": ticker, "cutoff": days, "rise": (other - crps) / max(crps.mean(), 1e-300)})


def _by_step(pair: tuple[str, str], records: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, object]]:
    rises = []
    for some in _by_ticker(records).values():
        weight = [len(record["cutoff"]) for record in some]
        crps_H, other_H = (
            np.average([r[key] for r in some], axis=0, weights=weight) for key in ("crps_by_step", "rolled_by_step")
        )
        rises.append((other_H - crps_H) / np.maximum(crps_H, 1e-300))
    for step, rise in enumerate(np.mean(rises, axis=0), 1):
        yield {"model": pair[0], "covariate": pair[1], "step": str(step), "rise": float(rise), "reason": ""}


def _by_ticker(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Records of each ticker, those of all its folds together."""
    tickers: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        tickers.setdefault(str(record["unique_id"]), []).append(record)
    return tickers
