"""Compaction of the price store: versions that were superseded long ago and that no dated read needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from s2squant.errors import PriceError
from s2squant.prices.store.manifest import Version
from s2squant.prices.store.price_store import INTERVAL, PriceStore


@dataclass(frozen=True)
class Spent:
    """A ticker's versions that can go."""

    ticker: str
    interval: str
    versions: tuple[int, ...]
    first: str
    """Fetched-at of the oldest and the latest of them."""
    last: str


def spent_versions(store: PriceStore, *, before: datetime, keep: Sequence[datetime]) -> Iterator[Spent]:
    """Tickers with versions that another replaced before `before`, and that stood at none of the moments `keep`.

    Damaged tickers are passed over. All times with their zone.
    """
    moments = sorted(keep)
    for interval in intervals(store):
        for ticker in store.tickers(interval):
            versions: Sequence[Version] = ()
            with suppress(PriceError):
                versions = store.versions(ticker, interval)
            if spent := _spent(versions, before, moments):
                numbers = tuple(version.version for version in spent)
                yield Spent(ticker, interval, numbers, spent[0].fetched_at, spent[-1].fetched_at)


def intervals(store: PriceStore) -> tuple[str, ...]:
    """The intervals that a store holds."""
    folder = store.folder
    return tuple(sorted(p.name for p in folder.iterdir() if INTERVAL.fullmatch(p.name))) if folder.is_dir() else ()


def drop_spent(store: PriceStore, spent: Spent) -> int:
    """Drop them under the ticker's lock; returns the bytes freed. Raises PriceError; then nothing is dropped."""
    with store.locked(spent.ticker, spent.interval):
        return store.drop(spent.ticker, spent.versions, spent.interval)


def _spent(versions: Sequence[Version], before: datetime, moments: Sequence[datetime]) -> list[Version]:
    unread = []
    for version, successor in pairwise(versions):
        began, ended = datetime.fromisoformat(version.fetched_at), datetime.fromisoformat(successor.fetched_at)
        place = bisect_left(moments, began)
        read = place < len(moments) and moments[place] < ended
        if ended < before and not read:
            unread.append(version)
    return unread
