"""Schedules after a market's regular close, on the exchange's own clock, so that summer time is right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from s2squant.prices.calendars.exchanges import FRANKFURT, PUBLISHED, find_exchange

AFTER_CLOSE = timedelta(minutes=90)
"""From the regular close to the nightly: the bar is final half an hour after the close, and Yahoo is often late."""

ANY_DAY = date(2000, 1, 1)


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


def _days(days: list[int]) -> str:
    """Days of the week as cron writes them; a run of days as a range, Sunday as 0."""
    if len(days) == 7:
        return "*"
    if 7 not in days and days == list(range(days[0], days[-1] + 1)):
        return f"{days[0]}-{days[-1]}"
    return ",".join(str(day % 7) for day in sorted(days, key=lambda day: day % 7))
