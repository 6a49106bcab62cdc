"""HAR-CJ: tomorrow's volatility from what diffusion and what jumps made of the last day, week and month.

    m[b] = c + d C[b] + w mean5 C + k mean22 C + l max(-r[b], 0) + x J[b] + y mean5 J + z mean22 J
    v[b+1] = m[b] e,   r[b+1] = mean + m[b] u,   J[b+1]^2 = s v[b+1]^2,   C^2 = v^2 - J^2

C and J are roots of variances: the whole day's without its jumps, and the jumps'. (e, u, s) are resampled together from
the past. A day whose realised variance is not known has its range, or its absolute return, and no jump.

Shape legend: M tickers, T returns, N origins, S paths, H steps ahead, K kept residuals, L bars of a month, A levels.
Source: Andersen, Bollerslev and Diebold, Review of Economics and Statistics 89 (2007), equation 28 (in roots, here with
means of roots, weights at least zero and HAR's term for a fall).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2squant.config.baselines import HarSpec
from s2squant.forecasters.baselines.drift import trailing_mean
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.har import (
    CEILING,
    FLOOR,
    KEPT,
    MONTH,
    WEEK,
    components_of,
    estimate,
    expected,
    paired,
    past_month,
    scaled,
    summed,
)
from s2squant.forecasters.baselines.ranges import has_ranges, realised
from s2squant.forecasters.baselines.returns import even_returns, tickers_of
from s2squant.forecasters.baselines.sampling import CHUNK, PATHS_KEPT, quantiles_and_paths, uniforms
from s2squant.forecasters.baselines.variance import scale_of
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME = "har_cj"


@dataclass(frozen=True)
class HarCj:
    """Weighted non-negative least squares of the day's volatility on its continuous parts and its jumps."""

    spec: HarSpec

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedHarCj:
        """Coefficients and residuals on the last `spec.window` returns of every ticker with a training row."""
        tickers, profiles = tickers_of(panel, rows), profiles_of(panel)
        sd_R = None if profiles is None else profiles.sd(panel)
        learnt, shocks = np.empty((len(tickers), 11)), np.empty((len(tickers), KEPT, 3))
        recent = slice(-self.spec.window, None)
        for m, ticker in enumerate(tickers):
            history = panel.histories[panel.tickers.index(ticker)]
            ranges, unit = has_ranges(history), scale_of(even_returns(panel, ticker, sd_R)[recent])
            sd_T = 1.0 if sd_R is None else sd_R[panel.rows_of(ticker)[1:]]
            returns_T, volatility_T, share_T = parts(history, unit * sd_T, ranges=ranges)
            mean = float(returns_T[recent].mean())
            components = regressors(returns_T - mean, volatility_T, share_T)
            weights = estimate(components[:-1][recent], volatility_T[recent])
            expected_T = expected(components, weights)[:-1][recent]
            learnt[m] = (unit, mean, ranges, *weights)
            centred_T = (returns_T[recent] - mean) / expected_T
            chosen = np.argsort(centred_T, kind="stable")
            chosen = chosen[((np.arange(KEPT) + 0.5) / KEPT * len(chosen)).astype(np.intp)]
            pairs = paired(volatility_T[recent] / expected_T, centred_T)
            shocks[m] = np.column_stack([pairs, share_T[recent][chosen]])
        arrays = {"learnt": learnt, "shocks": shocks}
        return FittedHarCj(self.spec, NAME, tickers, horizon, seed, arrays, profiles=profiles)

    def restore(self, state: State) -> FittedHarCj:
        """The fitted forecaster that wrote `state`."""
        return FittedHarCj.restored(self.spec, state, NAME)


