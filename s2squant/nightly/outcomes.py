"""Outcomes: realised return, CRPS and PIT of issued forecasts, on the price basis they were issued on.

The outcome is the log return from the issued close to the target session's close, dividends and splits in between
added back: log(adjusted close of the target / (issued close x adjustment of the cutoff's bar)). Prices are as traded in
the store, so that a later split or dividend changes both alike, and a later correction of the cutoff's close changes
nothing. A source of adjusted closes alone rewrites all of them with every event: there the basis is today's adjusted
close of the cutoff.

A ticker that did not trade on the target session is valued at its last close before it, once it has traded WAIT times
since: sources tell a session a day or two late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from s2squant.evaluation.diagnostics import read_off
from s2squant.series.arrays import Floats, dates_of
from s2squant.series.forecast import QUANTILE_COLUMNS, quantile_crps
from s2squant.series.history import PriceHistory

WAIT = 3
"""Later bars that show a session without one to be over for a ticker."""
TOLERANCE = 2e-4
"""Log return by which an outcome has to move to be corrected: what rounding two adjusted closes near 100 to the cent
can come to each time they are adjusted anew, and a fiftieth of a usual day. Bars as traded move by 1e-15 or so."""


def outcomes(unscored: pd.DataFrame, histories: Mapping[str, PriceHistory]) -> list[dict[str, Any]]:
    """Outcomes of Ledger.unscored() rows, as Ledger.score() takes them; rows that cannot be scored yet are left out."""
    entries: list[dict[str, Any]] = []
    for ticker, rows in unscored.groupby("ticker", sort=False):
        history = histories.get(str(ticker))
        if history is not None:
            entries += _of_ticker(rows, history)
    return entries


def corrections(scored: pd.DataFrame, history: PriceHistory) -> list[dict[str, Any]]:
    """What prices now value otherwise of one ticker's Ledger.scored() rows, as Ledger.correct() takes it.

    A row whose bars are gone keeps its outcome.
    """
    was, number = (dict(zip(scored["id"], scored[name], strict=True)) for name in ("y", "correction"))
    return [
        {**one, "number": int(number[one["forecast_id"]]) + 1}
        for one in _of_ticker(scored, history)
        if abs(one["y"] - was[one["forecast_id"]]) > TOLERANCE
    ]


def _of_ticker(rows: pd.DataFrame, history: PriceHistory) -> list[dict[str, Any]]:
    cutoff, target = (dates_of(history.calendar, rows[name]) for name in ("cutoff", "ds"))
    origin = np.searchsorted(history.dates, cutoff)
    upto = np.searchsorted(history.dates, target, side="right") - 1
    origin_known = history.dates[np.minimum(origin, len(history) - 1)] == cutoff
    traded = history.dates[np.maximum(upto, 0)] == target
    over = len(history) - 1 - upto >= WAIT
    usable = origin_known & (upto >= origin) & (traded | over)
    if not usable.any():
        return []
    valued, origin, upto = rows[usable], origin[usable], upto[usable]
    issued = valued["close"].to_numpy(np.float64)
    factor = history.adj_close[origin] / issued if history.one_price else adjustment(history)[origin]
    y = np.log(history.adj_close[upto] / (issued * factor))
    quantiles = valued[list(QUANTILE_COLUMNS)].to_numpy(np.float64)
    crps = quantile_crps(y, quantiles)
    pit = read_off(y, list(quantiles.T)).pit
    facts = {"prices_sha256": history.sha256, "prices_at": history.fetched_at}
    closes = history.adj_close[upto] / factor
    return [
        {"forecast_id": int(k), "y": float(a), "crps": float(b), "pit": float(c), "close": float(d), **facts}
        for k, a, b, c, d in zip(valued["id"], y, crps, pit, closes, strict=True)
    ]


def raw_close(history: PriceHistory) -> Floats:
    """The close as traded, (T,); the adjusted one where the source has no other."""
    raw = history.bars.get("close")
    if raw is None:
        return history.adj_close
    return np.where(np.isfinite(raw) & (raw > 0), raw, history.adj_close)


def adjustment(history: PriceHistory) -> Floats:
    """Adjusted close over raw close, (T,): what later splits and dividends make of a bar."""
    return history.adj_close / raw_close(history)
