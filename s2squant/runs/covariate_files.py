"""The covariates of histories as a table and plain values, and back.

The table has a row a bar (part "past") and a row a scheduled session (part "future"): unique_id, part, ds, then the
columns by number, as names are the user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from s2squant.series.arrays import Dates, Floats
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.history import PriceHistory

COLUMNS = TypeAdapter(tuple[tuple[Covariate, ...], ...])
STATIC = TypeAdapter(list[float | None])


def covariates_table(histories: Mapping[str, PriceHistory]) -> pd.DataFrame:
    """The values of all tickers that have covariates, by bar and by scheduled session."""
    parts = [pd.DataFrame(columns=["unique_id", "part", "ds"])]
    for ticker, history in histories.items():
        if history.covariates is not None:
            own = history.covariates
            parts += [_part(ticker, "past", history.dates, own.past_TP)]
            parts += [_part(ticker, "future", own.days_S, own.future_SF)]
    return pd.concat(parts[1:] or parts, ignore_index=True)


def about_covariates(histories: Mapping[str, PriceHistory]) -> dict[str, Any]:
    """What the table does not hold, ready for JSON: columns and static values of each ticker that has any."""
    each = {t: h.covariates for t, h in histories.items() if h.covariates is not None}
    return {
        ticker: {
            "columns": COLUMNS.dump_python(own.columns, mode="json"),
            "static": [None if value != value else float(value) for value in own.static_C],
        }
        for ticker, own in each.items()
    }


def with_covariates_of(
    histories: Mapping[str, PriceHistory], table: pd.DataFrame, about: Mapping[str, Mapping[str, Any]]
) -> dict[str, PriceHistory]:
    """The histories with their covariates back; raises KeyError or ValueError where they do not fit."""
    parts = dict(list(table.groupby(["unique_id", "part"], sort=False)))
    result = dict(histories)
    for ticker, facts in about.items():
        past, future, static = COLUMNS.validate_python(facts["columns"])
        bars, sessions = parts[ticker, "past"], parts[ticker, "future"]
        own = TickerCovariates(
            past=past,
            future=future,
            static=static,
            past_TP=_values(bars, len(past)),
            days_S=sessions["ds"].to_numpy(),
            future_SF=_values(sessions, len(future)),
            static_C=pd.Series(STATIC.validate_python(facts["static"]), dtype="float64").to_numpy(),
        )
        result[ticker] = replace(histories[ticker], covariates=own)
    return result


def _part(ticker: str, part: str, days: Dates, values: Floats) -> pd.DataFrame:
    keys = {"unique_id": ticker, "part": part, "ds": days.astype("datetime64[s]")}
    return pd.DataFrame({**keys, **{f"v{k}": values[:, k] for k in range(values.shape[1])}})


def _values(rows: pd.DataFrame, count: int) -> Floats:
    return rows[[f"v{k}" for k in range(count)]].to_numpy(dtype="float64")
