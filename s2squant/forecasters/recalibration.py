"""Recalibration: one scale a market and band of steps, learnt from matured outcomes, in force only while it pays.

**Scale.** Every quantile moves away from its median, or towards it, by one factor. It is the one with which the matured
CRPS would have been least: a parabola in the log factor through the three lowest points of the mean over dates, known
at SCALES. A date counts once, however many tickers it has, and of dates whose outcomes share bars only those that share
none are counted: the estimate s (log) has the variance V = var(slope) / (curvature^2 independent dates). It is shrunk
to s max(0, 1 - V / s^2), which is empirical Bayes with the variance of the prior estimated as s^2 - V (Efron and Morris
1973): what lies within its own noise changes nothing.

**Gate.** A gambler bets on each date that the recalibrated row will lose less than the raw one. What he can lose is
known before, at most a multiple of |factor - 1|, and he risks FRACTIONS of it (Waudby-Smith and Ramdas 2024, section
4), mixed. Dates whose outcomes share bars bet in separate chains; the e-value is the mean capital of the chains: where
the recalibration gains nothing, its mean is 1 at most at every fixed date (Arnold, Henzi and Ziegel 2023). The
recalibration is in force at a cutoff while the mean e-value of the bands is above `evidence`, else the row is the raw
one. He bets on what would have been issued, whether or not it was: a closed gate can open again.

At a cutoff all of this reads only outcomes whose date has come (`ds` on that day or before).

Shape legend: N rows, Q levels, G scales, D dates of one market and band, C cutoffs of one market.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.experiment import RecalibrationSpec
from s2squant.config.models import RECALIBRATED
from s2squant.series.arrays import Floats, Ints, table_dates
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS, column_crps
from s2squant.series.long_table import KEYS, step_bands
from s2squant.series.tails import tail_columns

DECISIONS = ["market", "cutoff", "steps", "matured", "independent", "factor", "gain", "e_value", "used"]
"""Columns of what was decided, one row a market, cutoff and band of steps."""
STEP = 0.2
SCALES: Floats = np.exp(STEP * np.arange(-4, 8))
"""Factors at which the matured CRPS is known, G."""
RAW = 4
"""The place of factor 1 among them."""
FRACTIONS: Floats = np.array([0.02, 0.05, 0.1, 0.2])
"""Shares of what can be lost that a bet risks."""
BLOCK = 20_000
"""Rows whose quantiles are held in float64 at once."""
MEDIAN, LOW, HIGH = len(LEVELS) // 2, 3, len(LEVELS) - 4
"""Places of the median and of the ends of the 80 % band."""


def recalibrated(
    forecasts: pd.DataFrame, model: str, spec: RecalibrationSpec, markets: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `model` again, under the name model + RECALIBRATED, and what was decided (DECISIONS).

    Median and mean stay. Rows without an outcome get the factor as it stands and teach nothing; rows come sorted by
    ticker, cutoff and step. `markets` gives each ticker's market.

    Of what was decided: `matured` counts dates, `independent` those of them that share no bar, `factor` multiplies the
    distance to the median (1: none), `gain` is the mean over matured dates in % of the raw row's CRPS, `e_value` the
    band's, `used` whether the market's mean of them is above `spec.evidence`.
    """
    rows = forecasts[forecasts["model"] == model].sort_values(KEYS, ignore_index=True)
    rows["model"] = model + RECALIBRATED
    if rows.empty:
        return rows, pd.DataFrame(columns=DECISIONS)
    cells = _cells(rows, markets)
    size, cell_N = len(cells.due_K), cells.cell_N
    taught = np.flatnonzero(cells.known_N)
    n_K, loss_KG = np.bincount(cell_N[taught], minlength=size), np.zeros((size, len(SCALES)))
    for block, y_N, quantiles_NQ, width_N in _blocks(rows, taught):
        for g, factor in enumerate(SCALES):
            loss_N = column_crps(y_N, (factor * column for column in quantiles_NQ.T)) / width_N
            loss_KG[:, g] += np.bincount(cell_N[block], loss_N, size)
    loss_KG /= np.maximum(n_K, 1)[:, None]
    streams = _streams(cells, n_K > 0)
    factor_K = np.ones(size)
    for stream in streams:
        factor_K[stream.cells_C] = np.exp(log_factor(loss_KG[stream.cells_D], stream.chain_D))[stream.known_C]
    gain_K, risk_K = np.zeros(size), np.zeros(size)
    for block, y_N, quantiles_NQ, width_N in _blocks(rows, taught[factor_K[cell_N[taught]] != 1.0]):
        factor_N = factor_K[cell_N[block]]
        raw_N, mended_N = (column_crps(y_N, (f * q for q in quantiles_NQ.T)) for f in (1.0, factor_N))
        gain_K += np.bincount(cell_N[block], (raw_N - mended_N) / width_N, size)
        risk_K += np.bincount(cell_N[block], risk(quantiles_NQ, factor_N) / width_N, size)
    share_K = np.divide(gain_K, risk_K, out=np.zeros(size), where=risk_K > 0)
    gain_K /= np.maximum(n_K, 1)
    decided = pd.concat([_decided(s, loss_KG[:, RAW], factor_K, gain_K, share_K) for s in streams], ignore_index=True)
    decided["used"] = decided.groupby(["market", "cutoff"])["e_value"].transform("mean") > spec.evidence
    used_K = np.zeros(size, bool)
    used_K[np.concatenate([stream.cells_C for stream in streams])] = decided["used"]
    columns = [*QUANTILE_COLUMNS, *tail_columns(rows)]
    changed = rows[columns].to_numpy(copy=True)
    for block in _split(np.flatnonzero((used_K & (factor_K != 1.0))[cell_N])):
        quantiles = changed[block].astype(np.float64)
        median = quantiles[:, MEDIAN, None]
        changed[block] = median + factor_K[cell_N[block], None] * (quantiles - median)
    rows = pd.concat([rows.drop(columns=columns), pd.DataFrame(changed, columns=columns)], axis=1)
    return rows[list(forecasts.columns)], decided.sort_values(["market", "cutoff"], kind="stable", ignore_index=True)


