"""HAR: tomorrow's volatility from that of the last day, week and month, simulated with its own joint residuals.

    m[b] = c + d v[b] + w mean5 v + k mean22 v + l max(-r[b], 0)      v the range volatility, else the absolute return
    HAR-X adds the covariates of the next bar to m, above and below their centre, all weights at least zero
    v[b+1] = m[b] e,   r[b+1] = mean + m[b] z                         (e, z) resampled together from the past

Shape legend: M tickers, T returns, N origins, S paths, H steps ahead, K kept residuals, A quantile levels.
Source: Corsi, J. Financial Econometrics 7 (2009); the leverage term of Corsi and Reno (2012); multiplicative errors as
in Engle and Gallo, J. Econometrics 131 (2006).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from s2squant.config.baselines import HarSpec
from s2squant.forecasters.baselines.drift import trailing_mean
from s2squant.forecasters.baselines.exogenous import Regressors, by_step, covariates_of, names_read, weighted
from s2squant.forecasters.baselines.fitted import FittedBaseline
from s2squant.forecasters.baselines.ranges import has_ranges, volatility
from s2squant.forecasters.baselines.returns import even_returns, tickers_of
from s2squant.forecasters.baselines.sampling import CHUNK, PATHS_KEPT, quantiles_and_paths, uniforms
from s2squant.forecasters.baselines.variance import scale_of
from s2squant.forecasters.intraday_profile import profiles_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS

NAME, MEASURED = "har", "har_rv"
WEEK, MONTH = 5, 22
KEPT = 2048
"""Residual pairs are kept as so many, at equally spaced ranks of the return's."""
FEWEST_RETURNS = 250
"""Below so many returns nothing is fitted: FALLBACK."""
REGRESSORS = Regressors._fields
"""Arrays of HAR-X, a row a ticker; `sides` are the weights of its regressors."""
FLOOR, CEILING = 1e-4, 1e6
"""Bounds of the volatility in units of the ticker's scale: a pegged price moves again, and nothing overflows."""


class Coefficients(NamedTuple):
    """Constant and weights of day, week, month and yesterday's fall, none below zero."""

    constant: float
    day: float
    week: float
    month: float
    fall: float


FALLBACK = Coefficients(constant=0.05, day=0.15, week=0.3, month=0.5, fall=0.0)


@dataclass(frozen=True)
class Har:
    """Weighted non-negative least squares of volatility; Garman-Klass ranges where OHLC is known, else |r|.

    With `reads`, HAR-X: covariates are regressors too, what is above and what is below their centre each by itself.
    Named har_rv, HAR-RV: the volatility is realised, from the bars within the day, where that is known.
    """

    spec: HarSpec
    name: str = NAME
    reads: bool = False

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedHar:
        """Coefficients and residuals on the last `spec.window` returns of every ticker with a training row."""
        tickers, names = tickers_of(panel, rows), names_read(panel) if self.reads else ()
        covariates = covariates_of(panel, names, self.name)
        learnt_M8, shocks_MK2 = np.empty((len(tickers), 8)), np.empty((len(tickers), KEPT, 2))
        regressors, sides, profiles = [], [], profiles_of(panel)
        sd_R = None if profiles is None else profiles.sd(panel)
        for m, ticker in enumerate(tickers):
            history = panel.histories[panel.tickers.index(ticker)]
            ranges, unit = has_ranges(history), scale_of(even_returns(panel, ticker, sd_R)[-self.spec.window :])
            sd_T = 1.0 if sd_R is None else sd_R[panel.rows_of(ticker)[1:]]
            returns_T, volatility_T = scaled(history, unit * sd_T, ranges=ranges, measured=self.name == MEASURED)
            recent = slice(-self.spec.window, None)
            mean = float(returns_T[recent].mean())
            components = components_of(returns_T - mean, volatility_T)
            if covariates is not None:
                past_TP, ahead_THF = by_step(panel, ticker, covariates, unit, horizon)
                regressors.append(Regressors.of(past_TP[:-1], ahead_THF[:-1], recent))
                first_T1K = regressors[-1].paths(past_TP, ahead_THF[:, :1])
                components = np.concatenate([components, two_sided(first_T1K)[:, 0]], axis=1)
            weights = estimate(components[:-1][recent], volatility_T[recent])
            expected_T = expected(components, weights)[:-1][recent]
            learnt_M8[m] = (unit, mean, ranges, *weights[:5])
            sides.append(weights[5:])
            shocks_MK2[m] = paired(volatility_T[recent] / expected_T, (returns_T[recent] - mean) / expected_T)
        arrays: dict[str, Floats] = {"learnt": learnt_M8, "shocks": shocks_MK2}
        if covariates is not None:
            arrays |= {name: np.array(x) for name, x in zip(REGRESSORS, zip(*regressors, strict=True), strict=True)}
            arrays["sides"] = np.array(sides)
        return FittedHar(self.spec, self.name, tickers, horizon, seed, arrays, covariates=names, profiles=profiles)

    def restore(self, state: State) -> FittedHar:
        """The fitted forecaster that wrote `state`."""
        return FittedHar.restored(self.spec, state, self.name)


