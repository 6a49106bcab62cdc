"""The largest misses of the recommended model, by ticker and over the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from s2squant.evaluation.diagnostics import Readings
from s2squant.evaluation.losses import Losses, group_mean
from s2squant.series.arrays import Dates, Floats, Ints, date_of
from s2squant.series.history import PriceHistory

MOST = 10
"""Misses listed of each ticker, and of the run."""
COLUMNS = [
    "scope", "unique_id", "cutoff", "step", "ds", "price", "realised", "low", "high", "moved", "miss", "pit", "others",
]  # fmt: skip


def misses(
    forecasts: pd.DataFrame,
    losses: Losses,
    readings: Readings,
    model: str,
    *,
    markets: Mapping[str, str],
    histories: Mapping[str, PriceHistory],
) -> pd.DataFrame:
    """The MOST largest |miss| of `model` in every ticker and, scope "all", in the run; columns as in Evidence.

    A miss is the outcome less the mean of the forecast, in its standard deviations. Forecasts of overlapping days see
    one event many times: only the largest of those that share a bar is listed. Prices are adjusted closes.
    """
    if model not in losses.models:
        return pd.DataFrame(columns=COLUMNS)
    k = losses.models.index(model)
    spread = np.sqrt(np.maximum(readings.variance_UK[:, k].astype(np.float64), 1e-12))
    miss = (readings.y_U - readings.mean_UK[:, k]) / spread
    own = forecasts[(forecasts["model"] == model) & forecasts["y"].notna()]
    own = own[["unique_id", "cutoff", "step", "ds", "y", "q0.025", "q0.975"]].astype({"unique_id": str})
    others = _others(losses, readings, markets)
    ends = _ends(losses, own)
    bounds = np.searchsorted(losses.ticker_U, np.arange(len(losses.tickers) + 1))
    chosen: list[Ints] = [_apart(np.arange(first, last), miss, losses, ends) for first, last in pairwise(bounds)]
    every = np.concatenate([*chosen, np.empty(0, np.intp)]).astype(np.intp)
    top = every[np.argsort(-np.abs(miss[every]), kind="stable")][:MOST]
    scopes = ["all"] * len(top) + [losses.tickers[m] for m in losses.ticker_U[every]]
    table = _table(scopes, np.concatenate([top, every]), miss, others, losses, readings, k)
    table = table.merge(own, on=["unique_id", "cutoff", "step"], how="left", validate="many_to_one")
    price = np.array([_price(histories.get(t), c) for t, c in zip(table["unique_id"], table["cutoff"], strict=True)])
    for name, column in (("realised", "y"), ("low", "q0.025"), ("high", "q0.975")):
        table[name] = price * np.exp(table[column].to_numpy(np.float64))
    return table.assign(price=price, moved=np.expm1(table["y"].to_numpy(np.float64)))[COLUMNS]


def _apart(units: Ints, miss: Floats, losses: Losses, ends: Dates) -> Ints:
    """The largest misses of one ticker, none of whose days (after the cutoff, to the end) belong to a larger one."""
    start, end, size = losses.cutoffs[losses.cutoff_U[units]], ends[units], np.abs(miss[units])
    live = np.ones(len(units), bool)
    chosen: list[int] = []
    while live.any() and len(chosen) < MOST:
        worst = int(np.argmax(np.where(live, size, -1.0)))
        chosen.append(units[worst])
        live &= (end <= start[worst]) | (start >= end[worst])
    return np.array(chosen, np.intp)


def _ends(losses: Losses, own: pd.DataFrame) -> Dates:
    """The last day of every unit's label (U,)."""
    units = pd.DataFrame(
        {
            "unique_id": np.array(losses.tickers, object)[losses.ticker_U],
            "cutoff": losses.cutoffs[losses.cutoff_U],
            "step": losses.step_U,
        }
    )
    return units.merge(own, on=["unique_id", "cutoff", "step"], how="left")["ds"].to_numpy()


def _others(losses: Losses, readings: Readings, markets: Mapping[str, str]) -> Floats:
    """Mean log return (%) of the market's other tickers from the same cutoff to the same step (U,); NaN if alone."""
    names = list(dict.fromkeys(markets[t] for t in losses.tickers))
    market = np.array([names.index(markets[t]) for t in losses.tickers], np.intp)[losses.ticker_U]
    steps = int(losses.step_U.max(initial=0)) + 1
    key = (market * len(losses.cutoffs) + losses.cutoff_U) * steps + losses.step_U
    _, where = np.unique(key, return_inverse=True)
    size = int(where.max(initial=-1)) + 1
    count = np.bincount(where, minlength=size)[where]
    total = group_mean(readings.y_U, where, size)[where] * count - readings.y_U
    return np.asarray(np.divide(total, count - 1, out=np.full(len(total), np.nan), where=count > 1))


def _table(
    scopes: Sequence[str], units: Ints, miss: Floats, others: Floats, losses: Losses, readings: Readings, model: int
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "scope": scopes,
            "unique_id": np.array(losses.tickers, object)[losses.ticker_U[units]],
            "cutoff": losses.cutoffs[losses.cutoff_U[units]],
            "step": losses.step_U[units],
            "miss": miss[units],
            "pit": readings.pit_UK[units, model].astype(np.float64),
            "others": np.expm1(others[units] / 100.0),
        }
    )


def _price(history: PriceHistory | None, cutoff: pd.Timestamp) -> float:
    if history is None:
        return float("nan")
    day = date_of(history.calendar, cutoff)
    bar = min(int(np.searchsorted(history.dates, day)), len(history.dates) - 1)
    return float(history.adj_close[bar]) if history.dates[bar] == day else float("nan")
