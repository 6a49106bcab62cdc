"""Random walk with drift: the textbook's answer to a market that rises.

Shape legend: N origins, H steps ahead, Q quantile levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from s2squant.config.baselines import DriftSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.random_walk import trailing_scale
from s2squant.forecasters.baselines.returns import log_returns, tickers_of
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "drift"


@dataclass(frozen=True)
class Drift:
    """Forecasts N(h m, h s^2 + h^2 s^2 / n): m the mean of the last n returns, s their trailing root mean square.

    The last term is the error of m itself, which at 20 steps and 2000 returns widens a band by half a percent.
    """

    spec: DriftSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedDrift:  # noqa: ARG002
        """Nothing to learn: both windows move with each origin; `seed` is not used."""
        return FittedDrift(self.spec, NAME, tickers_of(panel, rows), horizon, profiles=profiles_of(panel))

    def restore(self, state: State) -> FittedDrift:
        """The fitted forecaster that wrote `state`."""
        return FittedDrift.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedDrift(FittedBaseline[DriftSpec]):
    """A random walk with drift for named tickers."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Closed-form quantiles; an origin with fewer bars than a window uses those it has."""
        step_H = np.arange(1, self.horizon + 1)
        mean_NH, spread_NH = np.empty((2, len(rows), self.horizon))
        for origins in self.origins(panel, rows):
            where, bars_N = origins.where, origins.bars
            known_N = np.minimum(bars_N, self.spec.window)
            mean_NH[where] = trailing_mean(log_returns(panel, origins.ticker), self.spec.window)[bars_N, None] * step_H
            scale_N = trailing_scale(origins.returns, bars_N, self.spec.scale_window)
            clock_xH = origins.clock(self.horizon)
            spread_NH[where] = scale_N[:, None] * np.sqrt(clock_xH + step_H**2 / known_N[:, None])
        return Forecast.of_levels(NAME, rows, mean_NH[:, :, None] + spread_NH[:, :, None] * ndtri(ALL_LEVELS), mean_NH)


def trailing_mean(values_T: Floats, window: int) -> Floats:
    """Means (T + 1,): entry b is that of the last `window` of the first b values, or of all of them; entry 0 is 0."""
    total = np.concatenate([[0.0], np.cumsum(values_T)])
    bar = np.arange(len(total))
    known = np.minimum(bar, window)
    mean: Floats = (total - total[bar - known]) / np.maximum(known, 1)
    return mean