@dataclass(frozen=True)
class FittedHarCj(FittedBaseline[HarSpec]):
    """HAR-CJ for named tickers.

    `learnt` (M, 11) holds unit, mean, whether ranges are read, and the eight coefficients; `shocks` (M, K, 3) residuals
    of volatility and return and the jump's share of the variance, in the order of the return.
    """

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Simulated quantiles from the volatilities known at each origin, moved by the drift."""
        levels_NHA = np.empty((len(rows), self.horizon, len(ALL_LEVELS)))
        mean_NH = np.zeros((len(rows), self.horizon))
        paths_NSH = np.empty((len(rows), PATHS_KEPT, self.horizon), np.float32)
        for origins in self.origins(panel, rows):
            unit, mean, ranges, *weights = self.learnt[origins.number]
            history = panel.histories[panel.tickers.index(origins.ticker)]
            returns_T, volatility_T, share_T = parts(history, unit * origins.sd, ranges=bool(ranges))
            first_N = np.maximum(
                summed(regressors(returns_T - mean, volatility_T, share_T)[origins.bars], weights), FLOOR
            )
            order_SH = uniforms(self.spec.paths, self.horizon, self.seed_of(origins.ticker))
            shocks_HS3 = self.arrays["shocks"][origins.number][(order_SH.T * KEPT).astype(np.intp)]
            drift_H = mean * np.arange(1, self.horizon + 1)
            both = (volatility_T * np.sqrt(1 - share_T), volatility_T * np.sqrt(share_T))
            for start in range(0, len(origins.bars), CHUNK):
                chunk = slice(start, start + CHUNK)
                bars_N = origins.bars[chunk]
                past_2NL = np.stack([past_month(part_T, bars_N) for part_T in both])
                known_N = np.minimum(bars_N, MONTH)
                sums = simulated_sums(first_N[chunk], past_2NL, known_N, weights, shocks_HS3, origins.ahead_of(chunk))
                quantiles_NHA, kept_NSH = quantiles_and_paths(sums)
                levels_NHA[origins.where[chunk]] = unit * (quantiles_NHA + drift_H[:, None])
                paths_NSH[origins.where[chunk]] = unit * (kept_NSH + drift_H)
            mean_NH[origins.where] = unit * drift_H
        return Forecast.of_levels(self.name, rows, levels_NHA, mean_NH, paths_NSH)


def parts(history: PriceHistory, unit: Floats | float, *, ranges: bool) -> tuple[Floats, Floats, Floats]:
    """Returns, volatilities and the jumps' shares of the variances, (T,) each."""
    returns_T, volatility_T = scaled(history, unit, ranges=ranges, measured=True)
    total_T, jump_T = realised(history, "total"), realised(history, "jump")
    known_T = (total_T > 0) & np.isfinite(jump_T)
    share_T = np.where(known_T, np.where(known_T, jump_T, 0.0) / np.where(known_T, total_T, 1.0), 0.0)
    return returns_T, volatility_T, np.clip(share_T, 0.0, 1.0)


def regressors(centred_T: Floats, volatility_T: Floats, share_T: Floats) -> Floats:
    """Regressors at bar b (T + 1, 8): those of HAR for the continuous part, then the jump's day, week and month."""
    jump_T = volatility_T * np.sqrt(share_T)
    continuous = components_of(centred_T, volatility_T * np.sqrt(1 - share_T))
    week, month = (np.maximum(trailing_mean(jump_T, bars), 0.0) for bars in (WEEK, MONTH))
    return np.column_stack([continuous, np.concatenate([[0.0], jump_T]), week, month])


def simulated_sums(
    first_N: Floats,
    past_2NL: Floats,
    known_N: Ints,
    weights: list[float],
    shocks_HS3: Floats,
    ahead_NH: Floats | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield, step by step, the cumulative centred returns (N, S) of all paths; the same array every time.

    `past_2NL` are the last months of the continuous part and of the jumps, of which `known_N` places are filled.
    """
    shape = (len(first_N), shocks_HS3.shape[1])
    months = [[np.broadcast_to(x[:, None], shape).astype(np.float32) for x in past.T[::-1]] for past in past_2NL]
    totals = [
        [np.broadcast_to(past[:, :bars].sum(axis=1)[:, None], shape).astype(np.float32) for bars in (1, WEEK, MONTH)]
        for past in past_2NL
    ]
    constant, *continuous, fall = (np.float32(x) for x in weights[:5])
    of_part = (continuous, [np.float32(x) for x in weights[5:]])
    level = np.broadcast_to(first_N[:, None], shape).astype(np.float32)
    sums = np.zeros(shape, np.float32)
    for step, triple_S3 in enumerate(shocks_HS3.astype(np.float32)):
        move = level * triple_S3[:, 1]
        sums += move if ahead_NH is None else move * ahead_NH[:, step, None].astype(np.float32)
        yield sums
        volatility = level * triple_S3[:, 0]
        jumped = triple_S3[:, 2]
        level = constant + fall * np.maximum(-move, np.float32(0))
        lengths = [np.minimum(known_N + step + 1, bars).astype(np.float32)[:, None] for bars in (1, WEEK, MONTH)]
        for part, new in enumerate((volatility * np.sqrt(1 - jumped), volatility * np.sqrt(jumped))):
            for place, bars in enumerate((1, WEEK, MONTH)):
                totals[part][place] = totals[part][place] + new - months[part][-bars]
                level = level + of_part[part][place] * totals[part][place] / lengths[place]
            months[part] = [*months[part][1:], new]
        np.clip(level, np.float32(FLOOR), np.float32(CEILING), out=level)
