"""A local Yahoo of two years of bars, and a store of its own, for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from s2squant.config.fetching import Fetching
from s2squant.prices.sources.yahoo import Yahoo
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.store.refresh import Refresher
from tests.local_yahoo import LocalYahoo

QUICK = Fetching(per_second=2000, pause=0.001, limited_pause=0.02, timeout=5, tries=3, limited_tries=3)


class Desk:
    """A local Yahoo, a store and a clock that are moved together: `on` is the evening of a day in New York."""

    def __init__(self, yahoo: LocalYahoo, folder: Path) -> None:
        self.yahoo, self.folder = yahoo, folder
        self.now = datetime.now(UTC)
        self.store = PriceStore(folder)
        self.on(yahoo.fixed_today)

    def on(self, day: str, hour: int = 23) -> None:
        self.yahoo.fixed_today = day
        self.now = datetime.fromisoformat(f"{day}T{hour:02d}:00:00+00:00")

    def client(self, spec: Fetching = QUICK) -> Yahoo:
        return Yahoo(spec, server=self.yahoo.url, clock=lambda: self.now)

    def refresher(self, spec: Fetching = QUICK) -> Refresher:
        return Refresher(self.store, self.client(spec), spec, clock=lambda: self.now)


@pytest.fixture
def yahoo() -> Iterator[LocalYahoo]:
    with LocalYahoo(today="2024-03-01", years=2) as server:
        yield server


@pytest.fixture
def desk(yahoo: LocalYahoo, tmp_path: Path) -> Desk:
    return Desk(yahoo, tmp_path / "prices")