def log_factor(loss_DG: Floats, chain_D: Ints) -> Floats:
    """The shrunk log factor (D + 1,) after each number of dates, from their mean CRPS at SCALES (D, G).

    `chain_D` is that of `chains`; those of chain 0 share no bar. Without two of them the factor is 1.
    """
    dates = len(loss_DG)
    n_D = np.arange(1, dates + 1)
    mean_DG = np.cumsum(loss_DG, axis=0) / n_D[:, None]
    slope_DG = (loss_DG[:, 2:] - loss_DG[:, :-2]) / (2.0 * STEP)
    square_DG = np.cumsum(slope_DG**2, axis=0) / n_D[:, None]
    lowest = mean_DG.argmin(axis=1)
    best = np.clip(lowest, 1, len(SCALES) - 2)
    inside = best == lowest
    below, least, above = (mean_DG[n_D - 1, best + k] for k in (-1, 0, 1))
    slope, curvature = (above - below) / (2.0 * STEP), (above - 2.0 * least + below) / STEP**2
    shift = np.divide(-slope, curvature, out=np.zeros(dates), where=inside & (curvature > 0))
    estimate = STEP * (lowest - RAW) + shift
    independent = np.cumsum(chain_D == 0)
    spread = np.maximum(square_DG[n_D - 1, best - 1] - slope**2, 0.0) * n_D / np.maximum(n_D - 1, 1)
    pull = np.where(inside, curvature * estimate, slope)  # slope at the raw row, or at the last scale
    noise = np.divide(spread / independent, pull**2, out=np.full(dates, np.inf), where=pull != 0.0)
    return np.concatenate([[0.0], np.where(independent > 1, estimate * np.maximum(1.0 - noise, 0.0), 0.0)])


def chains(issued_D: Ints, due_D: Ints) -> Ints:
    """The chain of each date, the first one that is free: its last outcomes were due when this date was issued."""
    chain_D, free = np.zeros(len(issued_D), np.intp), list[int]()
    for d, (issued, due) in enumerate(zip(issued_D.tolist(), due_D.tolist(), strict=True)):
        chain_D[d] = next((k for k, day in enumerate(free) if day <= issued), len(free))
        free[chain_D[d] :] = [due, *free[chain_D[d] + 1 :]]
    return chain_D


def e_values(share_D: Floats, chain_D: Ints) -> Floats:
    """The mean capital (D + 1,) of the chains after each date, which gains `share_D` of what could be lost."""
    stake_KF = np.ones((int(chain_D.max(initial=0)) + 1, len(FRACTIONS)))
    e_D, seen = np.ones(len(share_D) + 1), 0
    for d, (share, chain) in enumerate(zip(share_D.tolist(), chain_D.tolist(), strict=True)):
        stake_KF[chain] *= 1.0 + FRACTIONS * share
        seen = max(seen, chain + 1)
        e_D[d + 1] = stake_KF[:seen].mean()
    return e_D


def risk(quantiles_NQ: Floats, factor_N: Floats) -> Floats:
    """The most CRPS (N,) that the factor can cost, of quantiles about their median.

    Wider costs most where the outcome is the median, narrower where it lies far off; CRPS is convex in the factor.
    """
    at_median = np.abs(quantiles_NQ) @ np.minimum(LEVELS, 1.0 - LEVELS)
    far_off = np.maximum(quantiles_NQ @ LEVELS, quantiles_NQ @ (LEVELS - 1.0))
    most_N: Floats = np.abs(factor_N - 1.0) * np.where(factor_N > 1.0, at_median, far_off)
    return 2.0 / len(LEVELS) * most_N


