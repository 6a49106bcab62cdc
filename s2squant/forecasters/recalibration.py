"""Adaptive conformal recalibration: each ticker and step widens or narrows its own intervals by its own misses.

For every central interval of the grid the conformity score is that of conformalised quantile regression (Romano,
Patterson and Candes 2019), max(low - y, y - high), in units of the forecast's own 80 % width. The interval issued is
moved out by a margin that follows the misses online (Gibbs and Candes 2021; in score space, with steps that shrink,
Angelopoulos, Barber and Bates 2024): up by rate x (1 - alpha) after a miss, down by rate x alpha after a hit.

Margins of neighbouring intervals are averaged before they are used: each alone is noisy.

A miss is heard of h bars after its cutoff, when its date has come, and not before: `learn` is given the number of
outcomes that have matured at each cutoff. Nothing holds exactly under dependence; the realised coverage is printed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.experiment import ConformalSpec
from s2squant.config.models import RECALIBRATED
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS

PAIRS = len(LEVELS) // 2


BLOCK = 16
"""Tickers recalibrated at a time."""


NEIGHBOURS = 4
"""Intervals on each side whose margins are averaged into one."""


_ALPHA = 2.0 * LEVELS[:PAIRS]


_LOW, _HIGH = round(0.1 * (len(LEVELS) + 1)) - 1, round(0.9 * (len(LEVELS) + 1)) - 1


def adapted(forecasts: pd.DataFrame, model: str, spec: ConformalSpec) -> pd.DataFrame:
    """The rows of `model` again, recalibrated, under the name model + RECALIBRATED, sorted by ticker, cutoff and step.

    The median and the mean stay. Rows without an outcome get the margin as it stands and teach nothing.
    """
    rows = forecasts[forecasts["model"] == model].sort_values(["unique_id", "cutoff", "step"], ignore_index=True)
    rows["model"] = model + RECALIBRATED
    if rows.empty:
        return rows
    columns = list(QUANTILE_COLUMNS)
    changed = rows[columns].to_numpy(copy=True)
    ticker = pd.factorize(rows["unique_id"])[0]
    edges = np.searchsorted(ticker, np.arange(0, ticker[-1] + 1 + BLOCK, BLOCK))
    for start, end in pairwise(edges):  # a few tickers at a time: memory
        if start < end:
            changed[start:end] = _recalibrated(rows.iloc[start:end], changed[start:end].astype(np.float64), spec)
    return pd.concat([rows.drop(columns=columns), pd.DataFrame(changed, columns=columns)], axis=1)[
        list(forecasts.columns)
    ]


def _recalibrated(rows: pd.DataFrame, quantiles: Floats, spec: ConformalSpec) -> Floats:
    """Recalibrated quantiles of rows sorted by ticker, cutoff, step."""
    streamed = rows.groupby(["unique_id", "step"], observed=True, sort=False)
    cells = (streamed.ngroup().to_numpy(), streamed.cumcount().to_numpy())
    shape = (int(cells[0].max()) + 1, int(cells[1].max()) + 1)
    outcome, issued, due = (rows[c].to_numpy() for c in ("y", "cutoff", "ds"))
    never = np.iinfo(np.int64).max

    def spread(values: NDArray[Any], missing: float) -> NDArray[Any]:
        filled = np.full((*shape, *values.shape[1:]), missing, values.dtype)
        filled[cells] = values
        return filled

    days_due = np.where(np.isnan(outcome), never, due.astype("datetime64[D]").astype(np.int64))
    known = matured(spread(issued.astype("datetime64[D]").astype(np.int64), -never), spread(days_due, never))
    return learn(spread(outcome, np.nan), spread(quantiles, 0.0), known, spec)[cells]


def matured(issued_SC: Ints, due_SC: Ints) -> Ints:
    """Count of a stream's first outcomes that are known at each of its cutoffs: due on that day or before.

    An outcome that is late, or never comes, holds back those after it.
    """
    latest = np.maximum.accumulate(due_SC, axis=1)
    return np.stack([np.searchsorted(due, issued, side="right") for due, issued in zip(latest, issued_SC, strict=True)])


def learn(y_SC: Floats, quantiles_SCQ: Floats, matured_SC: Ints, spec: ConformalSpec) -> Floats:
    """Recalibrated quantiles (S, C, Q) of S streams over C cutoffs, each from the outcomes matured by then."""
    streams, cutoffs, _ = quantiles_SCQ.shape
    low_SCP, high_SCP = quantiles_SCQ[..., :PAIRS], quantiles_SCQ[..., : -PAIRS - 1 : -1]
    scale_SC = quantiles_SCQ[..., _HIGH] - quantiles_SCQ[..., _LOW]
    floor = np.finfo(np.float64).tiny
    score_SCP = (
        np.maximum(low_SCP - y_SC[..., None], y_SC[..., None] - high_SCP) / np.maximum(scale_SC, floor)[..., None]
    )
    margin_SP = np.zeros((streams, PAIRS))
    issued_SCP = np.zeros((streams, cutoffs, PAIRS))
    average = _averaging()
    heard_S = np.zeros(streams, np.intp)
    for c in range(cutoffs):
        while (behind := np.flatnonzero(heard_S < matured_SC[:, c])).size:
            past = heard_S[behind]
            missed = score_SCP[behind, past] > issued_SCP[behind, past]
            rate = spec.rate / (1.0 + past / spec.settling) ** 0.5
            margin_SP[behind] += rate[:, None] * (missed - _ALPHA)
            heard_S[behind] += 1
        issued_SCP[:, c] = margin_SP @ average
    shift_SCP = issued_SCP * scale_SC[..., None]
    median_SC = quantiles_SCQ[..., PAIRS]
    low = np.minimum(low_SCP - shift_SCP, median_SC[..., None])
    high = np.maximum(high_SCP + shift_SCP, median_SC[..., None])
    return np.sort(np.concatenate([low, median_SC[..., None], high[..., ::-1]], axis=-1), axis=-1)


def _averaging() -> Floats:
    """Columns of weights: the mean over NEIGHBOURS intervals on each side, the outermost repeated."""
    weights = np.zeros((PAIRS, PAIRS))
    for k in range(PAIRS):
        near = np.clip(np.arange(k - NEIGHBOURS, k + NEIGHBOURS + 1), 0, PAIRS - 1)
        np.add.at(weights[:, k], near, 1.0 / len(near))
    return weights
