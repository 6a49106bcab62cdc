"""Checks across a market: a ticker whose dates are shifted, and large moves on a day on which all moved.

A ticker with shifted dates tells the others' moves a day before they come: skill that nobody has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from s2squant.errors import Finding
from s2squant.prices.checks.factors import told_splits
from s2squant.prices.checks.jumps import MOVES, jumps
from s2squant.prices.checks.marks import log_returns, mark, own_scale
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory

FEWEST_TICKERS, FEWEST_DAYS = 3, 100
DOUBTFUL = ("unadjusted split", "unexplained jump", "reverting outlier")
CLEAR = 6.0
"""Standard errors by which a neighbouring session's correlation has to exceed the day's own."""
CLIP = 5.0
"""Deviations at which returns are cut, so that one day does not make a correlation."""


def across(histories: Sequence[PriceHistory]) -> Mapping[str, tuple[Finding, ...]]:
    """All findings of the tickers, by name, of which the others of their calendar change something; three at least.

    Each is compared with the others: its returns with their mean of the session before, the same and the next; a
    doubtful move with their median of the day.
    """
    markets: dict[str, list[PriceHistory]] = {}
    for history in histories:
        markets.setdefault(history.calendar, []).append(history)
    changed: dict[str, tuple[Finding, ...]] = {}
    for market in (some for some in markets.values() if len(some) >= FEWEST_TICKERS):
        days = np.unique(np.concatenate([history.dates for history in market]))
        moves = np.full((len(days), len(market)), np.nan)
        for m, history in enumerate(market):
            moves[np.searchsorted(days, history.dates[1:]), m] = log_returns(history)
            if history.is_intraday:
                continue
            faults = [day for f in history.findings if f.name in DOUBTFUL and f.severity == "error" for day in f.rows]
            moves[np.searchsorted(days, np.array(faults, "datetime64[D]")), m] = np.nan  # no move of the market
        shifts = _shifted(market, moves)
        for m, history in enumerate(market):
            findings = (*_reweighed(history, days, moves, m), *shifts.get(history.ticker, ()))
            if findings != history.findings:
                changed[history.ticker] = findings
    return changed


def _reweighed(history: PriceHistory, days: Dates, moves: Floats, own: int) -> tuple[Finding, ...]:
    """The findings of a ticker with its doubtful moves weighed again, on the scale of the others' on the day."""
    doubtful = {day for f in history.findings if f.name in DOUBTFUL and f.severity == "warning" for day in f.rows}
    if not doubtful or history.is_intraday:  # of the sessions that such bars make
        return history.findings
    common = np.zeros(len(history) - 1)
    for day in doubtful:
        row = np.delete(moves[np.searchsorted(days, np.datetime64(day))], own)
        known = row[np.isfinite(row)]
        bar = int(np.searchsorted(history.dates, np.datetime64(day)))
        if len(known) >= FEWEST_TICKERS - 1:
            common[bar - 1] = abs(float(np.median(known)))
    if not common.any():
        return history.findings
    told = (f for f in told_splits(history) if f.name in MOVES)  # by the source itself
    return (*(f for f in history.findings if f.name not in MOVES), *told, *jumps(history, common))


def _shifted(market: list[PriceHistory], moves: Floats) -> dict[str, tuple[Finding, ...]]:
    """Tickers whose returns go with the others' of the session before or after, not of the same."""
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.clip(moves / np.array([own_scale(own) for own in moves.T]), -CLIP, CLIP)
    known = np.isfinite(returns)
    total, count = np.where(known, returns, 0).sum(axis=1), known.sum(axis=1)
    found: dict[str, tuple[Finding, ...]] = {}
    for m, history in enumerate(market):
        with np.errstate(divide="ignore", invalid="ignore"):
            others = (total - np.where(known[:, m], returns[:, m], 0)) / (count - known[:, m])
        same, before, after = (_correlation(returns[:, m], others, lag) for lag in (0, -1, 1))
        early = after[0] > before[0]
        far, bars = after if early else before
        if bars < FEWEST_DAYS or (far - max(same[0], 0.0)) * sqrt(bars) < CLEAR:
            continue
        text = (
            f"its returns go with the other tickers' of the session {'after' if early else 'before'} "
            f"({far:.2f}; {same[0]:.2f} on the same): its dates are a session {'early' if early else 'late'}; "
            "stamp bars with the exchange's own date"
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
