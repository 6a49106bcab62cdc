"""Exceedances of all tickers of a market together, tested against what their own dependence makes of a right forecast.

Tickers of a date move together, so that their exceedances are no coin tosses. Under a right forecast they come as past
outcomes do: on a date drawn from the past, each ticker whose outcome is among its lowest (highest) `level` exceeds.

Shape legend: M tickers, W past dates, T cutoffs, R draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import SourceError
from s2squant.series.arrays import Floats, Ints
from s2squant.series.history import PriceHistory
from s2squant.series.past_paths import past_paths, sharing

DRAWS = 1999
FEWEST = 50
SEED = 19


@dataclass(frozen=True)
class Shared:
    """Levels (M, W) of past outcomes of a market's tickers on common dates, at one step."""

    tickers: tuple[str, ...]
    levels_MW: Floats

    def test(self, counts_T: Ints, level: float, side: str) -> tuple[float, float]:
        """Two-sided p of how many exceed in all, and p of counts that follow each other (both ranks among draws)."""
        below = self.levels_MW < level if side == "loss" else self.levels_MW > 1 - level
        past_W = below.sum(axis=0)
        draws_RT = past_W[np.random.default_rng(SEED).integers(len(past_W), size=(DRAWS, len(counts_T)))]
        return _two_sided(float(counts_T.sum()), draws_RT.sum(axis=1)), _above(_following(counts_T[None])[0], draws_RT)


def shared_past(
    markets: Mapping[str, str], histories: Mapping[str, PriceHistory], steps: Sequence[int]
) -> dict[tuple[str, int], Shared]:
    """By market and step; a market without two tickers that share dates has none."""
    found: dict[tuple[str, int], Shared] = {}
    for market in dict.fromkeys(markets.values()):
        members = [histories[t] for t, its in markets.items() if its == market and t in histories]
        kept, _ = sharing(members, max(steps))
        if len(kept) < 2:
            continue
        try:
            past = past_paths(kept, max(steps))
        except SourceError:
            continue
        for step in steps:
            ranks = past.outcomes_MHW[:, step - 1].argsort(axis=1).argsort(axis=1)
            found[market, step] = Shared(past.tickers, (ranks + 0.5) / ranks.shape[1])
    return found


def _following(counts_RT: NDArray[np.integer]) -> Floats:
    """Sum of products of neighbouring counts less their mean (R,)."""
    apart = counts_RT - counts_RT.mean(axis=1, keepdims=True)
    return np.asarray((apart[:, 1:] * apart[:, :-1]).sum(axis=1))


def _two_sided(value: float, draws_R: NDArray[np.integer]) -> float:
    below, same = float((draws_R < value).sum()), float((draws_R == value).sum())
    share = (below + 0.5 * same + 0.5) / (len(draws_R) + 1)
    return min(1.0, 2.0 * min(share, 1.0 - share))


def _above(value: float, draws_RT: NDArray[np.integer]) -> float:
    draws_R = _following(draws_RT)
    return float((1 + (draws_R > value).sum() + 0.5 * (draws_R == value).sum()) / (len(draws_R) + 1))