@dataclass(frozen=True)
class FittedHar(FittedBaseline[HarSpec]):
    """HAR for named tickers.

    `learnt` (M, 8) holds unit, mean, whether ranges are read, and the five coefficients; `shocks` (M, K, 2) the
    residuals of volatility and return, in the order of the latter.
    """

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Simulated quantiles from the volatilities known at each origin, moved by the drift."""
        levels_NHA = np.empty((len(rows), self.horizon, len(ALL_LEVELS)))
        mean_NH = np.zeros((len(rows), self.horizon))
        paths_NSH = np.empty((len(rows), PATHS_KEPT, self.horizon), np.float32)
        covariates = covariates_of(panel, self.covariates, self.name)
        for origins in self.origins(panel, rows):
            unit, mean, ranges, *weights = self.learnt[origins.number]
            coefficients = Coefficients(*weights)
            history = panel.histories[panel.tickers.index(origins.ticker)]
            returns_T, volatility_T = scaled(
                history, unit * origins.sd, ranges=bool(ranges), measured=self.name == MEASURED
            )
            components = components_of(returns_T - mean, volatility_T)
            more_NH: Floats = np.zeros((len(origins.bars), self.horizon))
            if covariates is not None:
                past_TP, ahead_THF = by_step(panel, origins.ticker, covariates, unit, self.horizon)
                own = Regressors(*(self.arrays[name][origins.number] for name in REGRESSORS))
                paths_NHK = own.paths(past_TP[origins.bars], ahead_THF[origins.bars])
                more_NH = weighted(two_sided(paths_NHK), self.arrays["sides"][origins.number])
            plain_N = summed(components[origins.bars], coefficients)
            first_N = np.maximum(plain_N + more_NH[:, 0], FLOOR)
            order_SH = uniforms(self.spec.paths, self.horizon, self.seed_of(origins.ticker))
            shocks_HS2 = self.arrays["shocks"][origins.number][(order_SH.T * KEPT).astype(np.intp)]
            drift_H = mean * np.arange(1, self.horizon + 1)
            for start in range(0, len(origins.bars), CHUNK):
                chunk = slice(start, start + CHUNK)
                past_NL = past_month(volatility_T, origins.bars[chunk])
                known_N = np.minimum(origins.bars[chunk], MONTH)
                sums = simulated_sums(
                    first_N[chunk],
                    past_NL,
                    known_N,
                    coefficients,
                    shocks_HS2,
                    more_NH[chunk],
                    origins.ahead_of(chunk),
                )
                quantiles_NHA, kept_NSH = quantiles_and_paths(sums)
                levels_NHA[origins.where[chunk]] = unit * (quantiles_NHA + drift_H[:, None])
                paths_NSH[origins.where[chunk]] = unit * (kept_NSH + drift_H)
            mean_NH[origins.where] = unit * drift_H
        return Forecast.of_levels(self.name, rows, levels_NHA, mean_NH, paths_NSH)


def scaled(
    history: PriceHistory, unit: Floats | float, *, ranges: bool, measured: bool = False
) -> tuple[Floats, Floats]:
    """Returns (T,) and volatilities (T,) in units of the ticker's scale, or of each bar's."""
    return history.log_returns / unit, volatility(history, ranges=ranges, measured=measured) / unit


def components_of(centred_T: Floats, volatility_T: Floats) -> Floats:
    """Regressors at bar b (T + 1, 5): one, day, week, month and the last fall; nothing but the one at bar 0."""
    day = np.concatenate([[0.0], volatility_T])
    week, month = (np.maximum(trailing_mean(volatility_T, bars), 0.0) for bars in (WEEK, MONTH))
    fall = np.concatenate([[0.0], np.maximum(-centred_T, 0.0)])
    return np.column_stack([np.ones(len(day)), day, week, month, fall])


def two_sided(values_NHK: Floats) -> Floats:
    """What is above and what is below the centre (N, H, 2 K), each as a column of its own."""
    return np.concatenate([np.maximum(values_NHK, 0.0), np.maximum(-values_NHK, 0.0)], axis=2)


def summed(components_TK: Floats, weights: Sequence[float]) -> Floats:
    """Weighted regressors (T,), added up term by term: the same bits for any number of rows."""
    total = np.zeros(len(components_TK))
    for weight, part_T in zip(weights, components_TK.T, strict=True):
        total += weight * part_T
    return total


def expected(components_TK: Floats, weights: Sequence[float]) -> Floats:
    """The next bar's expected volatility (T,)."""
    floored: Floats = np.maximum(summed(components_TK, weights), FLOOR)
    return floored


