"""Intervals of bars, and the market codes that carry them: 1h:XNYS, weekly:XNYS, XNYS for daily bars."""

from __future__ import annotations

import re
from typing import Literal

Interval = Literal["1d", "1h", "30m", "15m", "5m", "1m", "1wk", "1mo"]

SECONDS: dict[str, int] = {"1h": 3600, "30m": 1800, "15m": 900, "5m": 300, "1m": 60}
"""Length of the intervals below a day."""
Asked = Literal["", "1d", "1h", "30m", "15m", "5m", "1m", "1wk", "1mo"]
"""An interval asked for; empty: that of the bars."""
PERIODS: dict[str, str] = {"weekly": "1wk", "monthly": "1mo"}
COARSENESS: tuple[str, ...] = ("1m", "5m", "15m", "30m", "1h", "1d", "1wk", "1mo")
"""From the finest to the coarsest."""
_INTRADAY = re.compile(r"(?P<interval>1h|30m|15m|5m|1m)(?P<clock>@clock)?:(?P<base>.+)")


def periods_of(interval: str, calendar: str) -> str:
    """The code of a market of weeks or months of a calendar's sessions; the calendar itself for other intervals."""
    unit = {length: unit for unit, length in PERIODS.items()}.get(interval, "")
    return f"{unit}:{calendar}" if unit and interval_of(calendar) == "1d" else calendar


def intraday(market: str) -> tuple[str, str, bool] | None:
    """The interval, the exchange's calendar and whether bars begin on the clock's whole ones, of a market of bars
    within the day; None elsewhere. On the clock, New York's hours begin at 9:00, 10:00; else at 9:30, 10:30.
    """
    parts = _INTRADAY.fullmatch(market)
    return (parts["interval"], parts["base"], parts["clock"] is not None) if parts else None


def market_of(interval: str, calendar: str, *, clock: bool = False) -> str:
    """The code of a market of bars within the day."""
    return f"{interval}{'@clock' if clock else ''}:{calendar}"


def interval_of(market: str) -> str:
    """The interval of a market's bars."""
    within = intraday(market)
    return within[0] if within else PERIODS.get(market.partition(":")[0], "1d")


def calendar_of(market: str) -> str:
    """The calendar whose sessions a market's bars are made of: XNYS of 1h:XNYS; itself for daily bars and longer."""
    within = intraday(market)
    return within[1] if within else market


def unit_of_dates(market: str) -> str:
    """The unit of a market's dates: days, or seconds of UTC where its bars are shorter."""
    return "s" if intraday(market) else "D"
