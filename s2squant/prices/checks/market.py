"""Checks across a market: a ticker whose dates are shifted against those of the others.

Such a ticker tells the others' moves a day before they come: skill that nobody has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from s2squant.errors import Finding
from s2squant.prices.checks.marks import log_returns, mark
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

FEWEST_TICKERS, FEWEST_DAYS = 3, 100
CLEAR = 6.0
"""Standard errors by which a neighbouring session's correlation has to exceed the day's own."""
CLIP = 5.0
"""Deviations at which returns are cut, so that one day does not make a correlation."""


def shifted(histories: Sequence[PriceHistory]) -> Mapping[str, tuple[Finding, ...]]:
    """Tickers whose returns go with the others' of the session before or after, not of the same, by name.

    Each is compared with the mean of the others of its calendar, three tickers at least.
    """
    markets: dict[str, list[PriceHistory]] = {}
    for history in histories:
        markets.setdefault(history.calendar, []).append(history)
    found: dict[str, tuple[Finding, ...]] = {}
    for market in markets.values():
        if len(market) >= FEWEST_TICKERS:
            found |= _of_market(market)
    return found


def _of_market(market: list[PriceHistory]) -> dict[str, tuple[Finding, ...]]:
    days = np.unique(np.concatenate([history.dates for history in market]))
    returns = np.full((len(days), len(market)), np.nan)
    for m, history in enumerate(market):
        moves = log_returns(history)
        deviation = float(np.nanmedian(np.abs(moves))) * 1.4826 or 1.0
        returns[np.searchsorted(days, history.dates[1:]), m] = np.clip(moves / deviation, -CLIP, CLIP)
    known = np.isfinite(returns)
    total, count = np.where(known, returns, 0).sum(axis=1), known.sum(axis=1)
    found: dict[str, tuple[Finding, ...]] = {}
    for m, history in enumerate(market):
        with np.errstate(divide="ignore", invalid="ignore"):
            others = (total - np.where(known[:, m], returns[:, m], 0)) / (count - known[:, m])
        same, before, after = (_correlation(returns[:, m], others, lag) for lag in (0, -1, 1))
        side, other, (far, bars) = max(
            ((-1, "before", before), (1, "after", after)), key=lambda candidate: candidate[2][0]
        )
        if bars < FEWEST_DAYS or (far - max(same[0], 0.0)) * sqrt(bars) < CLEAR:
            continue
        text = (
            f"its returns go with the other tickers' of the session {other} ({far:.2f}; {same[0]:.2f} on the same): "
            f"its dates are a session {'late' if side < 0 else 'early'}; stamp bars with the exchange's own date"
        )
        found[history.ticker] = mark("shifted dates", "error", history.dates[:1], text)
    return found


def _correlation(own: Floats, others: Floats, lag: int) -> tuple[float, int]:
    """Correlation of own returns with the others' `lag` sessions later, and over how many."""
    a, b = (own[:-lag], others[lag:]) if lag > 0 else (own[-lag:], others[:lag]) if lag < 0 else (own, others)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return 0.0, len(a)
    return float(np.corrcoef(a, b)[0, 1]), len(a)
