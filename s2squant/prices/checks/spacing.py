"""Weekly and monthly bars: told by their dates, dated by the last session of their week or month."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s2squant.errors import PriceError
from s2squant.prices.calendars.exchanges import period_ends
from s2squant.prices.calendars.guess import is_currency, named_calendar
from s2squant.prices.calendars.periods import spacing, unit_of
from s2squant.prices.checks.marks import mark
from s2squant.series.history import PriceHistory

MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6
MOSTLY = 0.8


def on_periods(history: PriceHistory, *, certain: bool = False) -> PriceHistory:
    """The history on the weeks or months of its calendar where its bars are so spaced, which is told; else itself.

    A bar has the date of its period's last session. The calendar is the history's where it is `certain`, else the one
    that the ticker names, 24/5 for currencies, New York's for others. Raises PriceError for bars of two spacings, and
    for weekly bars whose weekday does not say which week they are of.
    """
    unit, base = unit_of(history.calendar)
    taken = ""
    if not unit:
        unit, other = spacing(history.dates)
        if not unit:
            return history
        if other:
            text = f"its bars are {unit} on one side of {history.dates[other]} and of another spacing on the other"
            raise PriceError(history.ticker, f"{text}; keep those of one spacing")
        named = history.calendar if certain else named_calendar(history.ticker)
        base = named or ("24/5" if is_currency(history.ticker) else "XNYS")
        taken = "" if named else f"; {base} is taken for its calendar: name another in universe.calendars"
    if unit == "weekly":
        _refuse_middays(history, base)
    calendar = f"{unit}:{base}"
    ends = period_ends(calendar, history.dates)
    last = np.append(np.diff(ends).astype(np.int64) > 0, True)
    days = history.dates[~last]
    period = unit.removesuffix("ly")
    text = f"bars are {unit}, dated by the last session of each {period}{taken}"
    told = mark("weekly or monthly", "note", history.dates[:1], text, done=f"on {calendar}")
    text = f"{len(days)} bar(s) of a {period} that has a later one" + (f", the first {days[0]}" if len(days) else "")
    return replace(
        history,
        calendar=calendar,
        dates=ends[last],
        adj_close=history.adj_close[last],
        bars={name: values[last] for name, values in history.bars.items()},
        events={name: values[last] for name, values in history.events.items()},
        findings=(*history.findings, *told, *mark("duplicate", "note", days, text, done="dropped")),
    )


def _refuse_middays(history: PriceHistory, base: str) -> None:
    """Raise PriceError where weekly bars are dated on a day that begins or ends no week."""
    weekday = (history.dates.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    counts = np.bincount(weekday, minlength=7)
    ends = (SUNDAY,) if base == "24/7" else (FRIDAY, SATURDAY)
    usual = int(counts.argmax())
    if usual in (MONDAY, *ends):
        return
    day = history.dates[weekday == usual][0]
    name = day.astype(object).strftime("%A")
    text = f"weekly bars are dated on {name}s, as {day}, which may begin or end their week"
    raise PriceError(history.ticker, f"{text}; date them by their last session, or give daily bars")