def estimate(components_TK: Floats, volatility_T: Floats) -> list[float]:
    """Least squares with weights 1 / expected^2, from a first pass without; FALLBACK for short or still series.

    The five coefficients come first, then those of covariates, if any.
    """
    weights = [*FALLBACK, *[0.0] * (components_TK.shape[1] - len(FALLBACK))]
    if len(volatility_T) < FEWEST_RETURNS or volatility_T.std() == 0:
        return weights
    for _ in range(2):
        weight_T = 1 / np.maximum(expected(components_TK, weights), 0.05)
        weights = nnls(components_TK * weight_T[:, None], volatility_T * weight_T)[0].tolist()
    return weights


def paired(volatility_T: Floats, return_T: Floats) -> Floats:
    """Residual pairs (K, 2) of volatility (mean 1) and return (mean 0), in the order of the return."""
    order = np.argsort(return_T, kind="stable")
    chosen = order[((np.arange(KEPT) + 0.5) / KEPT * len(order)).astype(np.intp)]
    e, z = volatility_T[chosen], return_T[chosen]
    return np.column_stack([e / max(float(e.mean()), FLOOR), z - z.mean()])


def past_month(volatility_T: Floats, bars_N: Ints) -> Floats:
    """The last 22 volatilities (N, 22) known at each bar, newest first; zero before the first."""
    index = bars_N[:, None] - 1 - np.arange(MONTH)
    return np.where(index >= 0, volatility_T[np.maximum(index, 0)], 0.0)


def simulated_sums(
    first_N: Floats,
    past_NL: Floats,
    known_N: Ints,
    coefficients: Coefficients,
    shocks_HS2: Floats,
    more_NH: Floats,
    ahead_NH: Floats | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield, step by step, the cumulative centred returns (N, S) of all paths; the same array every time.

    With `ahead_NH` each step's return is multiplied by its relative standard deviation.
    `more_NH` is what covariates add to the expected volatility of each step; the first step's is in `first_N`.
    `known_N` of the 22 places in `past_NL` are filled: a week or month that is shorter is averaged over what it has.
    """
    shape = (len(first_N), shocks_HS2.shape[1])
    months = [np.broadcast_to(x[:, None], shape).astype(np.float32) for x in past_NL.T[::-1]]  # oldest first
    week_sum, month_sum = (
        np.broadcast_to(past_NL[:, :bars].sum(axis=1)[:, None], shape).astype(np.float32) for bars in (WEEK, MONTH)
    )
    level = np.broadcast_to(first_N[:, None], shape).astype(np.float32)
    sums = np.zeros(shape, np.float32)
    constant, day, week, month, fall = (np.float32(x) for x in coefficients)
    low, high = np.float32(FLOOR), np.float32(CEILING)
    for step, pair_S2 in enumerate(shocks_HS2.astype(np.float32)):
        move = level * pair_S2[:, 1]
        sums += move if ahead_NH is None else move * ahead_NH[:, step, None].astype(np.float32)
        yield sums
        new = level * pair_S2[:, 0]
        week_sum += new - months[-WEEK]
        month_sum += new - months[0]
        months = [*months[1:], new]
        weeks, bars = (np.minimum(known_N + step + 1, n).astype(np.float32)[:, None] for n in (WEEK, MONTH))
        level = constant + day * new + week * week_sum / weeks + month * month_sum / bars
        level += fall * np.maximum(-move, np.float32(0))
        if step + 1 < len(shocks_HS2):
            level += more_NH[:, step + 1, None].astype(np.float32)
        np.clip(level, low, high, out=level)