@dataclass(frozen=True)
class _Cells:
    """Rows by market, cutoff and band of steps; a cell's number is their mixed-radix one."""

    markets: Sequence[str]
    cutoffs: NDArray[Any]
    bands: Sequence[str]
    cell_N: Ints
    known_N: NDArray[np.bool_]
    """Whether a row's outcome counts."""
    due_K: Ints
    """The day on which all outcomes of a cell are known; -1 for a cell without rows."""


def _cells(rows: pd.DataFrame, markets: Mapping[str, str]) -> _Cells:
    """A step of a cutoff is due on the median of its tickers' days; what comes later (a halt) is left out."""
    market_N, names = pd.factorize(rows["unique_id"].map(markets), sort=True)
    cutoff_N, cutoffs = pd.factorize(rows["cutoff"].to_numpy(), sort=True)
    step_N = rows["step"].to_numpy(np.intp)
    last = int(step_N.max())
    bands = step_bands(last)
    ends = np.array([end for _, end in bands.values()])
    pair_N = market_N * len(cutoffs) + cutoff_N
    cell_N = pair_N * len(bands) + np.searchsorted(ends, step_N)
    day_N = table_dates(rows["ds"]).astype("datetime64[s]").astype(np.intp)
    _, place_N, n = np.unique(pair_N * (last + 1) + step_N, return_inverse=True, return_counts=True)
    middle = np.cumsum(n) - n + (n - 1) // 2
    due_N = day_N[np.lexsort((day_N, place_N))[middle]][place_N]
    due_K = np.full(len(names) * len(cutoffs) * len(bands), -1, np.intp)
    np.maximum.at(due_K, cell_N, due_N)
    wide = rows[QUANTILE_COLUMNS[HIGH]].to_numpy() > rows[QUANTILE_COLUMNS[LOW]].to_numpy()
    known_N = rows["y"].notna().to_numpy() & (day_N <= due_N) & wide
    return _Cells([str(n) for n in names], cutoffs, list(bands), cell_N, known_N, due_K)


@dataclass(frozen=True)
class _Stream:
    """One market and band: its cutoffs C, and its dates D, those of them with an outcome."""

    market: str
    steps: str
    cutoffs_C: NDArray[Any]
    cells_C: Ints
    cells_D: Ints
    chain_D: Ints
    known_C: Ints
    """How many dates have matured by each cutoff; one that is late holds back those after it."""


def _streams(cells: _Cells, filled_K: NDArray[np.bool_]) -> list[_Stream]:
    """Every market and band."""
    streams = []
    day = cells.cutoffs.astype("datetime64[s]").astype(np.intp)
    numbers = np.arange(len(cells.due_K)).reshape(len(cells.markets), len(day), len(cells.bands))
    for market, of_market in zip(cells.markets, numbers, strict=True):
        for steps, of_band in zip(cells.bands, of_market.T, strict=True):
            there, filled = cells.due_K[of_band] >= 0, filled_K[of_band]
            due_D = np.maximum.accumulate(cells.due_K[of_band[filled]])
            streams.append(
                _Stream(
                    market,
                    steps,
                    cells.cutoffs[there],
                    of_band[there],
                    of_band[filled],
                    chains(day[filled], due_D),
                    np.searchsorted(due_D, day[there], side="right"),
                )
            )
    return streams


def _decided(s: _Stream, loss_K: Floats, factor_K: Floats, gain_K: Floats, share_K: Floats) -> pd.DataFrame:
    """The decisions of one market and band, but for `used`."""
    gain_D, loss_D = (np.cumsum(np.concatenate([[0.0], v_K[s.cells_D]]))[s.known_C] for v_K in (gain_K, loss_K))
    return pd.DataFrame(
        {
            "market": s.market,
            "cutoff": s.cutoffs_C,
            "steps": s.steps,
            "matured": s.known_C,
            "independent": np.cumsum(np.concatenate([[0], s.chain_D == 0]))[s.known_C],
            "factor": factor_K[s.cells_C],
            "gain": 100.0 * np.divide(gain_D, loss_D, out=np.full(len(gain_D), np.nan), where=loss_D > 0),
            "e_value": e_values(share_K[s.cells_D], s.chain_D)[s.known_C],
        }
    )


def _blocks(rows: pd.DataFrame, places: Ints) -> Iterator[tuple[Ints, Floats, Floats, Floats]]:
    """Some rows at a time: their places, outcomes and quantiles about the median, and widths of the 80 % band."""
    for block in _split(places):
        part = rows.iloc[block]
        quantiles_NQ = part[list(QUANTILE_COLUMNS)].to_numpy(np.float64)
        median_N, width_N = quantiles_NQ[:, MEDIAN], quantiles_NQ[:, HIGH] - quantiles_NQ[:, LOW]
        yield block, part["y"].to_numpy(np.float64) - median_N, quantiles_NQ - median_N[:, None], width_N


def _split(places: Ints) -> Iterator[Ints]:
    for start in range(0, len(places), BLOCK):
        yield places[start : start + BLOCK]
