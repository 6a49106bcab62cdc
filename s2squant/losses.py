"""The losses of a run as arrays: one row a common unit (ticker, cutoff, step), one column a model.

Shape legend: U common units, K models, M tickers, C cutoff dates, B central intervals (50, 80, 95 %). Imports
nothing of the house but the ground, so that scores fill it and significance reads it without knowing each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.records import Dates, Floats, Ints

INTERVALS: tuple[int, ...] = (50, 80, 95)
"""Central intervals whose coverage is measured, in per cent."""

METRICS: tuple[str, ...] = ("crps", *(f"cover{c}" for c in INTERVALS), "abs_error")


@dataclass(frozen=True)
class Losses:
    """What every model lost on the units that all models share, units sorted by ticker, cutoff, step.

    `crps_UK` and `abs_error_UK` (of the median) are in % log return, lower is better. `covered_UKB` says whether y
    lay in the central interval. `coverage_KB` is the share covered over *all* known forecasts of a model, common or
    not: a statement about that model alone. `dropped` units were known but lacked a model; `missing` counts them
    per model.
    """

    models: tuple[str, ...]
    tickers: tuple[str, ...]
    cutoffs: Dates
    ticker_U: Ints
    cutoff_U: Ints
    """Positions in `tickers` and in `cutoffs` (C,), which increases."""
    step_U: Ints
    crps_UK: Floats
    abs_error_UK: Floats
    covered_UKB: NDArray[np.bool_]
    coverage_KB: Floats
    dropped: int
    missing: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.step_U)

    def of(self, model: str) -> Floats:
        """CRPS of one model on every common unit (U,), %."""
        return self.crps_UK[:, self.models.index(model)]

    def table(self) -> pd.DataFrame:
        """The tidy long table: model, unique_id, cutoff, step, metric, value (float32; cover50.. are 0 or 1)."""
        units, models, metrics = len(self), len(self.models), len(METRICS)
        blocks = (self.crps_UK, *np.moveaxis(self.covered_UKB, 2, 0), self.abs_error_UK)
        repeats = models * metrics
        return pd.DataFrame(
            {
                "model": _categorical(np.tile(np.repeat(np.arange(models), units), metrics), self.models),
                "unique_id": _categorical(np.tile(self.ticker_U.astype(np.int32), repeats), self.tickers),
                "cutoff": np.tile(self.cutoffs[self.cutoff_U], repeats),
                "step": np.tile(self.step_U.astype(np.int16), repeats),
                "metric": _categorical(np.repeat(np.arange(metrics), units * models), METRICS),
                "value": np.concatenate([block.T.ravel().astype(np.float32) for block in blocks]),
            }
        )


def group_mean(values_U: NDArray[Any], group_U: Ints, size: int) -> Floats:
    """Mean of `values_U` within each of `size` groups, (size,); NaN where a group is empty."""
    counts = np.bincount(group_U, minlength=size)
    sums = np.bincount(group_U, weights=values_U, minlength=size)
    means: Floats = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
    return means


def relative_skill(loss: Floats, benchmark: Floats) -> Floats:
    """1 - loss / benchmark, elementwise; NaN where the benchmark lost nothing or is unknown."""
    loss, benchmark = np.asarray(loss, float), np.asarray(benchmark, float)
    ratio: Floats = np.divide(loss, benchmark, out=np.full(loss.shape, np.nan), where=benchmark > 0)
    return 1.0 - ratio


def _categorical(codes: Ints, names: tuple[str, ...]) -> pd.Categorical[str]:
    smallest = codes.astype(np.min_scalar_type(-len(names) - 1))
    return pd.Categorical.from_codes(smallest, categories=pd.Index(list(names)))
