"""Forecasts as the wide table of Nixtla's libraries: one row a (ticker, date), one column a model, bands beside it.

Prices come back as prices: a quantile of the cumulative log return from the cutoff, carried over by P[cutoff] e^q.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.errors import ConfigError
from s2squant.series.arrays import Dates, Floats
from s2squant.series.forecast import QUANTILE_COLUMNS, Forecast
from s2squant.series.long_table import FREE_RUNNING, KEYS
from s2squant.series.panel import Panel
from s2squant.series.tails import all_quantiles, at_level

MEDIAN = QUANTILE_COLUMNS[len(QUANTILE_COLUMNS) // 2]


def to_wide(
    forecasts: pd.DataFrame, panels: Iterable[Panel], models: Sequence[str], edges: Mapping[str, float]
) -> pd.DataFrame:
    """Wide table: unique_id, ds, cutoff, y, then each model's median price and its `edges`, quantile levels by suffix.

    A model that goes beyond the steps it was trained on has a column `<model>-free-running`, true there.
    `forecasts` is the long table of cumulative log returns that files use, `panels` hold the prices at its cutoffs. `y`
    is the price that came, NaN where it has not; rows by ticker (as given), cutoff and step.
    """
    parts = {model: rows.set_index(KEYS) for model, rows in forecasts.groupby("model", observed=True, sort=False)}
    base = parts.get(models[0], forecasts.iloc[:0].set_index(KEYS))
    if FREE_RUNNING in forecasts:
        base = max(parts.values(), key=len)
    some = forecasts.drop_duplicates(KEYS).set_index(KEYS)  # a model need not have forecast every ticker
    base = pd.concat([base, some[~some.index.isin(base.index)]]) if len(some) > len(base) else base
    head = base.reset_index()[["unique_id", "ds", "cutoff"]].astype(
        {"unique_id": str, "ds": "datetime64[s]", "cutoff": "datetime64[s]"}
    )
    price = _prices_at(head, panels)
    columns: dict[str, NDArray[Any]] = {"y": price * np.exp(base["y"].to_numpy(np.float64))}
    for model in models:
        rows = parts.get(model, base.iloc[:0]).reindex(base.index)
        columns[model] = price * np.exp(rows[MEDIAN].to_numpy(np.float64))
        if FREE_RUNNING in rows and rows[FREE_RUNNING].eq(True).any():
            columns[f"{model}-free-running"] = rows[FREE_RUNNING].eq(True).to_numpy()
        if edges:
            known_NA = all_quantiles(rows)
            columns |= {f"{model}{edge}": price * np.exp(at_level(known_NA, q)) for edge, q in edges.items()}
    return pd.concat([head, pd.DataFrame(columns)], axis=1)


def paths_to_wide(ticker: str, panel: Panel, forecasts: Sequence[Forecast], days_H: Dates, paths: int) -> pd.DataFrame:
    """Wide table of sample paths: unique_id, ds, sample_id, then the price of each model that draws any.

    `forecasts` are one ticker's newest, a row each. Raises ConfigError where none has paths, or one fewer than asked.
    """
    drawn = {f.forecaster: f.paths_NSH[0] for f in forecasts if f.paths_NSH is not None}
    if not drawn:
        named = ", ".join(f.forecaster for f in forecasts)
        raise ConfigError(f"no model here draws paths ({named}); ask for joint=True, which every model has")
    for model, paths_SH in drawn.items():
        if len(paths_SH) < paths:
            raise ConfigError(f"{model} keeps {len(paths_SH)} paths, {paths} were asked for")
    price = panel.histories[panel.tickers.index(ticker)].adj_close[-1]
    head = {
        "unique_id": ticker,
        "ds": np.tile(days_H.astype("datetime64[s]"), paths),
        "sample_id": np.repeat(np.arange(paths), len(days_H)),
    }
    prices = {model: (price * np.exp(some[:paths].astype(np.float64))).ravel() for model, some in drawn.items()}
    return pd.DataFrame(head | prices)


def _prices_at(head: pd.DataFrame, panels: Iterable[Panel]) -> Floats:
    """The price of each row's ticker at its cutoff."""
    parts = [
        pd.DataFrame({"unique_id": h.ticker, "cutoff": h.dates.astype("datetime64[s]"), "price": h.adj_close})
        for panel in panels
        for h in panel.histories
    ]
    priced = head.merge(pd.concat(parts), on=["unique_id", "cutoff"], how="left", validate="m:1")
    return priced["price"].to_numpy(np.float64)
