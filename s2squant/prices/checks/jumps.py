"""Checks of large moves: faults of the data, told apart from what the market did by the evidence on each.

One rule: the log odds of a fault (`s2squant/prices/checks/evidence.py`) make a warning above 0 and an error above
CERTAIN where volume, open or a later reversal speaks too; what is left over is noted as real. Every move gets one
finding only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import SEVERITIES, Finding, Severity
from s2squant.prices.checks.evidence import (
    UNIT,
    UNIT_TOLERANCE,
    Jump,
    figure,
    has_shares,
    local_scale,
    volume_of,
    weigh,
)
from s2squant.prices.checks.factors import split_faults
from s2squant.prices.checks.marks import WILD, log_returns, mark, own_scale, runs
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

LARGE_RETURN = 0.40
SMALL = float(np.log(1.15))
"""Log size below which no move is looked at."""
SMALL_LOSS = float(np.log1p(LARGE_RETURN))
"""Log size below which no move is noted: a loss of 29 %, a gain of 40 %."""
CERTAIN = 1.5
"""Log odds from which a fault is an error."""
VERY_WILD = 7.0
"""Deviations below which no move is an error, whatever else is seen."""
HEAVY = 3.0
"""Times the usual volume from which news are the likelier reason."""
LEVEL = float(np.log(20))
LEVEL_AFTER_GAP = float(np.log(3))
GAP_DAYS = 60
HOLE_DAYS = 25
"""Days without a bar above which the return over them is no day's: fifteen sessions and their weekends; of weekly and
monthly bars so many times their spacing."""
SPIKE = 8.0
"""Deviations of a price that is far off for one bar: in a panic prices do swing back (JPM on 2009-01-20)."""
STALE = 15
"""Equal closes in a row above which the return after them is no day's either."""
LONG_SPIKE = 60
"""Bars within which a level that comes back is the same fault."""
NAMES = {
    "100x unit jump": "jump(s) by a factor of 100, as from pence to pounds",
    "recycled ticker": "break(s) of the level, as when a ticker passes to another company or a large split is missing",
    "unadjusted split": "suspected split(s) not adjusted for",
    "unexplained jump": "jump(s) that neither volume nor the days around explain",
}
MOVES = (*NAMES, "large move", "reverting outlier")
REAL: tuple[str, Severity] = ("large move", "note")


def jumps(history: PriceHistory, market: Floats | None = None) -> tuple[Finding, ...]:
    """Spikes that revert, wrong units, other companies, splits not adjusted for; then the large moves taken as real.

    `market` (T-1,) is the size of the day's move of the other tickers, where they are known: what all do is no fault.
    """
    returns = log_returns(history)
    size = np.abs(returns)
    if not (size > SMALL).any():
        return ()
    scale = own_scale(returns)
    size[split_faults(history) - 1] = 0.0  # the source tells what they are
    apart = _after_holes(history)
    size[apart & (size < LEVEL_AFTER_GAP)] = 0.0  # of many sessions, and no move of one
    looked_at = np.flatnonzero(size > max(SMALL, min(WILD * scale, np.log1p(LARGE_RETURN))))
    common = np.zeros(len(returns)) if market is None else market
    suspects = {i: float(max(local_scale(returns, i, scale), common[i])) for i in looked_at.tolist()}
    spiked, traded, findings = _spikes(history, returns, scale, suspects)
    faults: dict[tuple[str, Severity], list[Jump]] = {}
    for i, deviation in suspects.items():
        thinkable = i in traded or size[i] < WILD * deviation
        if i in spiked or (thinkable and size[i] < SMALL_LOSS):
            continue
        jump = weigh(history, float(returns[i]), i + 1, deviation, reverts=_reverts(returns, i, suspects))
        name, severity = REAL if thinkable else _verdict(history, jump)
        if name != "large move" or abs(np.expm1(jump.size)) > LARGE_RETURN:
            faults.setdefault((name, severity), []).append(jump)
    for name in (*NAMES, "large move"):
        for severity in reversed(SEVERITIES):
            findings += _told(history, name, severity, faults.get((name, severity), []))
    return findings


def _after_holes(history: PriceHistory) -> NDArray[np.bool_]:
    """Returns, (T-1,), over a stretch without bars, or with bars that all repeat one price."""
    days = np.diff(history.dates).astype(int)
    apart = days > HOLE_DAYS * max(1, int(np.median(days)))
    starts, lengths = runs(history.adj_close)
    ends = (starts + lengths)[lengths > STALE]
    apart[ends[ends < len(history)] - 1] = True
    return apart


