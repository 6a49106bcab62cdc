"""Historical simulation: the calibrated null, and the reference every skill is measured against.

Shape legend: N origins, W bars of the trailing window, S paths, H steps ahead, A quantile levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from s2squant.config.baselines import HistoricalSpec
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.returns import Origins, tickers_of, trailing_index
from s2squant.forecasters.baselines.sampling import CHUNK, PATHS_KEPT, sample_quantiles, uniforms
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "historical_simulation"


@dataclass(frozen=True)
class HistoricalSimulation:
    """Forecasts the sum of h returns drawn independently from the trailing window, centred.

    Centred, because the window's mean is mostly noise: over 500 bars its error at 20 steps is a fifth of a standard
    deviation of the forecast, more than any drift it could carry.
    """

    spec: HistoricalSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedHistoricalSimulation:
        """Nothing to learn but the seed: the window moves with each origin."""
        return FittedHistoricalSimulation(
            self.spec, NAME, tickers_of(panel, rows), horizon, seed, profiles=profiles_of(panel)
        )

    def restore(self, state: State) -> FittedHistoricalSimulation:
        """The fitted forecaster that wrote `state`."""
        return FittedHistoricalSimulation.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedHistoricalSimulation(FittedBaseline[HistoricalSpec]):
    """Historical simulation for named tickers; all cutoffs of a ticker share their draws."""

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Sample quantiles of the resampled sums; an origin with fewer bars than the window repeats those it has."""
        draws: dict[str, Ints] = {}
        for ticker in self.tickers:
            draws_SH = uniforms(self.spec.paths, self.horizon, self.seed_of(ticker))
            draws[ticker] = np.ascontiguousarray((draws_SH * self.spec.window).astype(np.intp).T)
        return resampled(self.origins(panel, rows), rows, draws, window=self.spec.window, name=NAME)


def resampled(asked: Iterable[Origins], rows: Ints, draws: Mapping[str, Ints], *, window: int, name: str) -> Forecast:
    """Forecast sums of the centred trailing window's returns at each ticker's drawn places (H, S).

    Within the day a return drawn is one over its own slot's scale, times that of the slot it is drawn for.
    """
    horizon = len(next(iter(draws.values())))
    levels_NHA = np.empty((len(rows), horizon, len(ALL_LEVELS)))
    paths_NSH = np.empty((len(rows), min(PATHS_KEPT, next(iter(draws.values())).shape[1]), horizon), np.float32)
    for origins in asked:
        for first in range(0, len(origins.bars), CHUNK):
            chunk = slice(first, first + CHUNK)
            window_NW = centred_window(origins.returns, origins.bars[chunk], window)
            drawn = (window_NW, draws[origins.ticker], origins.ahead_of(chunk))
            levels_NHA[origins.where[chunk]] = resampled_quantiles(*drawn)
            paths_NSH[origins.where[chunk]] = resampled_paths(*drawn)
    return Forecast.of_levels(name, rows, levels_NHA, np.zeros(levels_NHA.shape[:2]), paths_NSH)


def centred_window(returns_T: Floats, bars_N: Ints, window: int) -> Floats:
    """The last W returns (N, W) known at each bar, less their mean; early on, those there are, repeated."""
    known_N1 = np.minimum(bars_N, window)[:, None]
    age_NW = (bars_N[:, None] - 1 - trailing_index(bars_N, window)) % known_N1
    window_NW: Floats = returns_T[bars_N[:, None] - 1 - age_NW]
    window_NW -= window_NW.mean(axis=1, keepdims=True)
    return window_NW


def resampled_quantiles(window_NW: Floats, draws_HS: Ints, ahead_NH: Floats | None = None) -> Floats:
    """Quantiles (N, H, A) of cumulative sums of the returns at the drawn places, single precision inside."""
    source_NW = window_NW.astype(np.float32)
    sums_NS = np.zeros((len(source_NW), draws_HS.shape[1]), np.float32)
    levels_NHA = np.empty((len(source_NW), len(draws_HS), len(ALL_LEVELS)))
    for step, draws_S in enumerate(draws_HS):
        moved_NS = source_NW.take(draws_S, axis=1)
        if ahead_NH is not None:
            moved_NS *= ahead_NH[:, step, None].astype(np.float32)
        sums_NS += moved_NS
        levels_NHA[:, step] = sample_quantiles(sums_NS.copy())
    return levels_NHA


def resampled_paths(window_NW: Floats, draws_HS: Ints, ahead_NH: Floats | None = None) -> Floats:
    """The first PATHS_KEPT paths (N, S, H) of those cumulative sums."""
    moved_NSH = window_NW.astype(np.float32)[:, draws_HS[:, :PATHS_KEPT].T]
    if ahead_NH is not None:
        moved_NSH *= ahead_NH[:, None].astype(np.float32)
    return np.asarray(np.cumsum(moved_NSH, axis=2))
