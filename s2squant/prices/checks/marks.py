"""Findings of checks, and the returns, volumes and runs that checks share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import Finding, Severity, first_of
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory

SHOWN = 5
"""Dates named in a finding's text; its rows hold all."""

WILD = 5.0
"""Deviations, of the ticker's own scale and of the days around, below which a move is thinkable."""
TAIL = 0.005
"""Share of the largest returns that tells how wild a ticker is."""

DONE: dict[Severity, str] = {"note": "kept", "warning": "kept", "error": "quarantined"}


def mark(
    name: str,
    severity: Severity,
    rows: Dates,
    text: str,
    *,
    each: Sequence[str] = (),
    done: str = "",
    why: Sequence[str] = (),
) -> tuple[Finding, ...]:
    """One finding, or none without rows; the first five of `each` are listed after the text, `why` is kept beside."""
    if len(rows) == 0:
        return ()
    listed = f"{text}: {listing(each)}" if each else text
    done = done or DONE[severity]
    return (Finding(name, severity, len(rows), tuple(map(str, rows)), done, listed, tuple(why[:SHOWN])),)


def listing(lines: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    return first_of(lines, SHOWN)


def log_returns(history: PriceHistory) -> Floats:
    """Log returns from bar to bar, (T-1,); NaN beside a price that has no logarithm."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(history.adj_close > 0, np.log(history.adj_close), np.nan)
        return np.diff(logs)


def own_scale(returns: Floats) -> float:
    """Robust deviation of a ticker's returns: 1.4826 MAD, or as its tail has it where that is longer than a t3's."""
    sizes = np.abs(returns[np.isfinite(returns)])
    if len(sizes) == 0:
        return 0.0
    middle, rank = len(sizes) // 2, max(3, int(TAIL * len(sizes)))
    ordered = np.partition(sizes, (middle, len(sizes) - rank) if len(sizes) > 10 * rank else middle)
    tail = float(ordered[-rank]) / 6.6 if len(sizes) > 10 * rank else 0.0
    return max(1.4826 * float(ordered[middle]), tail)


def runs(values: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each run of equal values starts, and how many it holds."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(values) != 0) + 1, [len(values)]])
    return edges[:-1], np.diff(edges)
