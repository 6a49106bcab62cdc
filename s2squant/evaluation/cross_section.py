"""Rank information coefficients by date, of markets with enough tickers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.diagnostics import Readings
from s2squant.evaluation.losses import Losses
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.false_discovery import with_findings
from s2squant.series.arrays import Floats

FEWEST = 20
"""Tickers a date must have to be ranked."""
TENTHS = 50
"""Tickers from which the spread is one of tenths, not of fifths."""
MIDDLE = 5
"""The step looked at beside the first and the last."""
COLUMNS = [
    "market", "model", "step", "tickers", "ic", "low", "high", "icir", "p", "p_adjusted", "parts", "spread",
    "spread_p", "turnover", "n", "n_eff", "smallest_detectable", "finding", "reason",
]  # fmt: skip


def cross_section(
    losses: Losses, readings: Readings, spec: VerdictSpec, *, every: int, markets: Mapping[str, str]
) -> pd.DataFrame:
    """One row a market, model and step (first, fifth, last); columns as in Evidence.

    The rank correlation of medians with outcomes is taken date by date, never over dates and tickers together; its
    mean is tested like any other (EWC, Student t, overlap allowed for). `p_adjusted` is Benjamini-Hochberg over all
    rows. A market with fewer than FEWEST tickers on every date has one row with that reason.
    """
    rows = [
        row
        for market in dict.fromkeys(markets[t] for t in losses.tickers)
        for row in _market_rows(losses, readings, spec, every, market, markets)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return with_findings(table, spec, effect="ic", words=("ranks them", "ranks them the wrong way"))


def _market_rows(
    losses: Losses, readings: Readings, spec: VerdictSpec, every: int, market: str, markets: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    inside = np.array([markets[t] == market for t in losses.tickers])
    steps = np.unique(losses.step_U)
    for step in dict.fromkeys((int(steps[0]), MIDDLE, int(steps[-1]))):
        units = np.flatnonzero(inside[losses.ticker_U] & (losses.step_U == step))
        if not len(units):
            continue
        dates, date = np.unique(losses.cutoff_U[units], return_inverse=True)
        tickers, ticker = np.unique(losses.ticker_U[units], return_inverse=True)
        count = np.bincount(date, minlength=len(dates))
        ranked = count >= FEWEST
        empty: dict[str, object] = dict.fromkeys(COLUMNS, np.nan)
        empty |= {"market": market, "model": "", "step": 0, "tickers": int(count.max()), "parts": 0}
        empty |= {"p": 1.0, "n": int(ranked.sum()), "n_eff": 0.0, "reason": ""}
        if not ranked.any():
            yield empty | {"reason": f"{int(count.max())} tickers on a date; {FEWEST} are needed to rank them"}
            return
        lead = max(1, ceil(step / every))
        parts = 10 if count[ranked].min() >= TENTHS else 5
        y = _wide(readings.y_U[units], date, ticker, ranked, len(tickers))
        for k, model in enumerate(losses.models):
            median = _wide(readings.median_UK[units, k], date, ticker, ranked, len(tickers))
            ic, spread = rank_correlation(median, y), spread_of(median, y, parts)
            row = empty | {"model": model, "step": step, "tickers": int(np.median(count[ranked])), "parts": parts}
            known = np.isfinite(ic)
            if not known.any():
                yield row | {"n": 0, "reason": "its medians do not differ between tickers"}
                continue
            rank, gap = dm.examine(ic[known], lead), dm.examine(spread[known], lead)
            row |= {"ic": rank.mean, "spread": gap.mean, "n": rank.n, "reason": rank.reason}
            row["turnover"] = turnover_of(median[known], parts)
            row["n_eff"] = rank.n * min(1.0, every / step)
            row["icir"] = rank.mean / float(ic[known].std(ddof=1)) if known.sum() > 1 else np.nan
            if not rank.reason:
                row |= {"low": rank.low, "high": rank.high, "p": rank.p, "spread_p": gap.p}
                row["smallest_detectable"] = rank.smallest_detectable(spec.alpha)
            yield row


def rank_correlation(forecast_TM: Floats, y_TM: Floats) -> Floats:
    """Spearman's correlation across tickers by date (T,), ties at their mean rank; NaN where a side does not vary.

    Both are NaN in the same places.
    """
    a, b = (pd.DataFrame(x).rank(axis=1).to_numpy(float) for x in (forecast_TM, y_TM))
    a, b = a - np.nanmean(a, axis=1, keepdims=True), b - np.nanmean(b, axis=1, keepdims=True)
    size = np.sqrt(np.nansum(a * a, axis=1) * np.nansum(b * b, axis=1))
    return np.asarray(np.divide(np.nansum(a * b, axis=1), size, out=np.full(len(a), np.nan), where=size > 0))


def spread_of(forecast_TM: Floats, y_TM: Floats, parts: int) -> Floats:
    """Mean outcome of the highest forecasts' part less that of the lowest's, by date (T,)."""
    top, bottom = _outer(forecast_TM, parts)
    gap = np.where(top, y_TM, 0.0).sum(axis=1) - np.where(bottom, y_TM, 0.0).sum(axis=1)
    return np.asarray(gap / top.sum(axis=1))


def turnover_of(forecast_TM: Floats, parts: int) -> float:
    """Share of the highest and lowest part that was not in it at the date before, mean over dates; NaN for one date.

    1 - 1 / parts is what ranks drawn anew at every date would show.
    """
    top, bottom = _outer(forecast_TM, parts)
    new = (top[1:] & ~top[:-1]).sum(axis=1) + (bottom[1:] & ~bottom[:-1]).sum(axis=1)
    size = top[1:].sum(axis=1) + bottom[1:].sum(axis=1)
    return float((new / size).mean()) if len(new) else float("nan")


def _outer(forecast_TM: Floats, parts: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Members of the highest and of the lowest part at each date, (T, M) each."""
    rank = pd.DataFrame(forecast_TM).rank(axis=1, method="first").to_numpy(float)
    count = np.isfinite(forecast_TM).sum(axis=1, keepdims=True)
    many = np.floor(count / parts)
    return rank > count - many, rank <= many


def _wide(values: Floats, date: np.ndarray, ticker: np.ndarray, ranked: np.ndarray, width: int) -> Floats:
    table = np.full((len(ranked), width), np.nan)
    table[date, ticker] = values
    return np.asarray(table[ranked])
