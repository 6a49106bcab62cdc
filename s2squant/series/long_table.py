"""Forecasts as the long table that files and scores use: one row a (model, ticker, cutoff, step).

Shape legend: N origins, H steps, Q levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from s2squant.series.arrays import Dates
from s2squant.series.forecast import Forecast
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_COLUMNS

KEYS = ["unique_id", "cutoff", "step"]
FREE_RUNNING = "free_running"
"""Column of a table that holds steps beyond those that a model was trained on: which rows these are."""
STEP_BOUNDS = (1, 5)
"""Last steps of all bands of steps but the final one: 1, 2-5, 6-H."""

GRID_BITS = 11
"""A stored forecast's quantiles are multiples of its row's 95 % width, down to a power of two, over 2 to this."""


def step_bands(last: int) -> dict[str, tuple[int, int]]:
    """First and last step of each band up to step `last`, by name: 1, 2-5, 6-20."""
    ends = (*(end for end in STEP_BOUNDS if end < last), last)
    firsts = (1, *(end + 1 for end in ends[:-1]))
    return {str(a) if a == b else f"{a}-{b}": (a, b) for a, b in zip(firsts, ends, strict=True)}


def to_frame(panel: Panel, forecast: Forecast, sessions: Mapping[str, Dates]) -> pd.DataFrame:
    """Lay a forecast out as model, unique_id, cutoff, ds, step, y, mean and the quantiles, q0.005 .. q0.995.

    `sessions` gives each ticker's next trading sessions after its last bar, at least the horizon; y is missing for
    those. Quantiles are stored in float32, and scores are taken from what is stored. A forecast beyond the steps that
    its model was trained on has a column `free_running` more.
    """
    rows, horizon = forecast.rows, forecast.quantiles_NHQ.shape[1]
    steps = np.tile(np.arange(1, horizon + 1), len(rows))
    index = rows[:, None] + np.arange(1, horizon + 1)
    beyond = index - panel.starts[panel.ticker_of[rows] + 1][:, None]  # 0 is the first session after the last bar
    ds = panel.dates[np.minimum(index, len(panel.dates) - 1)]
    for m in np.unique(panel.ticker_of[rows]):
        future = (panel.ticker_of[rows] == m)[:, None] & (beyond >= 0)
        if future.any():
            ds[future] = sessions[panel.tickers[m]][beyond[future]]
    names = np.array(panel.tickers, dtype=object)[panel.ticker_of[rows]]
    head = pd.DataFrame(
        {
            "model": forecast.forecaster,
            "unique_id": np.repeat(names, horizon),
            "cutoff": np.repeat(panel.dates[rows], horizon).astype("datetime64[s]"),
            "ds": ds.ravel().astype("datetime64[s]"),
            "step": steps.astype(np.int16),
            "y": panel.targets(rows, horizon).ravel(),
            "mean": forecast.mean_NH.ravel().astype(np.float32),
        }
    )
    quantiles = forecast.levels_NHA.reshape(-1, len(ALL_COLUMNS)).astype(np.float32)
    table = pd.concat([head, pd.DataFrame(quantiles, columns=list(ALL_COLUMNS))], axis=1)
    return table if forecast.trained_steps is None else table.assign(**{FREE_RUNNING: steps > forecast.trained_steps})


def together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Long tables of several models below each other; rows of models that run free nowhere say so."""
    table = pd.concat(tables, ignore_index=True)
    return table.assign(**{FREE_RUNNING: table[FREE_RUNNING].eq(True)}) if FREE_RUNNING in table else table


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """A long table whose quantiles take half the room: each row's on a grid of 2 ** -12 to 2 ** -11 of its 95 % width.

    The grid is a power of two, so that float32 ends in zeros. Along the levels each error is carried to the next
    quantile (error diffusion; Floyd and Steinberg 1976), so that the errors of a row's pinball losses cancel. The order
    of quantiles stays; the mean's grid is 64 times finer. A row without width is left as it is.
    """
    width_R = table["q0.975"].to_numpy(np.float64) - table["q0.025"].to_numpy(np.float64)
    unit_R, wide_R = np.ldexp(1.0, np.frexp(width_R)[1] - 1 - GRID_BITS), width_R > 0
    carried_R, highest_R = np.zeros(len(table)), np.full(len(table), -np.inf)
    columns = {}
    for name in ALL_COLUMNS:
        wanted_R = table[name].to_numpy(np.float64) / unit_R + carried_R
        grid_R = np.round(wanted_R)
        carried_R, highest_R = wanted_R - grid_R, np.maximum(highest_R, grid_R)
        columns[name] = np.where(wide_R, highest_R * unit_R, table[name]).astype(np.float32)
    mean_R = table["mean"].to_numpy(np.float64)
    finer_R = np.round(mean_R * 64 / unit_R) * unit_R / 64
    return table.assign(mean=np.where(wide_R, finer_R, mean_R).astype(np.float32), **columns)
