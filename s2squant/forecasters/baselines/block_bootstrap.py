"""Stationary bootstrap: blocks of the trailing window, so that paths keep the clusters of its volatility.

Shape legend: N origins, W bars of the trailing window, S paths, H steps ahead.
Source: Politis and Romano, JASA 89 (1994), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2squant.config.baselines import BlockBootstrapSpec
from s2squant.forecasters.baselines.historical import resampled
from s2squant.forecasters.baselines.returns import check_state, tickers_of
from s2squant.forecasters.baselines.sampling import ticker_seed, uniforms
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
        return FittedBlockBootstrap(self.spec, tickers_of(panel, rows), horizon, seed)

    def restore(self, state: State) -> FittedBlockBootstrap:
        """The fitted forecaster that wrote `state`."""
        check_state(state, NAME)
        meta = state.meta
        return FittedBlockBootstrap(self.spec, tuple(meta["tickers"]), int(meta["horizon"]), int(meta["seed"]))


@dataclass(frozen=True)
class FittedBlockBootstrap:
    """The stationary bootstrap for named tickers; all cutoffs of a ticker share their draws."""

    spec: BlockBootstrapSpec
    tickers: tuple[str, ...]
    horizon: int
    seed: int

    @property
    def name(self) -> str:
        return NAME

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Sample quantiles of the resampled sums; an origin with fewer bars than the window repeats those it has."""
        seeds = {ticker: ticker_seed(self.seed, ticker, NAME) for ticker in self.tickers}
        draws = {ticker: block_draws(self.spec, self.horizon, seed) for ticker, seed in seeds.items()}
        return resampled(panel, rows, draws, window=self.spec.window, name=NAME)

    def state(self) -> State:
        meta = {"name": NAME, "tickers": list(self.tickers), "horizon": self.horizon, "seed": self.seed}
        return State(arrays={}, meta=meta)


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
