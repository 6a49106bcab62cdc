"""Sharpness: width of the central 80 % interval by cutoff, beside realised volatility."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from s2squant.evaluation.diagnostics import Readings
from s2squant.evaluation.losses import INTERVALS, Losses, group_mean
from s2squant.series.arrays import Floats

BAND = INTERVALS.index(80)


def realised_variance(losses: Losses, readings: Readings) -> Floats:
    """Sum of squared one-bar returns from the cutoff to each unit's step (U,), %^2; NaN where a step is missing.

    Units come ordered by ticker, cutoff, step, so that a run of steps from 1 is a run of outcomes.
    """
    pair = losses.ticker_U * len(losses.cutoffs) + losses.cutoff_U
    follows = np.r_[False, (np.diff(pair) == 0) & (np.diff(losses.step_U) == 1)]
    starts = losses.step_U == 1
    change = np.where(follows, np.diff(readings.y_U, prepend=0.0), np.where(starts, readings.y_U, np.nan))
    squares = np.nan_to_num(np.square(change))
    total = np.cumsum(squares)
    breaks = ~follows
    before = np.where(breaks, total - squares, 0.0)
    origin = np.maximum.accumulate(np.where(breaks, np.arange(len(pair)), 0))
    whole = starts[origin]
    return np.where(whole, total - before[origin], np.nan)


def sharpness(losses: Losses, readings: Readings, reference: str) -> pd.DataFrame:
    """Width by model, ticker ("all": their average) and cutoff; columns as in Evidence.

    `width` is the mean over steps (%), `width_ratio` that over the reference's, `realised` the volatility a bar that
    followed (%), the root of the mean squared one-bar return.
    """
    cutoffs, tickers = len(losses.cutoffs), len(losses.tickers)
    pair = losses.ticker_U * cutoffs + losses.cutoff_U
    filled = np.flatnonzero(np.bincount(pair, minlength=cutoffs * tickers))
    variance = realised_variance(losses, readings) / losses.step_U
    last = np.r_[np.diff(pair) != 0, True]
    realised = np.full(cutoffs * tickers, np.nan)
    realised[pair[last]] = np.sqrt(variance[last])
    widths = {
        m: group_mean(readings.width_UKB[:, k, BAND], pair, cutoffs * tickers) for k, m in enumerate(losses.models)
    }
    names = np.array(losses.tickers, object)
    parts = []
    for model, width in widths.items():
        base = widths[reference]
        ratio = np.divide(width, base, out=np.full(len(width), np.nan), where=base > 0)
        single = pd.DataFrame(
            {
                "model": model,
                "unique_id": names[filled // cutoffs],
                "cutoff": losses.cutoffs[filled % cutoffs],
                "width": width[filled],
                "width_ratio": ratio[filled],
                "realised": realised[filled],
            }
        )
        mean = single.groupby("cutoff", sort=True)[["width", "width_ratio", "realised"]].mean().reset_index()
        parts.append(pd.concat([mean.assign(model=model, unique_id="all")[single.columns], single], ignore_index=True))
    return pd.concat(parts, ignore_index=True)


def width_follows_volatility(table: pd.DataFrame) -> pd.Series:
    """Rank correlation over time of width and realised volatility by model, averaged over tickers."""
    single = table[(table["unique_id"] != "all") & table["realised"].notna()]
    correlations = {}
    for model, mine in single.groupby("model", sort=False):
        ranks = []
        for _, one in mine.groupby("unique_id", sort=False):
            a, b = rankdata(one["width"]), rankdata(one["realised"])
            if len(one) > 2 and a.std() > 0 and b.std() > 0:
                ranks.append(float(np.corrcoef(a, b)[0, 1]))
        correlations[model] = float(np.mean(ranks)) if ranks else np.nan
    return pd.Series(correlations, dtype=float)