def _verdict(history: PriceHistory, jump: Jump) -> tuple[str, Severity]:
    """The decision on a move: its finding's name and severity."""
    if jump.odds <= 0:
        return REAL
    day, _ = volume_of(history, jump.bar)
    after_gap = int((history.dates[jump.bar] - history.dates[jump.bar - 1]).astype(int)) > GAP_DAYS
    spoken = day is not None or jump.ratio == "100x" or jump.size > LEVEL or after_gap
    certain = jump.odds > CERTAIN and spoken and jump.deviations > VERY_WILD
    severity: Severity = "error" if certain else "warning"
    if jump.ratio == "100x":
        return "100x unit jump", severity
    if abs(jump.size) > (LEVEL_AFTER_GAP if after_gap else LEVEL):
        return "recycled ticker", severity
    return ("unadjusted split", severity) if jump.ratio else ("unexplained jump", "warning")


def _reverts(returns: Floats, i: int, suspects: Iterable[int]) -> bool:
    """Whether another move nearby takes this one back, or is taken back by it."""
    near = (j for j in suspects if 0 < abs(j - i) <= LONG_SPIKE)
    return any(abs(returns[i] + returns[j]) < 0.1 * abs(returns[i]) for j in near)


def _told(history: PriceHistory, name: str, severity: Severity, hits: list[Jump]) -> tuple[Finding, ...]:
    moves = [f"{np.expm1(jump.size):+.1%}" for jump in hits]
    match name:
        case "100x unit jump":
            what = ["x100" if jump.size > 0 else "/100" for jump in hits]
        case "recycled ticker":
            what = [f"x{np.exp(jump.size):.3g}" for jump in hits]
        case "unadjusted split":
            what = [jump.ratio for jump in hits]
        case _:
            what = moves
    each = [f"{history.dates[jump.bar]} {label}" for jump, label in zip(hits, what, strict=True)]
    text = f"{len(hits)} {NAMES.get(name, f'return(s) above {LARGE_RETURN:.0%}')}"
    days = history.dates[np.array([jump.bar for jump in hits], np.intp)]
    done = "kept as real" if severity == "note" else ""
    return mark(name, severity, days, text, each=each, done=done, why=[jump.reason for jump in hits])


@dataclass(frozen=True)
class _Spike:
    bar: int
    size: float
    severity: Severity
    reason: str


def _spikes(
    history: PriceHistory, returns: Floats, scale: float, suspects: dict[int, float]
) -> tuple[set[int], set[int], tuple[Finding, ...]]:
    """A price far off for one bar, back on the next: returns of spikes, returns of those that heavy volume explains."""
    hits: list[_Spike] = []
    traded: set[int] = set()
    for i, deviation in suspects.items():
        if i + 1 >= len(returns) or (hits and hits[-1].bar == i):
            continue
        there, back = float(returns[i]), float(returns[i + 1])
        slack = min(0.25 * abs(there), max(0.1 * abs(there), 3 * scale))
        deviations = abs(there) / deviation
        unit = abs(abs(there) - UNIT) < 4 * UNIT_TOLERANCE
        if deviations < SPIKE or unit or not abs(there + back) < slack:
            continue
        day, _ = volume_of(history, i + 1)
        if day is not None and day > HEAVY and abs(there) < np.log(3):
            traded |= {i, i + 1}
            continue
        large = abs(there) > np.log1p(LARGE_RETURN)
        certain = (large and day is not None and day <= HEAVY and has_shares(history)) or abs(there) > LEVEL
        severity: Severity = "error" if certain else "warning" if large or day is not None else "note"
        volume = "" if day is None else f", on {figure(day)} times the usual volume"
        hits.append(_Spike(i + 1, there, severity, f"{deviations:.0f} deviations of its own{volume}"))
    findings: tuple[Finding, ...] = ()
    for severity in reversed(SEVERITIES):
        some = [hit for hit in hits if hit.severity == severity]
        each = [f"{history.dates[hit.bar]} {np.expm1(hit.size):+.1%}" for hit in some]
        days = history.dates[np.array([hit.bar for hit in some], np.intp)]
        text = f"{len(some)} price(s) far off for one bar and back on the next"
        findings += mark("reverting outlier", severity, days, text, each=each, why=[hit.reason for hit in some])
    return {j for hit in hits for j in (hit.bar - 1, hit.bar)}, traded, findings
