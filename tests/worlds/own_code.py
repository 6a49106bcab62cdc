"""A user's own models and features, good and bad, as a module of the user's would hold them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from s2squant.series.forecast import LEVELS, Forecast, State


@dataclass(frozen=True)
class FittedTrailing:
    """Gaussian steps, their scale from the last `window` returns."""

    window: int
    horizon: int
    name: str = "anything"

    def predict(self, panel, rows):
        returns = np.diff(panel.log_price, prepend=panel.log_price[:1])
        first = np.maximum(rows - self.window + 1, panel.starts[panel.ticker_of[rows]] + 1)
        scale_N = np.array([np.sqrt(np.mean(returns[a : b + 1] ** 2)) for a, b in zip(first, rows, strict=True)])
        spread_NH = scale_N[:, None] * np.sqrt(np.arange(1, self.horizon + 1))
        return Forecast(self.name, rows, spread_NH[:, :, None] * ndtri(LEVELS), np.zeros_like(spread_NH))

    def state(self):
        return State({}, {"window": self.window, "horizon": self.horizon})


@dataclass(frozen=True)
class Trailing:
    """The honest one."""

    window: int = 60

    def fit(self, panel, rows, *, horizon, seed):
        return FittedTrailing(self.window, horizon)

    def restore(self, state):
        return FittedTrailing(state.meta["window"], state.meta["horizon"])


@dataclass(frozen=True)
class Crossed(FittedTrailing):
    def predict(self, panel, rows):
        good = super().predict(panel, rows)
        return Forecast("crossed", rows, good.quantiles_NHQ[:, :, ::-1], good.mean_NH)


@dataclass(frozen=True)
class Falling(Trailing):
    """Its quantiles cross, for the ticker B alone."""

    def fit(self, panel, rows, *, horizon, seed):
        kind = Crossed if "B" in panel.tickers else FittedTrailing
        return kind(self.window, horizon)


@dataclass(frozen=True)
class Short(Trailing):
    """Forecasts a step less than asked."""

    def fit(self, panel, rows, *, horizon, seed):
        return FittedTrailing(self.window, horizon - 1)


@dataclass(frozen=True)
class FittedNarrow(FittedTrailing):
    def predict(self, panel, rows):
        good = super().predict(panel, rows)
        return Forecast("narrow", rows, 0.1 * good.quantiles_NHQ[:, [0] * self.horizon], good.mean_NH)


@dataclass(frozen=True)
class Narrow(Trailing):
    """A tenth of the width, and the same for every step."""

    def fit(self, panel, rows, *, horizon, seed):
        return FittedNarrow(self.window, horizon)

    def restore(self, state):
        return FittedNarrow(state.meta["window"], state.meta["horizon"])


@dataclass(frozen=True)
class FittedDear(FittedTrailing):
    def predict(self, panel, rows):
        good = super().predict(panel, rows)
        return Forecast("dear", rows, good.quantiles_NHQ * np.exp(panel.log_price[rows])[:, None, None], good.mean_NH)


@dataclass(frozen=True)
class Dear(Trailing):
    """Forecasts in units of price."""

    def fit(self, panel, rows, *, horizon, seed):
        return FittedDear(self.window, horizon)

    def restore(self, state):
        return FittedDear(state.meta["window"], state.meta["horizon"])


@dataclass(frozen=True)
class Forgetful:
    """Cannot be read back."""

    def fit(self, panel, rows, *, horizon, seed):
        return FittedTrailing(60, horizon)


MOODS = itertools.count(20)


@dataclass(frozen=True)
class Moody(Trailing):
    """Fits otherwise each time, and keeps half of its state."""

    def fit(self, panel, rows, *, horizon, seed):
        return FittedTrailing(next(MOODS), horizon)

    def restore(self, state):
        return FittedTrailing(state.meta["window"] // 2, state.meta["horizon"])


def shapeless():
    return 3


def momentum(panel, spans=(5, 20)):
    """Sums of the last returns; missing where a ticker has no bar so far back."""
    rows = np.arange(len(panel.log_price))
    return {
        f"sum {span}": np.where(
            panel.bar_number(rows) >= span, panel.log_price - panel.log_price[np.maximum(rows - span, 0)], np.nan
        )
        for span in spans
    }


def tomorrow(panel):
    """The leak of leaks: the next bar's return."""
    rows = np.arange(len(panel.log_price))
    ahead = panel.log_price[np.minimum(rows + 1, len(rows) - 1)] - panel.log_price
    return {"return": np.where(panel.bars_left(rows) > 0, ahead, 0.0)}


def flat(panel):
    return {"one": np.ones((len(panel.log_price), 2))}


def holes(panel):
    return {"gap": np.where(panel.dates == panel.dates[400], np.nan, 1.0)}


def words(panel):
    return {"text": ["a"] * len(panel.log_price)}


class Unfit:
    """Raises when it is fitted."""

    def fit(self, panel, rows, *, horizon, seed):
        raise RuntimeError("not today")
