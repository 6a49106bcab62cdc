"""Calibration of the live record, with the bands of an ideal forecaster on as many overlapping sessions.

Shares are averages over dates of the average over tickers and steps on a date, as in a backtest's report.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.evaluation.calibration import BAND
from s2squant.evaluation.losses import INTERVALS, group_mean
from s2squant.evaluation.statistics.ideal_forecaster import BINS, CalibratedNull, calibrated_null
from s2squant.nightly.track_record.losses import Outcomes, groups
from s2squant.series.arrays import Floats, Ints

FEW = 10
"""Sessions scored below which nothing is said."""
PIT_BINS = 10
GRID = 4
"""Window lengths for which a band is simulated; those between are interpolated."""


def coverage(s: Outcomes, model: str, alike: float) -> pd.DataFrame:
    rows = []
    for name, units in groups(s, int(s.step_U.max(initial=0))).items():
        steps = np.unique(s.step_U[units])
        null, weight, n = _null(s, units, s.cutoff_U, alike)
        for percent in INTERVALS:
            low, high = _shares(null, percent)
            share = float(weight @ s.inside(percent)[units])
            row = {"model": model, "group": name, "interval": percent, "coverage": share, "band_low": low}
            rows.append(row | {"band_high": high, "n": n, "n_eff": max(n * min(1.0, 1.0 / float(steps[-1])), 1.0)})
    return pd.DataFrame(rows)


def _null(s: Outcomes, units: Ints, date_U: Ints, alike: float) -> tuple[CalibratedNull, Floats, int]:
    """The ideal forecaster on as many dates; each unit's weight in the average over dates; the number of dates."""
    dates, date_of = np.unique(date_U[units], return_inverse=True)
    steps = tuple(np.unique(s.step_U[units]).tolist())
    pairs = len(np.unique(s.ticker_U[units] * (date_U.max() + 1) + date_U[units])) / len(dates)
    null = calibrated_null(len(dates), 1, steps, pairs, alike)
    return null, 1.0 / (len(dates) * np.bincount(date_of))[date_of], len(dates)


def _shares(null: CalibratedNull, percent: int) -> tuple[float, float]:
    edge = round(BINS * (100 - percent) / 200)
    low, high = np.quantile(null.coverage(edge, BINS - edge), BAND)
    return float(low), float(high)


def rolling_coverage(s: Outcomes, window: int, alike: float) -> pd.DataFrame:
    """Coverage over the last `window` sessions (fewer at first, at least FEW), as it stood at each of them."""
    many = len(s.sessions)
    if many < FEW:
        return pd.DataFrame()
    ends = np.arange(FEW, many + 1)
    counts = np.minimum(ends, window)
    grid = np.unique(np.round(np.geomspace(FEW, counts[-1], GRID)).astype(int))
    steps = tuple(np.unique(s.step_U).tolist())
    tickers = len(np.unique(s.ticker_U * many + s.session_U)) / many
    nulls = [calibrated_null(int(g), 1, steps, tickers, alike) for g in grid]
    parts = []
    for percent in INTERVALS:
        daily = group_mean(s.inside(percent), s.session_U, many)
        total = np.r_[0.0, np.cumsum(daily)]
        edges = np.array([_shares(null, percent) for null in nulls])
        across = -1.0 / np.sqrt(grid)
        low, high = (np.interp(-1.0 / np.sqrt(counts), across, edges[:, k]) for k in (0, 1))
        columns = {"session": s.sessions[ends - 1].astype("datetime64[s]"), "interval": percent}
        columns |= {"coverage": (total[ends] - total[ends - counts]) / counts, "sessions": counts}
        parts.append(pd.DataFrame(columns | {"band_low": low, "band_high": high}))
    return pd.concat(parts, ignore_index=True)


def recent_pit(s: Outcomes, window: int, alike: float) -> pd.DataFrame:
    units = np.flatnonzero(s.session_U >= len(s.sessions) - window)
    if len(s.sessions) < FEW:
        return pd.DataFrame()
    null, weight, _ = _null(s, units, s.session_U, alike)
    place = np.minimum((s.pit_U[units] * PIT_BINS).astype(np.intp), PIT_BINS - 1)
    shares = np.bincount(place, weights=weight, minlength=PIT_BINS)
    each = BINS // PIT_BINS
    bands = np.array([np.quantile(null.coverage(k * each, (k + 1) * each), BAND) for k in range(PIT_BINS)])
    low = np.arange(PIT_BINS) / PIT_BINS
    return pd.DataFrame(
        {"low": low, "high": low + 1 / PIT_BINS, "share": shares, "band_low": bands[:, 0], "band_high": bands[:, 1]}
    )
