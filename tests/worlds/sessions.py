"""Synthetic bars within the day: sessions of some slots, GARCH returns, and a planted daily profile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s2squant.config.asset_classes import AssetClass
from s2squant.series.history import PriceHistory
from s2squant.series.slots import Slots

COUNT = 7
PROFILE = (2.0, 1.2, 0.9, 0.7, 0.6, 0.8, 1.1)
"""Of each slot, the first of which follows the night."""
AHEAD = 5
"""Sessions that a grid goes on for."""


def grid(sessions: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slots, weekdays and nights of some full sessions, the first on a Monday."""
    slot_V = np.tile(np.arange(count), sessions)
    return slot_V, np.repeat(np.arange(sessions) % 5, count), slot_V == 0


def intraday_history(
    ticker: str = "A",
    *,
    seed: int = 0,
    sessions: int = 200,
    profile: Sequence[float] = (1.0,) * COUNT,
    asset: AssetClass = "stocks",
) -> PriceHistory:
    """GARCH(1,1)-t returns, each multiplied by its slot's scale."""
    rng, bars = np.random.default_rng(seed), sessions * COUNT
    slot_V, weekday_V, first_V = grid(sessions + AHEAD)
    shocks = rng.standard_t(6, bars) * np.sqrt(4 / 6)
    even, variance = np.empty(bars), 1.0
    for t, shock in enumerate(shocks):
        even[t] = np.sqrt(variance) * shock
        variance = 0.02 + 0.08 * even[t] ** 2 + 0.9 * variance
    returns = 0.005 * even * np.array(profile)[slot_V[:bars]]
    return PriceHistory(
        ticker,
        "XNYS",
        np.datetime64("2000-01-01") + np.arange(bars),
        100 * np.exp(np.cumsum(returns)),
        slots=Slots.on_grid(COUNT, slot_V, weekday_V, first_V, np.arange(bars)),
        declared_class=asset,
    )
