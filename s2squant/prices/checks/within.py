"""Checks of bars within the day: scheduled bars that are missing, stretches without any, prices that spring back.

What concerns moves between sessions (splits, units, dividends, stale prices) is looked for in the sessions that the
bars make.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from s2squant.errors import Finding
from s2squant.prices.calendars.exchanges import is_among
from s2squant.prices.calendars.grid import bar_ends, bars_between
from s2squant.prices.checks.bars import inconsistent, magnitudes, no_volume, non_positive
from s2squant.prices.checks.factors import bad_factors
from s2squant.prices.checks.flats import flats
from s2squant.prices.checks.jumps import jumps
from s2squant.prices.checks.marks import log_returns, mark, own_scale
from s2squant.prices.checks.spans import gaps, sessions
from s2squant.series.history import PriceHistory

FEW = 0.01
SHORT = 1000
"""Bars below which a history is called short."""
SEGMENT = 15
"""Scheduled bars without any from which on a new segment begins, a session's at least."""
SPRING, BACK = 15.0, 0.1
"""Deviations of a move that the next bar takes back but for this share."""


def check_within(history: PriceHistory, sessions_of: PriceHistory, now: datetime | None) -> tuple[Finding, ...]:
    """Every finding in a history of bars within the day and in the sessions that they make, nothing changed."""
    with np.errstate(all="ignore"):
        return (
            *non_positive(history),
            *magnitudes(history),
            *_future(history, now),
            *inconsistent(history),
            *no_volume(history),
            *_missing(history),
            *_springs(history),
            *(jumps(sessions_of) if len(sessions_of) > 2 else ()),
            *bad_factors(sessions_of),
            *flats(sessions_of),
            *sessions(sessions_of),
            *gaps(sessions_of),
            *_short(history),
        )


def in_segments_within(history: PriceHistory) -> PriceHistory:
    """The history with the first bar of each segment: one begins after a session's scheduled bars without any, 15 at
    least.
    """
    if history.slots is None:
        return history
    skipped = np.diff(history.slots.place_R) - 1
    after = np.flatnonzero(skipped > max(SEGMENT, history.slots.count)) + 1
    return replace(history, resumed=tuple(map(str, history.dates[after]))) if len(after) else history


def without_unfinished_within(history: PriceHistory, now: datetime) -> PriceHistory:
    """The history without last bars that have not ended, which is told."""
    moment = np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s")
    young = bar_ends(history.calendar, history.dates) > moment
    coming = history.dates > moment
    rows = young & ~coming
    if not rows.any() or (~rows).sum() < 2 or coming.any():
        return history
    first = history.dates[rows][0]
    told = mark("unfinished bar", "note", history.dates[rows], f"the unfinished bar of {first} dropped", done="dropped")
    kept = history.between(None, history.dates[~rows][-1])
    return replace(kept, findings=(*history.findings, *told))


def _future(history: PriceHistory, now: datetime | None) -> tuple[Finding, ...]:
    if now is None:
        return ()
    late = history.dates[history.dates > np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s")]
    text = f"{len(late)} bar(s) dated in the future, the first {late[0]}" if len(late) else ""
    return mark("date in the future", "error", late, text)


def _missing(history: PriceHistory) -> tuple[Finding, ...]:
    """Scheduled bars that are not there."""
    known = bars_between(history.calendar, history.dates[0], history.dates[-1])
    absent = known[~is_among(known, history.dates)]
    if len(absent) == 0:
        return ()
    share = len(absent) / len(known)
    text = f"{len(absent)} of {len(known)} scheduled bars are missing, the first {absent[0]}"
    return mark("missing bar", "warning" if share > FEW else "note", absent, text)


def _springs(history: PriceHistory) -> tuple[Finding, ...]:
    """Prices far off for one bar and back on the next: late prints, slips of a digit."""
    moves = log_returns(history)
    scale = own_scale(moves)
    there, back = moves[:-1], moves[1:]
    off = (np.abs(there) > SPRING * scale) & (np.abs(there + back) < BACK * np.abs(there))
    at = np.flatnonzero(off) + 1
    each = [f"{history.dates[i]} {np.expm1(moves[i - 1]):+.1%}" for i in at]
    text = f"{len(at)} price(s) far off for one bar and back on the next"
    return mark("reverting outlier", "warning", history.dates[at], text, each=each)


def _short(history: PriceHistory) -> tuple[Finding, ...]:
    if len(history) >= SHORT:
        return ()
    text = f"only {len(history)} bars, {history.dates[0]} to {history.dates[-1]}"
    return mark("short history", "warning", history.dates[:1], text)
