"""Station 1: real prices from a source, checked, as one PriceHistory a ticker."""

from s2squant.prices.calendars import next_sessions
from s2squant.prices.checks import check
from s2squant.prices.continued import ContinuedSource
from s2squant.prices.frames import Named
from s2squant.prices.guess import guess_calendar
from s2squant.prices.lists import read_universe
from s2squant.prices.memory import FrameSource
from s2squant.prices.port import Source
from s2squant.prices.universe import (
    Loaded,
    Progress,
    inspect_ticker,
    load_from,
    load_ticker,
    load_universe,
    open_source,
)

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
