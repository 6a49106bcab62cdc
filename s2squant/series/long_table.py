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
