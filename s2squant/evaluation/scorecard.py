"""Scores of every model by group of steps on common units, and shrunken skill by ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from s2squant.evaluation.diagnostics import Readings
from s2squant.evaluation.losses import INTERVALS, Losses, group_mean, relative_skill
from s2squant.evaluation.pools import Pool, step_groups
from s2squant.evaluation.sharpness import realised_variance, width_follows_volatility
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.false_discovery import benjamini_hochberg, benjamini_yekutieli
from s2squant.evaluation.statistics.pesaran_timmermann import direction
from s2squant.evaluation.statistics.shrinkage import shrink
from s2squant.series.arrays import Floats, Ints
from s2squant.series.history import PriceHistory


def scorecard(
    losses: Losses,
    readings: Readings,
    *,
    reference: str,
    histories: Mapping[str, PriceHistory],
    widths: pd.DataFrame,
) -> pd.DataFrame:
    """One row a model and group of steps; columns as in Evidence. `widths` is the table of sharpness.sharpness.

    Shares of a benchmark (skill, r2, mae_ratio, width_ratio) are taken ticker by ticker, then averaged. A score that
    cannot be had is NaN: r2 needs outcomes that move, qlike every step from the first on.
    """
    base = losses.models.index(reference)
    variance = realised_variance(losses, readings)
    unit = _squared_bar(losses, histories) * losses.step_U
    follows = width_follows_volatility(widths)
    rows = []
    for name, units in step_groups(losses.step_U).items():
        ticker = losses.ticker_U[units]
        y = readings.y_U[units]
        size = len(losses.tickers)

        def by_ticker(values: Floats, ticker: Ints = ticker, size: int = size) -> Floats:
            return group_mean(values, ticker, size)

        zero = by_ticker(np.square(y))
        base_error = by_ticker(np.square(y - readings.mean_UK[units, base]))
        base_crps = by_ticker(losses.crps_UK[units, base])
        base_mae = by_ticker(losses.abs_error_UK[units, base])
        base_width = by_ticker(readings.width_UKB[units, base, INTERVALS.index(80)])
        known = np.isfinite(variance[units])
        for k, model in enumerate(losses.models):
            squared = np.square(y - readings.mean_UK[units, k])
            spread = np.maximum(readings.variance_UK[units, k], 1e-12).astype(np.float64)
            calls = direction(y, readings.median_UK[units, k])
            width = readings.width_UKB[units, k, INTERVALS.index(80)]
            rows.append(
                {
                    "model": model,
                    "group": name,
                    "crps": float(losses.crps_UK[units, k].mean()),
                    "skill": _mean(relative_skill(by_ticker(losses.crps_UK[units, k]), base_crps)),
                    "log_score": float(readings.log_score_UK[units, k].mean(dtype=np.float64)),
                    **{
                        f"interval_{p}": float(readings.interval_UKB[units, k, b].mean(dtype=np.float64))
                        for b, p in enumerate(INTERVALS)
                    },
                    "mae": float(losses.abs_error_UK[units, k].mean()),
                    "mae_ratio": 1.0 - _mean(relative_skill(by_ticker(losses.abs_error_UK[units, k]), base_mae)),
                    "r2": _mean(relative_skill(by_ticker(squared), zero)),
                    "r2_reference": _mean(relative_skill(by_ticker(squared), base_error)),
                    "rmsse": _mean(np.sqrt(by_ticker(squared / unit[units]))),
                    "qlike": _mean_of((np.log(spread) + variance[units] / spread)[known]),
                    "direction": calls.accuracy,
                    "direction_expected": calls.expected,
                    "base_rate": calls.up,
                    "calls": calls.calls,
                    "width_80": float(width.mean(dtype=np.float64)),
                    "width_ratio": 1.0 - _mean(relative_skill(by_ticker(width), base_width)),
                    "width_follows_volatility": float(follows.get(model, np.nan)),
                    "n": len(units),
                }
            )
    return pd.DataFrame(rows)


def shrunken(verdicts: pd.DataFrame, pools: Sequence[Pool], reference: str) -> pd.DataFrame:
    """Skill against the reference by ticker, raw and shrunken, with BH and BY q-values; columns as in Evidence."""
    overlap = {p.name: p.overlap for p in pools if p.family == "ticker"}
    mine = verdicts[(verdicts["benchmark"] == reference) & (verdicts["step"] == "all")]
    parts = []
    for model, rows in mine.groupby("challenger", sort=False):
        tickers = rows[rows["pool"].isin(list(overlap))]
        pooled = rows[rows["pool"] == "all"].iloc[0]
        names = tickers["pool"].tolist()
        n = tickers["n"].to_numpy()
        nu = np.array([dm.degrees(max(int(k), 1), overlap[t]) for k, t in zip(n, names, strict=True)], float)
        half = (tickers["high"] - tickers["low"]).to_numpy(float) / 2.0
        se = half / dm.interval_factor(nu)
        pool_nu = dm.degrees(max(int(pooled["n"]), 1), next(p.overlap for p in pools if p.family == "all"))
        pool_se = float(pooled["high"] - pooled["low"]) / 2.0 / float(dm.interval_factor(np.array(float(pool_nu))))
        effect = tickers["effect"].to_numpy(float)
        posterior = shrink(effect, se, float(pooled["effect"]), pool_se)
        reach = dm.interval_factor(nu) * posterior.deviation
        p = tickers["p"].to_numpy(float)
        parts.append(
            pd.DataFrame(
                {
                    "model": model,
                    "unique_id": names,
                    "skill": effect,
                    "se": se,
                    "shrunken": posterior.mean,
                    "low": posterior.mean - reach,
                    "high": posterior.mean + reach,
                    "weight": posterior.weight,
                    "prior_spread": posterior.prior,
                    "p": p,
                    "q_bh": benjamini_hochberg(p),
                    "q_by": benjamini_yekutieli(p),
                    "n": n,
                    "n_eff": tickers["n_eff"].to_numpy(float),
                    "smallest_detectable": tickers["smallest_detectable"].to_numpy(float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=SHRUNKEN_COLUMNS)


SHRUNKEN_COLUMNS = [
    "model", "unique_id", "skill", "se", "shrunken", "low", "high", "weight", "prior_spread", "p", "q_bh", "q_by",
    "n", "n_eff", "smallest_detectable",
]  # fmt: skip


def _squared_bar(losses: Losses, histories: Mapping[str, PriceHistory]) -> Floats:
    """Mean squared one-bar return (%^2) of each unit's ticker up to its first cutoff, (U,); NaN where unknown."""
    squared_M = np.full(len(losses.tickers), np.nan)
    first = np.full(len(losses.tickers), len(losses.cutoffs) - 1)
    np.minimum.at(first, losses.ticker_U, losses.cutoff_U)
    for m, ticker in enumerate(losses.tickers):
        if ticker in histories:
            history = histories[ticker]
            past = history.log_returns[history.dates[1:] <= losses.cutoffs[first[m]].astype(history.dates.dtype)]
            if len(past):
                squared_M[m] = 1e4 * float(np.square(past).mean())
    return np.where(squared_M > 0, squared_M, np.nan)[losses.ticker_U]


def _mean(values: Floats) -> float:
    """Mean of the known values."""
    return _mean_of(values[np.isfinite(values)])


def _mean_of(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
