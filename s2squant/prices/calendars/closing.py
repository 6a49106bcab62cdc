"""Schedules after a market's regular close, on the exchange's own clock, so that summer time is right."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
import pandas as pd

from s2squant.config.intervals import SECONDS, intraday
from s2squant.prices.calendars.exchanges import FRANKFURT, PUBLISHED, exchange_sessions, find_exchange, zone_of
from s2squant.prices.calendars.grid import FX_ZONE, bar_grid
from s2squant.prices.calendars.periods import unit_of

AFTER_CLOSE = timedelta(minutes=90)
"""From the regular close to the nightly: the bar is final half an hour after the close, and Yahoo is often late."""

ANY_DAY = date(2000, 1, 1)

BAR_WAIT = 20
"""Parts of a bar of which one is waited for after its end, in whole minutes: sources are a little late."""
USUAL = 0.5
"""Share of all weeks in which a time has to end a bar to be scheduled."""
WEEKS = 52


@dataclass(frozen=True)
class Schedule:
    """A cron line and the time zone it is read in."""

    cron: str
    timezone: str


def after_close(calendar: str, wait: timedelta = AFTER_CLOSE) -> Schedule:
    """The schedule that runs `wait` after each regular session of a calendar; holidays and half days are not in it.

    24/7, 24/5 and codes nobody knows end their day at midnight UTC; ECB when the rates are published.
    """
    exchange = find_exchange(calendar)
    ends_next_day = False
    if exchange is not None:
        mask, zone, close = str(exchange.weekmask), str(exchange.tz), exchange.close_times[-1][1]
    elif calendar == "ECB":
        mask, zone, close = "1111100", str(FRANKFURT), PUBLISHED
    else:
        mask, zone, close, ends_next_day = "1111111" if calendar == "24/7" else "1111100", "UTC", time(0), True
    moment = datetime.combine(ANY_DAY, close) + wait
    later = (moment.date() - ANY_DAY).days + ends_next_day
    days = sorted({(day + later) % 7 + 1 for day, open_ in enumerate(mask) if open_ == "1"})  # cron: Monday is 1
    return Schedule(f"{moment.minute} {moment.hour} * * {_days(days)}", zone)


def schedules_after(market: str) -> tuple[Schedule, ...]:
    """The schedules that run after every bar of a market: `after_close`, or those of the ends of bars within the day.

    A half day's last bar, whose end is not in them, is taken up by the next.
    """
    within = intraday(market)
    if within is None:
        return (after_close(unit_of(market)[1]),)  # a week's or a month's last session is found by the run
    interval, calendar, _ = within
    zone = str(zone_of(calendar)) if calendar != "24/5" else FX_ZONE
    last = exchange_sessions(calendar)[-1] if find_exchange(calendar) is not None else np.datetime64("2024-12-31", "D")
    wait = timedelta(minutes=SECONDS[interval] // 60 // BAR_WAIT)
    ends = pd.DatetimeIndex(bar_grid(market, last - 7 * WEEKS, last).ends).tz_localize("UTC").tz_convert(zone) + wait
    often = Counter(zip(ends.day_of_week.tolist(), ends.hour.tolist(), ends.minute.tolist(), strict=True))
    hours: dict[tuple[int, int], set[int]] = defaultdict(set)
    for (weekday, hour, minute), count in often.items():
        if count >= USUAL * WEEKS:
            hours[hour, minute].add(weekday + 1)
    lines: dict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    for (hour, minute), days in sorted(hours.items()):
        lines[minute, tuple(sorted(days))].append(hour)
    return tuple(
        Schedule(f"{minute} {_hours(each)} * * {_days(list(days))}", zone) for (minute, days), each in lines.items()
    )


def _hours(hours: list[int]) -> str:
    """Hours as cron writes them; a run of hours as a range."""
    if len(hours) == 24:
        return "*"
    whole = len(hours) > 2 and hours == list(range(hours[0], hours[-1] + 1))
    return f"{hours[0]}-{hours[-1]}" if whole else ",".join(map(str, hours))


def _days(days: list[int]) -> str:
    """Days of the week as cron writes them; a run of days as a range, Sunday as 0."""
    if len(days) == 7:
        return "*"
    if 7 not in days and days == list(range(days[0], days[-1] + 1)):
        return f"{days[0]}-{days[-1]}"
    return ",".join(str(day % 7) for day in sorted(days, key=lambda day: day % 7))
