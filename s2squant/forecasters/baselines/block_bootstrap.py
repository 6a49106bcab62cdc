"""Stationary bootstrap: blocks of the trailing window, so that paths keep the clusters of its volatility.

Shape legend: N origins, W bars of the trailing window, S paths, H steps ahead.
Source: Politis and Romano, JASA 89 (1994), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2squant.config.baselines import BlockBootstrapSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.historical import resampled
from s2squant.forecasters.baselines.returns import tickers_of
from s2squant.forecasters.baselines.sampling import uniforms
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel

NAME = "block_bootstrap"


@dataclass(frozen=True)
class BlockBootstrap:
    """Forecasts sums of returns drawn from the centred trailing window in blocks of geometric length."""

    spec: BlockBootstrapSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedBlockBootstrap:
        """Nothing to learn but the seed: the window moves with each origin."""
        return FittedBlockBootstrap(
            self.spec, NAME, tickers_of(panel, rows), horizon, seed, profiles=profiles_of(panel)
        )

    def restore(self, state: State) -> FittedBlockBootstrap:
        """The fitted forecaster that wrote `state`."""
        return FittedBlockBootstrap.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedBlockBootstrap(FittedBaseline[BlockBootstrapSpec]):
    """The stationary bootstrap for named tickers; all cutoffs of a ticker share their draws."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Sample quantiles of the resampled sums; an origin with fewer bars than the window repeats those it has."""
        draws = {t: block_draws(self.spec, self.horizon, self.seed_of(t)) for t in self.tickers}
        return resampled(self.origins(panel, rows), rows, draws, window=self.spec.window, name=NAME)


def block_draws(spec: BlockBootstrapSpec, horizon: int, seed: int) -> Ints:
    """Places (H, S) in a window that stands newest first: a step forward in time is one place back, in a circle.

    At each step a path begins a new block with probability 1 / spec.block, at a place that is uniform.
    """
    fresh_SH = (uniforms(spec.paths, horizon, seed) * spec.window).astype(np.intp)
    starts_SH = np.random.default_rng(seed).random(fresh_SH.shape) * spec.block < 1
    draws_HS = np.empty(fresh_SH.T.shape, np.intp)
    place_S = fresh_SH[:, 0]
    for step in range(horizon):
        if step:
            place_S = np.where(starts_SH[:, step], fresh_SH[:, step], (place_S - 1) % spec.window)
        draws_HS[step] = place_S
    return draws_HS
