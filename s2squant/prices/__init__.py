"""Station 1: real prices from a source, checked, as one PriceHistory a ticker."""

from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.calendars.guess import guess_calendar
from s2squant.prices.checks.every import check
from s2squant.prices.port import Source
from s2squant.prices.sources.continued import ContinuedSource
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.sources.table import Named
from s2squant.prices.universe import (
    Loaded,
    Progress,
    inspect_ticker,
    load_from,
    load_ticker,
    load_universe,
    open_source,
)
from s2squant.prices.universe_file import read_universe

__all__ = [
    "ContinuedSource",
    "FrameSource",
    "Loaded",
    "Named",
    "Progress",
    "Source",
    "check",
    "guess_calendar",
    "inspect_ticker",
    "load_from",
    "load_ticker",
    "load_universe",
    "next_sessions",
    "open_source",
    "read_universe",
]
