"""Checks of the dates: sessions missing and extra, gaps, impossible dates, too few bars, an unfinished bar."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from s2squant.errors import Finding, Severity
from s2squant.prices.calendars.exchanges import is_among, is_settled, sessions_between
from s2squant.prices.calendars.guess import ALONE, why_alone
from s2squant.prices.calendars.periods import Unit, unit_of
from s2squant.prices.checks.marks import mark
from s2squant.series.history import PriceHistory

GAP_DAYS = 10
WEEK = 5
FEW = 0.01
HOLES = 0.02
"""Share of sessions without a bar from which another calendar is suggested; of bars on closed days it is FEW."""
YEAR: dict[Unit, int] = {"": 250, "weekly": 52, "monthly": 12}
"""Bars below which a history is called short, by their spacing."""
AHEAD = timedelta(hours=14)
"""The furthest zone east of Greenwich: there it may already be tomorrow."""

OLDEST: np.datetime64 = np.datetime64("1792-01-01", "D")
"""New York's exchange was founded in that year; London's prices of before then are few."""


def sessions(history: PriceHistory) -> tuple[Finding, ...]:
    """Sessions of the calendar without a bar, and bars on days that are none; warnings from one in a hundred on.

    A calendar that was made for this ticker alone, as none fitted, is a warning.
    """
    if history.calendar.startswith(ALONE):
        why = why_alone(history.ticker, history.dates) or "its exchange is not known"
        text = f"{why}; forecast in a market of its own: name its calendar in universe.calendars"
        return mark("unknown calendar", "warning", history.dates[:1], text)
    known = sessions_between(history.calendar, history.dates[0], history.dates[-1])
    if len(known) == 0:
        return ()
    inside = (history.dates >= known[0]) & (history.dates <= known[-1])
    missing = known[~is_among(known, history.dates)]
    extra = history.dates[inside & ~is_among(history.dates, known)]
    doubtful = len(extra) > FEW * len(known) or len(missing) > HOLES * len(known)
    wrong = "; another calendar? name it in universe.calendars" if doubtful else ""
    return (
        *_count("missing session", f"session(s) of {history.calendar} without a bar", missing, len(known), wrong),
        *_count("extra session", f"bar(s) on days that are no session of {history.calendar}", extra, len(known), wrong),
    )


def _count(name: str, text: str, days: np.ndarray, total: int, more: str) -> tuple[Finding, ...]:
    severity: Severity = "warning" if len(days) > FEW * total else "note"
    return mark(name, severity, days, f"{len(days)} {text}{more}", each=[str(day) for day in days])


def gaps(history: PriceHistory) -> tuple[Finding, ...]:
    """Stretches of more than ten days, and of more than a week of sessions, without any bar: holidays are none."""
    days = np.diff(history.dates).astype(int)
    wide = [i for i in np.flatnonzero(days > GAP_DAYS).tolist() if sessions_inside(history, i) > WEEK]
    each = [f"{history.dates[i]} {days[i]} days" for i in wide]
    apart = f" (no return or window is taken across {len(history.resumed)} of them)" if history.resumed else ""
    text = f"{len(wide)} gap(s) of more than {GAP_DAYS} days{apart}"
    return mark("gap", "warning", history.dates[wide], text, each=each)


def sessions_inside(history: PriceHistory, bar: int) -> int:
    """Sessions between a bar and the next; weekdays where the calendar does not know."""
    first, last = history.dates[bar] + 1, history.dates[bar + 1] - 1
    known = sessions_between(history.calendar, first, last)
    spanned = len(sessions_between(history.calendar, first - 30, first)) > 0
    return len(known) if spanned else int(np.busday_count(first, last + 1))


def future(history: PriceHistory, now: datetime) -> tuple[Finding, ...]:
    """Bars dated after today, wherever on earth today is."""
    days = history.dates[history.dates > np.datetime64((now + AHEAD).date(), "D")]
    text = f"{len(days)} bar(s) dated in the future, the first {days[0]}" if len(days) else ""
    return mark("date in the future", "error", days, text)


def long_ago(history: PriceHistory) -> tuple[Finding, ...]:
    """Bars dated before any exchange of today was there: more often a mistake of an export than a price."""
    days = history.dates[history.dates < OLDEST]
    text = f"{len(days)} bar(s) dated before {OLDEST.astype(object).year}, the first {days[0]}" if len(days) else ""
    return mark("date long ago", "error", days, text)


def too_short(history: PriceHistory) -> tuple[Finding, ...]:
    """Less than a year of bars; whether a backtest has room is for its plan to say."""
    if len(history) >= YEAR[unit_of(history.calendar)[0]]:
        return ()
    text = f"only {len(history)} bars, {history.dates[0]} to {history.dates[-1]}: less than a year"
    return mark("short history", "warning", history.dates[:1], text)


def without_unfinished(history: PriceHistory, now: datetime) -> PriceHistory:
    """The history without a last bar whose session is not over (its close and half an hour), which is noted.

    Bars dated in the future are left for the check to report.
    """
    last = history.dates[-1]
    to_come = len(future(history, now)) > 0 and not unit_of(history.calendar)[0]  # a week's bar has its end's date
    if len(history) < 3 or to_come or is_settled(history.calendar, last, now):
        return history
    dropped = mark(
        "unfinished bar", "note", history.dates[-1:], f"the unfinished bar of {last} dropped", done="dropped"
    )
    return replace(history.between(None, history.dates[-2]), findings=(*history.findings, *dropped))
