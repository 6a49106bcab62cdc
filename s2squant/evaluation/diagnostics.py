"""PIT, log score, interval scores and variance of every forecast, in one pass over the quantiles.

A forecast table holds quantiles at records.LEVELS and no density. Between two levels the distribution function is
taken as linear; beyond the outermost ones the tail is exponential, through the two outermost quantiles on its side,
so that a tail's scale is their gap over log 2. The same reading for every model: values compare, as for the CRPS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from s2squant.evaluation.losses import INTERVALS, Losses
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS

GAP = 1.0 / (len(LEVELS) + 1)
"""Probability between neighbouring levels, and beyond the outermost ones."""
NARROWEST = 1e-4
"""Least distance of neighbouring quantiles in a density, as a share of the whole band: a repeated quantile has none."""


class Reading(NamedTuple):
    """PIT, log score, mean and variance of quantile forecasts, each shaped like the outcomes; in the units of y."""

    pit: Floats
    """F(y), in (0, 1)."""
    log_score: Floats
    """-log f(y), nats; lower is better."""
    mean: Floats
    """Of the piecewise distribution, as is `variance`."""
    variance: Floats


@dataclass(frozen=True)
class Readings:
    """Diagnostics of every model on the common units of a Losses, in its order: U units, K models, B intervals.

    Returns are in % log return, variances in its square; float32 where a matrix is as large as the run.
    """

    y_U: Floats
    mean_UK: Floats
    """The forecast's own mean."""
    median_UK: Floats
    pit_UK: Floats
    log_score_UK: Floats
    variance_UK: Floats
    width_UKB: Floats
    """Width of the central intervals losses.INTERVALS."""
    interval_UKB: Floats
    """Their interval scores."""


def read_off(y: Floats, quantiles: Iterator[Floats] | list[Floats]) -> Reading:
    """PIT, log score and moments of outcomes (N,) in quantile forecasts given level by level, each (N,), increasing."""
    columns = iter(quantiles)
    first, second = next(columns), next(columns)
    below = y < first
    pit = np.where(below, 0.0, GAP)
    gap = np.where(below, 1.0, second - first)
    low_scale = (second - first) / np.log(2.0)
    first_moment = GAP * ((first - low_scale) + 0.5 * (first + second))
    second_moment = GAP * (
        np.square(first - low_scale) + np.square(low_scale) + (first * first + first * second + second * second) / 3.0
    )
    inside = ~below & (y < second)
    pit = np.where(inside, pit + GAP * _share(y - first, second - first), pit)
    above = y >= second
    before, previous = first, second
    for k, column in enumerate(columns, start=2):
        step = column - previous
        inside = above & (y < column)
        pit = np.where(inside, GAP * (k + _share(y - previous, step)), pit)
        gap = np.where(inside, step, gap)
        above &= y >= column
        first_moment += GAP * 0.5 * (previous + column)
        second_moment += GAP * (previous * previous + previous * column + column * column) / 3.0
        before, previous = previous, column
    high_scale = (previous - before) / np.log(2.0)
    first_moment += GAP * (previous + high_scale)
    second_moment += GAP * (np.square(previous + high_scale) + np.square(high_scale))

    floor = np.maximum(NARROWEST * (previous - first), np.finfo(np.float32).tiny)
    density = GAP / np.maximum(gap, floor)
    for outside, distance, scale in (
        (below, first - y, np.maximum(low_scale, floor)),
        (above, y - previous, np.maximum(high_scale, floor)),
    ):
        tail = GAP * np.exp(-distance[outside] / scale[outside])
        pit[outside] = tail
        density[outside] = tail / scale[outside]
    pit[above] = 1.0 - pit[above]
    log_score = -np.log(np.maximum(density, np.finfo(np.float64).tiny))
    variance = np.maximum(second_moment - np.square(first_moment), 0.0)
    return Reading(pit, log_score, first_moment, variance)


def read(forecasts: pd.DataFrame, losses: Losses) -> Readings:
    """Diagnostics of a forecast table (columns as in Study) on the units of `losses`, scored from the same table."""
    units, models = len(losses), len(losses.models)
    row, unit, model = _rows_on_units(forecasts, losses)
    y = forecasts["y"].to_numpy(np.float64)[row]
    shape = (units, models)

    def spread(values: Floats) -> Floats:
        filled = np.empty(shape, np.float32)
        filled[unit, model] = values
        return filled

    def column(name: str) -> Floats:
        return forecasts[name].to_numpy()[row].astype(np.float64)

    reading = read_off(y, (column(name) for name in QUANTILE_COLUMNS))
    widths, scores = [], []
    for percent in INTERVALS:
        alpha = 1.0 - percent / 100.0
        low, high = column(f"q{alpha / 2:.3f}"), column(f"q{1 - alpha / 2:.3f}")
        widths.append(spread(100.0 * (high - low)))
        scores.append(spread(100.0 * interval_score(y, low, high, alpha)))
    y_U = np.empty(units)
    y_U[unit] = 100.0 * y
    return Readings(
        y_U=y_U,
        mean_UK=spread(100.0 * column("mean")),
        median_UK=spread(100.0 * column("q0.500")),
        pit_UK=spread(reading.pit),
        log_score_UK=spread(reading.log_score + np.log(100.0)),
        variance_UK=spread(1e4 * reading.variance),
        width_UKB=np.stack(widths, axis=2),
        interval_UKB=np.stack(scores, axis=2),
    )


def interval_score(y: Floats, low: Floats, high: Floats, alpha: float) -> Floats:
    """Width of the central 1 - alpha interval plus 2 / alpha times the miss, in the units of y.

    Gneiting and Raftery 2007, equation 43.
    """
    miss = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return np.asarray((high - low) + 2.0 / alpha * miss)


def _share(distance: Floats, step: Floats) -> Floats:
    """`distance` as a share of `step`; one half where the step has no width."""
    return np.asarray(np.divide(distance, step, out=np.full(np.shape(distance), 0.5), where=step > 0))


def _places(column: pd.Series, names: tuple[str, ...]) -> Ints:
    """The position in `names` of each value, -1 where it is none of them."""
    codes, values = pd.factorize(column)
    position = {name: k for k, name in enumerate(names)}
    return np.array([position.get(str(value), -1) for value in values], np.intp)[codes]


def _rows_on_units(forecasts: pd.DataFrame, losses: Losses) -> tuple[Ints, Ints, Ints]:
    """The rows of the table that lie on common units, with the unit and the model of each."""
    ticker, model = _places(forecasts["unique_id"], losses.tickers), _places(forecasts["model"], losses.models)
    dates = forecasts["cutoff"].to_numpy()
    cutoff = np.minimum(np.searchsorted(losses.cutoffs, dates), len(losses.cutoffs) - 1)
    step = forecasts["step"].to_numpy(np.int64)
    steps = 1 + max(int(step.max(initial=0)), int(losses.step_U.max(initial=0)))
    key_U = (losses.ticker_U * len(losses.cutoffs) + losses.cutoff_U) * steps + losses.step_U
    key = (ticker * len(losses.cutoffs) + cutoff) * steps + step
    unit = np.minimum(np.searchsorted(key_U, key), len(key_U) - 1)
    known = (key_U[unit] == key) & (losses.cutoffs[cutoff] == dates) & (ticker >= 0) & (model >= 0)
    known &= forecasts["y"].notna().to_numpy()
    row = np.flatnonzero(known)
    if len(row) != len(key_U) * len(losses.models):
        raise ValueError(f"{len(row)} forecasts for {len(key_U)} units of {len(losses.models)} models")
    return row, unit[row], model[row]
