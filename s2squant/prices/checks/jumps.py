"""Checks of large moves: what is an error of the data, and what really happened.

A real crash comes with many times the usual volume and does not turn back the next day; a split only multiplies the
number of shares, a wrong unit is a factor of a hundred, another company's prices are not comparable at all.
Every large move gets one finding only; what is left over is noted as real.
"""

from __future__ import annotations

import numpy as np

from s2squant.errors import Finding, Severity
from s2squant.prices.checks.marks import busy, log_returns, mark
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

LARGE_RETURN = 0.40
SPLITS = (2, 3, 4, 5, 7, 8, 10, 15, 20)
SPLIT_TOLERANCE = 0.03
"""How far, in logs, the overnight move may be from a split's ratio."""
SPLIT_DAY = 0.12
"""How far the day's whole move may be from it, unless the series is wilder than that."""
QUIET = 1.5
"""Times the usual volume, up to which a day is quiet."""
UNIT = float(np.log(100))
UNIT_TOLERANCE = 0.20
"""How far, in logs, a move may be from a factor of a hundred."""
OTHER_LEVEL = float(np.log(20))
OTHER_LEVEL_AFTER_GAP = float(np.log(3))
GAP_DAYS = 60
SPIKE = float(np.log(1.4))
SPIKE_SD = 8.0
"""How many standard deviations of the twenty returns before: in a panic prices do swing back (JPM on 2009-01-20)."""
CERTAIN_SPIKE = float(np.log(3))


def jumps(history: PriceHistory) -> tuple[Finding, ...]:
    """Unit jumps, other companies, spikes that revert, splits not adjusted for; then the large moves taken as real."""
    returns = log_returns(history)
    size = np.abs(returns)
    scale = _robust_deviation(returns)
    suspects = np.flatnonzero(size > min(SPIKE, np.log1p(LARGE_RETURN)))
    left = set(suspects.tolist())
    findings: list[Finding] = []
    for rule in (_units, _spikes, _others, _splits):
        bars, more = rule(history, returns, scale, sorted(left))
        left -= bars
        findings += more
    return (*findings, *_large(history, returns, sorted(left)))


def _robust_deviation(returns: Floats) -> float:
    """Robust standard deviation of the returns (1.4826 MAD)."""
    known = returns[np.isfinite(returns)]
    return 1.4826 * float(np.median(np.abs(known - np.median(known)))) if len(known) else 0.0


Hits = tuple[set[int], tuple[Finding, ...]]


def _units(history: PriceHistory, returns: Floats, _scale: float, left: list[int]) -> Hits:
    """Jumps by a factor of a hundred: pence for pounds, cents for dollars."""
    hits = [i for i in left if abs(abs(returns[i]) - UNIT) < UNIT_TOLERANCE]
    each = [f"{history.dates[i + 1]} {'x' if returns[i] > 0 else '/'}100" for i in hits]
    text = f"{len(hits)} jump(s) by a factor of 100, as from pence to pounds"
    return set(hits), mark("100x unit jump", "error", _days(history, hits), text, each=each)


def _spikes(history: PriceHistory, returns: Floats, scale: float, left: list[int]) -> Hits:
    """A price far off for one bar, back on the next; not where the volume says that something happened."""
    hits: list[int] = []
    certain: dict[int, bool] = {}
    for i in left:
        if i + 1 >= len(returns) or (hits and hits[-1] == i - 1):
            continue
        there, back = returns[i], returns[i + 1]
        slack = min(0.25 * abs(there), max(0.1 * abs(there), 3 * scale))
        before = returns[max(0, i - 20) : i]
        wild = float(np.nanstd(before)) if np.isfinite(before).any() else 0.0
        if abs(there) < max(SPIKE, SPIKE_SD * max(scale, wild)) or not abs(there + back) < slack:
            continue
        traded = busy(history, i + 1)
        if traded and abs(there) < CERTAIN_SPIKE:
            continue
        hits.append(i)
        certain[i] = traded is False or abs(there) > CERTAIN_SPIKE
    severity: Severity = "error" if any(certain.values()) else "warning"
    each = [f"{history.dates[i + 1]} {np.expm1(returns[i]):+.1%}" for i in hits]
    text = f"{len(hits)} price(s) far off for one bar and back on the next"
    bars = {j for i in hits for j in (i, i + 1)}
    return bars, mark("reverting outlier", severity, _days(history, hits), text, each=each)


def _others(history: PriceHistory, returns: Floats, _scale: float, left: list[int]) -> Hits:
    """A break of the level as between two companies that had the same ticker."""
    gap = np.diff(history.dates).astype(int) > GAP_DAYS
    hits = [i for i in left if abs(returns[i]) > (OTHER_LEVEL_AFTER_GAP if gap[i] else OTHER_LEVEL)]
    each = [f"{history.dates[i + 1]} x{np.exp(returns[i]):.3g}" for i in hits]
    text = f"{len(hits)} break(s) of the level, as when a ticker passes to another company or a large split is missing"
    return set(hits), mark("recycled ticker", "error", _days(history, hits), text, each=each)


def _splits(history: PriceHistory, returns: Floats, scale: float, left: list[int]) -> Hits:
    """Overnight jumps by a whole factor that the adjusted close still shows, on a day without extraordinary volume.

    An error where the volume agrees, a warning where there is none to ask.
    """
    bars = history.bars
    overnight, open_known = returns.copy(), np.zeros(len(returns), bool)
    if {"open", "close"} <= set(bars):
        with np.errstate(divide="ignore", invalid="ignore"):
            opened = np.log(bars["open"][1:] / bars["close"][:-1])
        open_known = np.isfinite(opened)
        overnight = np.where(open_known, opened, returns)
    hits: list[int] = []
    each: list[str] = []
    certain = False
    for i in left:
        factor = min(SPLITS, key=lambda n: abs(np.log(n) - abs(overnight[i])))
        night = abs(abs(overnight[i]) - np.log(factor))
        day = abs(returns[i] - np.sign(overnight[i]) * np.log(factor))
        shares = factor if returns[i] < 0 else 1.0
        # without an open, only a quiet volume tells a split on a lively day from news
        quiet = not open_known[i] and busy(history, i + 1, shares, QUIET) is False
        if night >= (SPLIT_DAY if quiet else SPLIT_TOLERANCE) or day >= max(SPLIT_DAY, 4 * scale):
            continue
        traded = busy(history, i + 1, shares)
        if traded:
            continue
        hits.append(i)
        each.append(f"{history.dates[i + 1]} {f'{factor}:1' if returns[i] < 0 else f'1:{factor}'}")
        certain = certain or traded is False
    text = f"{len(hits)} suspected split(s) not adjusted for"
    finding = mark("unadjusted split", "error" if certain else "warning", _days(history, hits), text, each=each)
    return set(hits), finding


def _large(history: PriceHistory, returns: Floats, left: list[int]) -> tuple[Finding, ...]:
    moves = np.expm1(returns)
    hits = [i for i in left if abs(moves[i]) > LARGE_RETURN]
    each = [f"{history.dates[i + 1]} {moves[i]:+.1%}" for i in hits]
    text = f"{len(hits)} return(s) above {LARGE_RETURN:.0%}"
    return mark("large move", "note", _days(history, hits), text, each=each, done="kept as real")


def _days(history: PriceHistory, hits: list[int]) -> np.ndarray:
    return history.dates[np.array(hits, np.intp) + 1]
