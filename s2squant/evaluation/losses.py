"""The losses of a run as arrays: one row a common unit (ticker, cutoff, step), one column a model.

Shape legend: U common units, K models, M tickers, C cutoff dates, B central intervals (50, 80, 95 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.errors import CallerError
from s2squant.series.arrays import Dates, Floats, Ints
from s2squant.series.forecast import QUANTILE_COLUMNS, column_crps

MEDIAN = QUANTILE_COLUMNS[len(QUANTILE_COLUMNS) // 2]


def score(forecasts: pd.DataFrame) -> Losses:
    """Score a forecast table (columns as in Study) on its common units.

    Rows whose `y` is NaN wait for their date and are left out. Raises ValueError when a (model, unique_id, cutoff,
    step) stands twice, when models disagree about a unit's y, or when a forecast is not finite; CallerError when
    nothing is left.
    """
    known = forecasts["y"].notna().to_numpy()
    model_N, models = _codes(forecasts["model"])
    ticker_N, tickers = _codes(forecasts["unique_id"])
    cutoff_N, cutoffs = pd.factorize(forecasts["cutoff"].to_numpy(), sort=True)
    step_N = forecasts["step"].to_numpy(np.int64)
    steps = int(step_N.max(initial=0)) + 1
    unit_N = (ticker_N * len(cutoffs) + cutoff_N) * steps + step_N
    _refuse_repeats(forecasts, model_N, unit_N)

    units, row_unit = np.unique(unit_N[known], return_inverse=True)
    row_model = model_N[known]
    have = np.bincount(row_unit, minlength=len(units)) == len(models)
    counts = np.bincount(row_model, minlength=len(models))
    missing = {m: len(units) - int(c) for m, c in zip(models, counts, strict=True)}
    if not have.any():
        worst = max(missing, key=missing.__getitem__) if len(units) else ""
        why = f"{worst} lacks {missing[worst]} of {len(units)} known outcomes" if worst else "no outcome is known yet"
        raise CallerError(f"nothing to score: {why}; end the walk earlier or leave the model out")

    y = forecasts["y"].to_numpy(np.float64)[known]
    _refuse_disagreement(y, row_unit, len(units))
    crps = 100.0 * column_crps(y, (forecasts[c].to_numpy()[known] for c in QUANTILE_COLUMNS))
    median = forecasts[MEDIAN].to_numpy(np.float64)[known]
    centred = 100.0 * column_crps(y, (forecasts[c].to_numpy()[known] - median for c in QUANTILE_COLUMNS))
    if not np.isfinite(crps).all():
        raise ValueError(f"{models[row_model[~np.isfinite(crps)][0]]}: a forecast with a known outcome is not finite")
    covered = [_covered(forecasts, known, y, c) for c in INTERVALS]
    coverage = [np.bincount(row_model, weights=c, minlength=len(models)) / np.maximum(counts, 1) for c in covered]

    place = (np.cumsum(have) - 1)[row_unit]
    keep = have[row_unit]
    cells = (place[keep], row_model[keep])
    common = units[have]
    pair, step_U = np.divmod(common, steps)
    ticker_U, cutoff_U = np.divmod(pair, len(cutoffs))
    return Losses(
        models=models,
        tickers=tickers,
        cutoffs=cutoffs,
        ticker_U=ticker_U,
        cutoff_U=cutoff_U,
        step_U=step_U,
        crps_UK=_scatter(crps[keep], cells, (len(common), len(models))),
        centred_UK=_scatter(centred[keep], cells, (len(common), len(models))),
        abs_error_UK=_scatter(100.0 * np.abs(y - median)[keep], cells, (len(common), len(models))),
        covered_UKB=np.stack([_scatter(c[keep], cells, (len(common), len(models))) for c in covered], axis=2),
        coverage_KB=np.stack(coverage, axis=1),
        dropped=int(len(units) - have.sum()),
        missing=missing,
    )


def _covered(forecasts: pd.DataFrame, known: NDArray[np.bool_], y: Floats, percent: int) -> NDArray[np.bool_]:
    low, high = (f"q{0.5 + side * percent / 200:.3f}" for side in (-1, 1))
    inside = (y >= forecasts[low].to_numpy()[known]) & (y <= forecasts[high].to_numpy()[known])
    return np.asarray(inside, bool)


def _scatter(values: NDArray[Any], cells: tuple[Ints, Ints], shape: tuple[int, int]) -> NDArray[Any]:
    filled = np.empty(shape, values.dtype)
    filled[cells] = values
    return filled


def _codes(column: pd.Series) -> tuple[Ints, tuple[str, ...]]:
    codes, names = pd.factorize(column)
    if (codes < 0).any():
        raise ValueError(f"a {column.name} is missing in the forecast table")
    return codes.astype(np.int64), tuple(str(name) for name in names)


def _refuse_repeats(forecasts: pd.DataFrame, model_N: Ints, unit_N: Ints) -> None:
    for model in range(int(model_N.max(initial=-1)) + 1):
        rows = np.flatnonzero(model_N == model)
        order = np.argsort(unit_N[rows], kind="stable")
        twice = np.flatnonzero(np.diff(unit_N[rows][order]) == 0)
        if len(twice):
            first = forecasts.iloc[rows[order[twice[0]]]]
            key = ", ".join(str(first[name]) for name in ("model", "unique_id", "cutoff", "step"))
            raise ValueError(f"a forecast stands twice: {key}")


def _refuse_disagreement(y: Floats, row_unit: Ints, units: int) -> None:
    y_unit = np.empty(units)
    y_unit[row_unit] = y
    apart = np.abs(y - y_unit[row_unit]).max(initial=0.0)
    if apart > 1e-9:
        raise ValueError(f"models disagree about the outcome y of the same unit by {apart:.3g}")


INTERVALS: tuple[int, ...] = (50, 80, 95)
"""Central intervals whose coverage is measured, in per cent."""


METRICS: tuple[str, ...] = ("crps", *(f"cover{c}" for c in INTERVALS), "abs_error")


@dataclass(frozen=True)
class Losses:
    """Losses of every model on the units common to all, sorted by ticker, cutoff, step.

    `crps_UK`, `centred_UK` (the CRPS of the same forecasts with their medians at zero) and `abs_error_UK` (of the
    median) are in % log return, lower is better. `covered_UKB` says whether y lay in the central interval.
    `coverage_KB` is the share covered over *all* known forecasts of a model, common or not: a statement about that
    model alone. `dropped` units were known but lacked a model; `missing` counts them per model.
    """

    models: tuple[str, ...]
    tickers: tuple[str, ...]
    cutoffs: Dates
    ticker_U: Ints
    cutoff_U: Ints
    """Positions in `tickers` and in `cutoffs` (C,), which increases."""
    step_U: Ints
    crps_UK: Floats
    centred_UK: Floats
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

    def centred(self, model: str) -> Floats:
        """CRPS of one model with its medians at zero on every common unit (U,), %."""
        return self.centred_UK[:, self.models.index(model)]

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
