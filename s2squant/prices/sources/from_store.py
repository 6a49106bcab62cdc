"""Sources that read the price store: `store:DIR` as it stands, `yfinance` brought up to date first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from s2squant.config.experiment import Universe
from s2squant.config.fetching import Fetching
from s2squant.config.intervals import PERIODS, SECONDS
from s2squant.errors import SourceError
from s2squant.prices.calendars.grid import with_slots
from s2squant.prices.port import ListedSource
from s2squant.prices.sources.moments import Clock, placed
from s2squant.prices.sources.stamps import Stamps
from s2squant.prices.sources.yahoo import Yahoo
from s2squant.prices.store.bars import Bars, history_of
from s2squant.prices.store.price_store import PriceStore, Stored
from s2squant.prices.store.refresh import Refresher
from s2squant.series.history import PriceHistory


class StoreSource(ListedSource):
    """The bars of a price store at one interval, the latest or those of a moment; nothing is fetched."""

    def __init__(self, folder: Path, *, as_of: datetime | None = None, interval: str = "1d") -> None:
        self._store, self._as_of, self._interval = PriceStore(folder), as_of, interval
        super().__init__(f"store:{folder}", self._store.tickers(interval))
        if not self._tickers:
            others = [other for other in (*SECONDS, "1d") if self._store.tickers(other)]
            if others:
                text = f"it holds bars of {', '.join(others)}, none of {interval}"
                raise SourceError(f"{self.name}: {text}; set universe.interval={others[0]}, or fetch the others")
            raise SourceError(f"{self.name}: the folder is no price store or an empty one; fill it with s2squant fetch")

    def history(self, ticker: str) -> PriceHistory:
        """The ticker's bars as stored."""
        self.check([ticker])
        return as_history(self._store.read(ticker, self._interval, as_of=self._as_of))


class LiveSource:
    """Yahoo's bars of one interval, through the store: fetched as far as they are missing, then read from there.

    With `as_of` the bars as stored then, and nothing is fetched. A ticker that cannot be updated is read as stored,
    with a note that says so.
    """

    name = "yfinance"

    def __init__(
        self,
        folder: Path,
        *,
        as_of: datetime | None = None,
        spec: Fetching | None = None,
        yahoo: Yahoo | None = None,
        interval: str = "1d",
    ) -> None:
        spec = spec or Fetching()
        self._yahoo, self._as_of = yahoo or Yahoo(spec), as_of
        self._interval = interval
        self._store = PriceStore(folder)
        self._refresher = Refresher(self._store, self._yahoo, spec)

    def tickers(self) -> tuple[str, ...]:
        return ()

    def default_universe(self) -> tuple[str, ...]:
        return self._yahoo.default_universe()

    def check(self, tickers: Sequence[str]) -> None:
        self._yahoo.check(tickers)

    def history(self, ticker: str) -> PriceHistory:
        self.check([ticker])
        if self._as_of is not None:
            return as_history(self._store.read(ticker, self._interval, as_of=self._as_of))
        update = self._refresher.update(ticker, self._interval)
        if update.error is None:
            assert update.stored is not None, "what did not fail is stored"
            return as_history(update.stored, update.notes)
        if update.stored is None:
            raise update.error
        return as_history(update.stored, (f"not updated, read as stored: {update.error.reason}",))


def stored_at(interval: str) -> str:
    """The interval at which bars are fetched and stored: weeks and months are made of days."""
    return "1d" if interval in ("", *PERIODS.values()) else interval


def pinned(universe: Universe, histories: Iterable[PriceHistory]) -> Universe:
    """The universe that reads the same bars again: from a price store as of the latest version among them."""
    if universe.as_of is not None or universe.source.partition(":")[0] not in ("yfinance", "store"):
        return universe
    latest = max(datetime.fromisoformat(history.fetched_at) for history in histories)
    return universe.model_copy(update={"as_of": latest, "pinned": latest})


def as_history(stored: Stored, notes: tuple[str, ...] = ()) -> PriceHistory:
    """Stored bars as a PriceHistory; its fetched-at names the version."""
    bars, about, fetched_at = stored.bars, stored.about, stored.version.fetched_at
    if about.interval not in SECONDS:
        return history_of(bars, about, fetched_at=fetched_at, notes=notes)
    stamps = Stamps(bars.times, np.zeros(len(bars), np.int64))
    on_grid = placed(stamps, about.ticker, about.calendar, Clock())
    bars = Bars(on_grid.moments, {name: values[on_grid.rows] for name, values in bars.columns.items()})
    history = history_of(bars, replace(about, calendar=on_grid.market), fetched_at=fetched_at, notes=notes)
    return with_slots(replace(history, findings=(*on_grid.findings, *history.findings)))
