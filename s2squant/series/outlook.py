"""One ticker's forecast from its last bar, in prices.

Shape legend: H steps, Q levels, T tail levels, A all levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from s2squant.series.arrays import Dates, Floats
from s2squant.series.forecast import LEVELS
from s2squant.series.history import PriceHistory
from s2squant.series.tails import at_level, exponential_tails, put_together

RANGES = (50, 80, 95)
"""Central ranges, in per cent."""
WIDER = 1.03
"""Bands that are so much wider than after a long history are worth a word."""
VALUE_AT_RISK = 0.05
"""Level of the loss that is exceeded once in twenty times."""


@dataclass(frozen=True)
class Outlook:
    """One ticker's forecast from its last bar."""

    history: PriceHistory
    dates_H: Dates
    quantiles_HQ: Floats
    """Cumulative log return at LEVELS."""
    widening: float
    """Width of the last step's 95 % band over that of a long history, where volatility is the same."""
    tails_HT: Floats | None = None
    """The same at TAIL_LEVELS; exponential where there are none."""

    def __post_init__(self) -> None:
        if self.quantiles_HQ.shape != (len(self.dates_H), len(LEVELS)):
            raise ValueError(f"quantiles {self.quantiles_HQ.shape} for {len(self.dates_H)} steps, {len(LEVELS)} levels")

    @property
    def close(self) -> float:
        """The last adjusted close."""
        return float(self.history.adj_close[-1])

    @cached_property
    def prices_HQ(self) -> Floats:
        """The quantiles as prices."""
        return np.asarray(self.close * np.exp(self.quantiles_HQ))

    @cached_property
    def levels_HA(self) -> Floats:
        """Cumulative log return at ALL_LEVELS."""
        tails = exponential_tails(self.quantiles_HQ) if self.tails_HT is None else self.tails_HT
        return put_together(self.quantiles_HQ, tails)

    def price(self, step: int, level: float) -> float:
        """The price that is stayed below with this probability, one of LEVELS."""
        return float(self.prices_HQ[step - 1, _place(level)])

    def range(self, step: int, percent: int) -> tuple[float, float]:
        """The central range of a step in prices."""
        side = percent / 200
        return self.price(step, 0.5 - side), self.price(step, 0.5 + side)

    def fall(self, step: int) -> float:
        """Probability that the price is below the last close, between the levels as a straight line."""
        moves_Q = self.quantiles_HQ[step - 1]
        return float(np.interp(0.0, moves_Q, LEVELS, left=LEVELS[0], right=LEVELS[-1]))

    def value_at_risk(self, step: int, level: float = VALUE_AT_RISK) -> float:
        """Share of the price lost at a level, 0.05 for a VaR of 95 %; below zero where that is a gain."""
        return float(-np.expm1(at_level(self.levels_HA[step - 1], level)))


def _place(level: float) -> int:
    """Where a level stands among LEVELS; raises ValueError for one that is not among them."""
    place = round(level * 40) - 1
    if not 0 <= place < len(LEVELS) or abs(LEVELS[place] - level) > 1e-9:
        raise ValueError(f"no quantile of level {level} is forecast")
    return place


def short_history(outlook: Outlook) -> str:
    """A word on how little a short history knows; empty for one that is long enough."""
    bars, wider = len(outlook.history), outlook.widening - 1
    if wider < WIDER - 1:
        return ""
    return (
        f"{outlook.history.ticker} has {bars} bars: too few to know its own volatility well, so its ranges are "
        f"{100 * wider:.0f} % wider than after years of them"
    )
