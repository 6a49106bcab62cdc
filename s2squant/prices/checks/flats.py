"""Checks of prices that do not move: stale runs, placeholders before listing and after the end, constant and pegged."""

from __future__ import annotations

import numpy as np

from s2squant.errors import Finding, Severity
from s2squant.prices.checks.marks import log_returns, mark, runs
from s2squant.series.history import PriceHistory

STALE_BARS = 5
LONG_RUN = 10
PLACEHOLDER_BARS = 20
CERTAIN_BARS = 60
"""Flat bars that are an error even where no volume says that nothing was traded."""
COPIED_BARS = 10
"""Closes in a row that stand elsewhere as well, from which one of the two was copied."""
DISTINCT = 6
"""Different values among them at least: a price that hardly moves repeats by chance."""
UNCHANGED = 0.20
"""Share of returns that are exactly zero from which a series counts as pegged, or as hardly traded."""
PEGGED_SD = 2e-4
"""Standard deviation of daily log returns below which a series counts as pegged."""

_ODD = np.uint64(0x9E3779B97F4A7C15)
"""Multiplier of a polynomial hash, modulo 2^64."""


def flats(history: PriceHistory) -> tuple[Finding, ...]:
    """A constant series is an error and ends the looking; otherwise placeholders, stale runs and pegs."""
    starts, lengths = runs(history.adj_close)
    if len(starts) == 1:
        text = f"every price is {history.adj_close[0]:g}; a constant series has nothing to forecast"
        return mark("constant series", "error", history.dates[:1], text)
    head = _placeholder(history, lengths[0], first=True)
    tail = _placeholder(history, lengths[-1], first=False)
    inner = slice(1 if head else 0, -1 if tail else None)
    return (*head, *tail, *_stale(history, starts[inner], lengths[inner]), *_pegged(history), *_copied(history))


def _placeholder(history: PriceHistory, length: int, *, first: bool) -> tuple[Finding, ...]:
    """A flat beginning or end without trading: prices filled in before the listing, or after the delisting."""
    if length < PLACEHOLDER_BARS:
        return ()
    bars = slice(0, length) if first else slice(len(history) - length, len(history))
    volume = history.bars.get("volume")
    if volume is not None and np.nansum(volume[bars]) > 0:
        return ()
    severity: Severity = "warning" if volume is None and length < CERTAIN_BARS else "error"
    days = history.dates[bars]
    where, cut = ("first", f"start={days[-1]}") if first else ("last", f"end={days[0]}")
    text = f"the {where} {length} prices are all {history.adj_close[bars][0]:g}; cut them off with universe.{cut}"
    name = "placeholder before listing" if first else "placeholder after the end"
    return mark(name, severity, days, text)


def _stale(history: PriceHistory, starts: np.ndarray, lengths: np.ndarray) -> tuple[Finding, ...]:
    """Runs of equal closes; a run of n bars holds n - 1 zero returns."""
    long = lengths >= STALE_BARS
    if not long.any():
        return ()
    worst = int(lengths.argmax())
    many = lengths[worst] >= LONG_RUN or lengths[long].sum() > 0.01 * len(history)
    severity: Severity = "warning" if many else "note"
    text = (
        f"{long.sum()} run(s) of {STALE_BARS} or more equal closes, "
        f"the longest {lengths[worst]} bars from {history.dates[starts[worst]]}"
    )
    return mark("stale run", severity, history.dates[starts[long]], text)


def _pegged(history: PriceHistory) -> tuple[Finding, ...]:
    """A series that hardly moves: its forecasts, and any skill measured on them, say little."""
    returns = log_returns(history)
    returns = returns[np.isfinite(returns)]
    if len(returns) < STALE_BARS:
        return ()
    unchanged, deviation = float(np.mean(returns == 0)), float(returns.std())
    if unchanged <= UNCHANGED and deviation >= PEGGED_SD:
        return ()
    text = (
        f"{unchanged:.0%} of the returns are zero, their standard deviation is {deviation:.3%}: pegged or hardly traded"
    )
    return mark("pegged series", "warning", history.dates[:1], text)


def _copied(history: PriceHistory) -> tuple[Finding, ...]:
    """Stretches of closes that stand in the history twice, to the last digit."""
    count = len(history) - COPIED_BARS + 1
    if count < 2:
        return ()
    bits = np.ascontiguousarray(history.adj_close).view(np.uint64)
    keys = np.zeros(count, np.uint64)
    for step in range(COPIED_BARS):
        keys = keys * _ODD + bits[step : step + count]
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return ()
    order = np.argsort(keys, kind="stable")
    twin = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    first, second = order[twin], order[twin + 1]
    windows = np.lib.stride_tricks.sliding_window_view(history.adj_close, COPIED_BARS)
    varied = np.array([len(np.unique(windows[i])) >= DISTINCT for i in second])
    first, second = first[varied], second[varied]
    if len(second) == 0:
        return ()
    second, rank = np.unique(second, return_index=True)
    first = first[rank]
    begin = np.flatnonzero(np.diff(second, prepend=-2) != 1)
    each = [f"{history.dates[second[b]]} as on {history.dates[first[b]]}" for b in begin]
    bars = len(second) + len(begin) * (COPIED_BARS - 1)
    text = f"{len(begin)} stretch(es) of closes that stand there twice, {bars} bars"
    return mark("copied bars", "warning", history.dates[second[begin]], text, each=each)
