"""Checks of single bars: price above zero, of a possible size, inside its own low and high, traded at all."""

from __future__ import annotations

import numpy as np

from s2squant.errors import Finding, Severity
from s2squant.prices.checks.marks import WILD, log_returns, mark, own_scale
from s2squant.series.history import PriceHistory

LARGEST, SMALLEST = 1e12, 1e-12
"""Beyond these a number is no price in any currency."""
SLACK = 1e-6
"""Relative; adjusted by different roundings, four prices of a bar may differ by that much."""
FEW = 0.05


def non_positive(history: PriceHistory) -> tuple[Finding, ...]:
    """Prices at or below zero: an error for shares; futures have been there (WTI on 2020-04-20), so a warning."""
    bad = history.adj_close <= 0
    if not bad.any():
        return ()
    severity: Severity = "warning" if is_future(history.ticker) else "error"
    more = f" ({bad.sum()} in all)" if bad.sum() > 1 else ""
    text = (
        f"price {history.adj_close[bad][0]} on {history.dates[bad][0]}{more}; log returns need finite prices above zero"
    )
    return mark("non-positive price", severity, history.dates[bad], text)


def is_future(ticker: str) -> bool:
    """Whether Yahoo's name says it is a futures contract."""
    return ticker.upper().endswith("=F")


def magnitudes(history: PriceHistory) -> tuple[Finding, ...]:
    """Prices too large or too small to be one."""
    size = np.abs(history.adj_close)
    bad = (size > LARGEST) | ((size < SMALLEST) & (size > 0))
    if not bad.any():
        return ()
    first = f"{history.adj_close[bad][0]:g} on {history.dates[bad][0]}"
    text = f"{bad.sum()} price(s) of an impossible size, the first {first}"
    return mark("implausible price", "error", history.dates[bad], text)


def inconsistent(history: PriceHistory) -> tuple[Finding, ...]:
    """Bars whose open or close lies outside low..high."""
    bars = history.bars
    if not {"open", "high", "low", "close"} <= set(bars):
        return ()
    slack = SLACK * np.abs(bars["close"])
    over = np.fmax(bars["open"], bars["close"]) > bars["high"] + slack
    under = np.fmin(bars["open"], bars["close"]) < bars["low"] - slack
    rows = history.dates[over | under]
    text = f"{len(rows)} bar(s) with open or close outside low..high, the first on {rows[0]}" if len(rows) else ""
    return mark("OHLC inconsistent", "warning", rows, text)


def no_volume(history: PriceHistory) -> tuple[Finding, ...]:
    """Bars on which nothing was traded; a warning where they are many."""
    if "volume" not in history.bars:
        return ()
    rows = history.dates[history.bars["volume"] == 0]
    if len(rows) == 0:
        return ()
    severity: Severity = "warning" if len(rows) > FEW * len(history) else "note"
    text = f"{len(rows)} bar(s) without volume, the first on {rows[0]}"
    moves = log_returns(history)
    large = np.flatnonzero((np.abs(moves) > WILD * own_scale(moves)) & (history.bars["volume"][1:] == 0))
    if len(large) == 0:
        return mark("zero volume", severity, rows, text)
    each = [f"{history.dates[i + 1]} {np.expm1(moves[i]):+.1%}" for i in large]
    moved = mark(
        "move without volume",
        "warning",
        history.dates[large + 1],
        f"{len(large)} large move(s) without volume",
        each=each,
    )
    return (*mark("zero volume", severity, rows, text), *moved)
