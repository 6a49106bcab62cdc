"""Probability of backtest overfitting by combinatorially symmetric cross-validation.

How often the best of several candidates in one half of the time is below the median in the other: Bailey, Borwein,
Lopez de Prado and Zhu 2017. The estimate is itself noisy: 20 candidates without any skill over 1,000 periods give
0.51 on average and 0.19 to 0.84 in nine of ten cases.

Shape legend: T periods, N candidates, S blocks of consecutive periods, C = C(S, S/2) ways to split them in halves.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from s2squant.series.arrays import Floats, Ints

MIN_CANDIDATES = 8
"""Fewer are not worth a statement."""
BLOCKS = 10
BLOCK_PERIODS = 4
"""Least periods in a block."""
COLUMNS: tuple[str, ...] = (
    "basis", "candidates", "periods", "blocks", "splits", "pbo", "selected", "selected_share", "median_rank", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Overfitting:
    """Probability of backtest overfitting, with the selections of every split."""

    pbo: float
    """Share of splits in which the best half-sample candidate is at or below the median of the other half."""
    splits: int
    chosen_C: Ints
    """The best candidate in the first half of each split."""
    rank_C: Floats
    """Its relative rank in the other half, 0 (worst) .. 1 (best)."""


def overfitting(values_TN: Floats, *, blocks: int = BLOCKS, by_ratio: bool = True) -> Overfitting:
    """PBO of N candidates over T periods, higher values being better.

    Candidates are ranked by Sharpe ratio (mean over standard deviation), or by mean where `by_ratio` is False, as
    suits differences of losses. `blocks` is even; the blocks may differ by one period. Ties share their mean rank.
    Raises ValueError for fewer than two candidates or blocks that cannot be halved.
    """
    periods, candidates = values_TN.shape
    if candidates < 2 or blocks % 2 or not 2 <= blocks <= periods:
        raise ValueError(f"{candidates} candidates over {periods} periods cannot be split into {blocks} blocks")
    block_T = np.arange(periods) * blocks // periods
    edges = np.searchsorted(block_T, np.arange(blocks))
    powers_3TN = np.stack([np.ones_like(values_TN), values_TN, np.square(values_TN)])
    sums_3SN = np.add.reduceat(powers_3TN, edges, axis=1)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    first_CS = np.zeros((len(halves), blocks))
    np.put_along_axis(first_CS, halves, 1.0, axis=1)
    inside, outside = (_merit(which @ sums_3SN, by_ratio) for which in (first_CS, 1.0 - first_CS))
    chosen = inside.argmax(axis=1)
    rank = rankdata(outside, axis=1)[np.arange(len(chosen)), chosen] / (candidates + 1)
    return Overfitting(
        pbo=float(np.mean(rank <= 0.5)),  # logit(rank) <= 0
        splits=len(chosen),
        chosen_C=chosen,
        rank_C=rank,
    )


def overfitting_row(basis: str, values: pd.DataFrame, *, by_ratio: bool) -> dict[str, object]:
    """One row of the table `overfitting` of Study for the columns of `values`, one a candidate, one row a period.

    Candidates that never moved, and second copies of one, do not count. `reason` says why there is no figure.
    """
    known = values.dropna()
    moving = known.loc[:, known.std(ddof=0) > 0] if len(known) else known.iloc[:, :0]
    distinct = moving.loc[:, ~moving.T.duplicated().to_numpy()]
    periods, candidates = distinct.shape
    blocks = min(BLOCKS, periods // BLOCK_PERIODS // 2 * 2)
    row: dict[str, object] = {"basis": basis, "candidates": candidates, "periods": len(known)}
    empty = {"blocks": 0, "splits": 0, "pbo": np.nan, "selected": "", "selected_share": np.nan, "median_rank": np.nan}
    if candidates < MIN_CANDIDATES:
        return row | empty | {"reason": f"{candidates} candidate(s) differ; {MIN_CANDIDATES} or more are compared"}
    if blocks < 4:
        return row | empty | {"reason": f"{periods} common periods; {4 * BLOCK_PERIODS} or more are needed"}
    result = overfitting(distinct.to_numpy(np.float64), blocks=blocks, by_ratio=by_ratio)
    counts = np.bincount(result.chosen_C, minlength=candidates)
    return row | {
        "blocks": blocks,
        "splits": result.splits,
        "pbo": result.pbo,
        "selected": str(distinct.columns[int(counts.argmax())]),
        "selected_share": float(counts.max() / result.splits),
        "median_rank": float(np.median(result.rank_C)),
        "reason": "",
    }


def _merit(sums_3CN: Floats, by_ratio: bool) -> Floats:
    """Sharpe ratio (or mean) of each candidate over the periods of a half; a flat candidate has a ratio of zero."""
    count, total, squares = sums_3CN
    mean = total / count
    if not by_ratio:
        return np.asarray(mean)
    variance = np.maximum(squares / count - mean**2, 0.0)
    ratio: Floats = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-24)
    return ratio
