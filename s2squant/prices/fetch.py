"""Fetching into a price store: live sources span by span, the others whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import numpy as np

from s2squant.config.experiment import Universe
from s2squant.config.fetching import Fetching
from s2squant.config.intervals import SECONDS, calendar_of
from s2squant.errors import PriceError, SourceError
from s2squant.prices.port import Source
from s2squant.prices.sources.yahoo import Yahoo
from s2squant.prices.store.bars import GIVEN, About, Answer, Bars, columns_of
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.store.refresh import Refresher, Update
from s2squant.prices.universe import open_source


@dataclass(frozen=True)
class FetchRequest:
    """Tickers, source, store and span of a fetch; checked by `open_refresher`."""

    tickers: tuple[str, ...]
    """None: the source's default universe."""
    store: Path
    source: str = "yfinance"
    interval: str = "1d"
    start: date | None = None
    anew: bool = False
    """Fetch everything again and take it, whatever it changes."""
    spec: Fetching = field(default_factory=Fetching)
    universe: Universe = field(default_factory=Universe)
    """What it says of stamps and calendars of files."""


FetchRunner = Callable[[FetchRequest, Callable[[Update], None]], None]
"""Carries a request out and reports every ticker as it is done."""


class WholeHistories:
    """A Source as a Fetcher: each ticker's whole history at once."""

    live = False

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source

    def default_universe(self) -> tuple[str, ...]:
        return self._source.default_universe()

    def check(self, tickers: Sequence[str]) -> None:
        self._source.check(tickers)

    def check_span(self, interval: str, _start: date | None, /) -> None:
        if interval not in (*SECONDS, "1d"):
            raise SourceError(
                f"interval {interval!r} is none of {', '.join((*SECONDS, '1d'))}; longer bars are made of 1d"
            )

    def fetch(self, ticker: str, interval: str, start: datetime | None, _known: About | None, /) -> Answer:
        """Every bar from `start`, and what was repaired in reading; the adjusted close is the source's own."""
        history = self._source.history(ticker)
        if history.interval != interval:
            own = history.interval
            text = f"its bars are {own}, not {interval}; fetch --interval {own}, or universe.interval={own}"
            raise PriceError(ticker, text)
        given = {"close": history.adj_close, **history.bars, **history.events, GIVEN: history.adj_close}
        columns = columns_of(given, len(history))
        bars = Bars(history.dates.astype("datetime64[s]"), columns)
        if start is not None:
            bars = bars.where(bars.times >= np.datetime64(start.replace(tzinfo=None), "s"))
        if len(bars) == 0:
            raise PriceError(ticker, f"no bars from {start:%Y-%m-%d}; it ends on {history.dates[-1]}")
        notes = (*(finding.text for finding in history.findings), *history.notes)
        return Answer(About(ticker, interval, self.name, calendar_of(history.calendar)), bars, notes)

    def stop(self) -> None:
        """Nothing: it waits for nobody."""


def open_refresher(
    request: FetchRequest, *, clock: Callable[[], datetime] | None = None
) -> tuple[Refresher, tuple[str, ...]]:
    """The refresher of a request, and the tickers to update; `clock` gives the time, None the system's.

    Raises SourceError, before anything is asked for, where source, tickers, interval or start cannot be.
    """
    live = request.source == "yfinance"
    source = Yahoo(request.spec, clock=clock) if live else WholeHistories(open_source(request.source, request.universe))
    tickers = request.tickers or source.default_universe()
    source.check(tickers)
    source.check_span(request.interval, request.start)
    return Refresher(PriceStore(request.store), source, request.spec, clock=clock), tuple(dict.fromkeys(tickers))


def side_by_side(request: FetchRequest, on_done: Callable[[Update], None]) -> None:
    """Fetch in threads, as many as may ask the source at once."""
    refresher, tickers = open_refresher(request)
    with closing(refresher.update_all(tickers, request.interval, request.start, anew=request.anew)) as updates:
        for update in updates:
            on_done(update)
