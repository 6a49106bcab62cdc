"""Station 1: real prices from a source, checked, as one PriceHistory a ticker."""

from s2squant.prices.calendars import guess_calendar, next_sessions
from s2squant.prices.port import Source
from s2squant.prices.universe import Loaded, Progress, load_ticker, load_universe, open_source

__all__ = [
    "Loaded",
    "Progress",
    "Source",
    "guess_calendar",
    "load_ticker",
    "load_universe",
    "next_sessions",
    "open_source",
]
