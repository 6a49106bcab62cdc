"""Sources that read the price store: `store:DIR` as it stands, `yfinance` brought up to date first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from s2squant.config.experiment import Universe
from s2squant.config.fetching import Fetching
from s2squant.errors import SourceError
from s2squant.prices.port import ListedSource
from s2squant.prices.sources.yahoo import Yahoo
from s2squant.prices.store.bars import history_of
from s2squant.prices.store.price_store import PriceStore, Stored
from s2squant.prices.store.refresh import Refresher
from s2squant.series.history import PriceHistory


class StoreSource(ListedSource):
    """The daily bars of a price store, the latest or those of a moment; nothing is fetched."""

    def __init__(self, folder: Path, *, as_of: datetime | None = None) -> None:
        self._store, self._as_of = PriceStore(folder), as_of
        super().__init__(f"store:{folder}", self._store.tickers())
        if not self._tickers:
            raise SourceError(f"{self.name}: the folder is no price store or an empty one; fill it with s2squant fetch")

    def history(self, ticker: str) -> PriceHistory:
        """The ticker's bars as stored."""
        self.check([ticker])
        return as_history(self._store.read(ticker, as_of=self._as_of))


class LiveSource:
    """Yahoo's daily bars, through the store: fetched as far as they are missing, then read from there.

    With `as_of` the bars as stored then, and nothing is fetched. A ticker that cannot be updated is read as stored,
    with a note that says so.
    """

    name = "yfinance"

    def __init__(
        self, folder: Path, *, as_of: datetime | None = None, spec: Fetching | None = None, yahoo: Yahoo | None = None
    ) -> None:
        spec = spec or Fetching()
        self._yahoo, self._as_of = yahoo or Yahoo(spec), as_of
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
            return as_history(self._store.read(ticker, as_of=self._as_of))
        update = self._refresher.update(ticker)
        if update.error is None:
            assert update.stored is not None, "what did not fail is stored"
            return as_history(update.stored, update.notes)
        if update.stored is None:
            raise update.error
        return as_history(update.stored, (f"not updated, read as stored: {update.error.reason}",))


def pinned(universe: Universe, histories: Iterable[PriceHistory]) -> Universe:
    """The universe that reads the same bars again: from a price store as of the latest version among them."""
    if universe.as_of is not None or universe.source.partition(":")[0] not in ("yfinance", "store"):
        return universe
    latest = max(datetime.fromisoformat(history.fetched_at) for history in histories)
    return universe.model_copy(update={"as_of": latest, "pinned": latest})


def as_history(stored: Stored, notes: tuple[str, ...] = ()) -> PriceHistory:
    """Stored daily bars as a PriceHistory; its fetched-at names the version."""
    return history_of(stored.bars, stored.about, fetched_at=stored.version.fetched_at, notes=notes)
