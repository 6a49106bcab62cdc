"""Gaussian random walk without drift: the null everyone knows.

Shape legend: N origins, W bars of the trailing window, H steps ahead, Q quantile levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from s2squant.config.baselines import RandomWalkSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.returns import tickers_of, trailing_index
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "random_walk"


@dataclass(frozen=True)
class RandomWalk:
    """Forecasts N(0, h s^2), s the root mean square of the trailing window's returns."""

    spec: RandomWalkSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedRandomWalk:  # noqa: ARG002
        """Nothing to learn: the window moves with each origin; `seed` is not used."""
        return FittedRandomWalk(self.spec, NAME, tickers_of(panel, rows), horizon, profiles=profiles_of(panel))

    def restore(self, state: State) -> FittedRandomWalk:
        """The fitted forecaster that wrote `state`."""
        return FittedRandomWalk.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedRandomWalk(FittedBaseline[RandomWalkSpec]):
    """A random walk for named tickers."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Closed-form quantiles s sqrt(h) z_p; an origin with fewer bars than the window uses those it has."""
        levels_NHA = np.empty((len(rows), self.horizon, len(ALL_LEVELS)))
        for origins in self.origins(panel, rows):
            scale_N = trailing_scale(origins.returns, origins.bars, self.spec.window)
            spread_xHA = np.sqrt(origins.clock(self.horizon))[..., None] * ndtri(ALL_LEVELS)
            levels_NHA[origins.where] = scale_N[:, None, None] * spread_xHA
        return Forecast.of_levels(NAME, rows, levels_NHA, np.zeros(levels_NHA.shape[:2]))


def trailing_scale(returns_T: Floats, bars_N: Ints, window: int) -> Floats:
    """Root mean square (N,) of the last `window` returns known at each bar: about zero, the mean of the model."""
    index_NW = trailing_index(bars_N, window)
    squares_NW = np.where(index_NW >= 0, np.square(returns_T)[np.maximum(index_NW, 0)], 0.0)
    scale_N: Floats = np.sqrt(squares_NW.sum(axis=1) / np.minimum(bars_N, window))
    return scale_N
