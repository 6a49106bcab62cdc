"""Station 4: forecasts with their outcomes -> losses on common units.

Every comparison uses only units (ticker, cutoff, step) that every model forecast and whose outcome is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.errors import CallerError
from s2squant.losses import INTERVALS, Losses
from s2squant.records import LEVELS, QUANTILE_COLUMNS, Floats, Ints

MEDIAN = QUANTILE_COLUMNS[len(QUANTILE_COLUMNS) // 2]


def quantile_crps(y: Floats, quantiles: Floats) -> Floats:
    """CRPS of quantile forecasts in the units of `y`: twice the mean pinball loss over LEVELS.

    `y` (...) and `quantiles` (..., Q) on records.LEVELS give (...). A finite grid is not the exact CRPS (39 levels:
    2.4 % above it for a standard normal), so only values on the same grid compare. Laio and Tamea 2007.
    """
    if quantiles.shape != (*np.shape(y), len(LEVELS)):
        raise ValueError(f"quantiles {quantiles.shape} for outcomes {np.shape(y)} and {len(LEVELS)} levels")
    return _crps(np.asarray(y, np.float64), (quantiles[..., k] for k in range(len(LEVELS))))


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
    crps = 100.0 * _crps(y, (forecasts[c].to_numpy()[known] for c in QUANTILE_COLUMNS))
    if not np.isfinite(crps).all():
        raise ValueError(f"{models[row_model[~np.isfinite(crps)][0]]}: a forecast with a known outcome is not finite")
    covered = [_covered(forecasts, known, y, c) for c in INTERVALS]
    coverage = [np.bincount(row_model, weights=c, minlength=len(models)) / np.maximum(counts, 1) for c in covered]

    place = (np.cumsum(have) - 1)[row_unit]
    keep = have[row_unit]
    at = (place[keep], row_model[keep])
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
        crps_UK=_scatter(crps[keep], at, (len(common), len(models))),
        abs_error_UK=_scatter(
            100.0 * np.abs(y - forecasts[MEDIAN].to_numpy()[known])[keep], at, (len(common), len(models))
        ),
        covered_UKB=np.stack([_scatter(c[keep], at, (len(common), len(models))) for c in covered], axis=2),
        coverage_KB=np.stack(coverage, axis=1),
        dropped=int(len(units) - have.sum()),
        missing=missing,
    )


def _crps(y: Floats, columns: Iterable[NDArray[Any]]) -> Floats:
    """Twice the mean pinball loss, one quantile column at a time: no second copy of the quantiles in float64."""
    total = np.zeros(np.shape(y))
    for level, q in zip(LEVELS, columns, strict=True):
        miss = y - q
        total += np.maximum(level * miss, (level - 1.0) * miss)
    return 2.0 * total / len(LEVELS)


def _covered(forecasts: pd.DataFrame, known: NDArray[np.bool_], y: Floats, percent: int) -> NDArray[np.bool_]:
    low, high = (f"q{0.5 + side * percent / 200:.3f}" for side in (-1, 1))
    inside = (y >= forecasts[low].to_numpy()[known]) & (y <= forecasts[high].to_numpy()[known])
    return np.asarray(inside, bool)


def _scatter(values: NDArray[Any], at: tuple[Ints, Ints], shape: tuple[int, int]) -> NDArray[Any]:
    filled = np.empty(shape, values.dtype)
    filled[at] = values
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
