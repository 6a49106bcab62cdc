"""Track record of a rule beside holding: returns by month, deepest drawdowns, rolling Sharpe ratio.

Of the pools alone, at the declared cost, for the recommended model and buy-and-hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from s2squant.evaluation.strategy.performance import sharpe_ratio, years_of
from s2squant.evaluation.strategy.positions import BUY_AND_HOLD, compound
from s2squant.series.arrays import Dates, Floats, table_dates

DEEPEST = 5
"""Drawdowns listed of each record."""
ROLLING_BARS = 252
"""Bars of the rolling Sharpe ratio."""
ROLLING_EVERY = 5
"""Bars between its points."""
COLUMNS = {
    "months": ("model", "unique_id", "year", "month", "net"),
    "drawdowns": ("model", "unique_id", "start", "trough", "end", "depth", "bars"),
    "rolling_sharpe": ("model", "unique_id", "date", "sharpe"),
}


@dataclass(frozen=True)
class TrackRecord:
    """The tables `months`, `drawdowns` and `rolling_sharpe` of Study."""

    months: pd.DataFrame
    drawdowns: pd.DataFrame
    rolling_sharpe: pd.DataFrame


def track_record(equity: pd.DataFrame, model: str, pools: set[str]) -> TrackRecord:
    """The record of `model` and of holding in each of `pools`, from the table `equity`."""
    mine = equity[equity["model"].isin([model, BUY_AND_HOLD]) & equity["unique_id"].isin(pools)]
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in COLUMNS}
    for (who, pool), part in mine.groupby(["model", "unique_id"], observed=True, sort=False):
        days, net = table_dates(part["date"]), part["net"].to_numpy(np.float64)
        rows["months"] += [(who, pool, *month) for month in _months(days, net)]
        rows["drawdowns"] += [(who, pool, *fall) for fall in _drawdowns(days, net)]
        rows["rolling_sharpe"] += [(who, pool, *point) for point in _rolling(days, net)]
    tables = {name: pd.DataFrame(rows[name], columns=list(COLUMNS[name])) for name in COLUMNS}
    return TrackRecord(**tables)


def _months(days: Dates, net: Floats) -> Iterator[tuple[int, int, float]]:
    """Year, month (0: the whole year) and compounded return."""
    year, month = days.astype("datetime64[Y]").astype(int) + 1970, days.astype("datetime64[M]").astype(int) % 12 + 1
    for y in np.unique(year):
        own = year == y
        yield int(y), 0, float(np.prod(1 + net[own]) - 1)
        for m in np.unique(month[own]):
            yield int(y), int(m), float(np.prod(1 + net[own & (month == m)]) - 1)


def _drawdowns(days: Dates, net: Floats) -> list[tuple[str, str, str, float, int]]:
    """Start, trough, end ("" while it lasts), depth (negative) and bars below the high of the deepest falls."""
    wealth = np.r_[1.0, compound(pd.Series(net)).to_numpy()]
    peak = np.maximum.accumulate(wealth)
    under = np.r_[False, (wealth < peak), False]
    edges = np.flatnonzero(np.diff(under.astype(int)))
    falls = []
    for first, past in zip(edges[::2], edges[1::2], strict=True):
        depth = wealth[first:past] / peak[first:past] - 1
        trough = first + int(depth.argmin())
        end = str(days[past - 1]) if past < len(wealth) else ""
        falls.append((str(days[max(first - 2, 0)]), str(days[trough - 1]), end, float(depth.min()), int(past - first)))
    return sorted(falls, key=lambda fall: fall[3])[:DEEPEST]


def _rolling(days: Dates, net: Floats) -> Iterator[tuple[np.datetime64, float]]:
    """Sharpe ratio a year of the last ROLLING_BARS bars."""
    year = len(net) / years_of(days)
    for end in range(ROLLING_BARS, len(net) + 1, ROLLING_EVERY):
        yield days[end - 1].astype("datetime64[s]"), sharpe_ratio(net[end - ROLLING_BARS : end]) * np.sqrt(year)
