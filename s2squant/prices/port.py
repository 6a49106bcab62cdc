"""The port: what a price source can do. Whoever asks for prices knows nothing beyond this."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Protocol

from s2squant.errors import SourceError
from s2squant.series.history import PriceHistory


class Source(Protocol):
    """Where prices come from."""

    @property
    def name(self) -> str:
        """As the caller wrote it: sample, yfinance, csv:DIR, parquet:DIR."""
        ...

    def tickers(self) -> tuple[str, ...]:
        """Every ticker the source holds; empty where it cannot be listed."""
        ...

    def default_universe(self) -> tuple[str, ...]:
        """What is loaded when no ticker is named; raises SourceError where there is no sensible answer."""
        ...

    def check(self, tickers: Sequence[str]) -> None:
        """Raise SourceError for the first ticker the source cannot know, before anything is read or fetched."""
        ...

    def history(self, ticker: str) -> PriceHistory:
        """All bars of one ticker.

        Raises PriceError (TemporaryPriceError where a later try may succeed), or SourceError as `check` does.
        """
        ...


def check_listed(source: str, known: Sequence[str], asked: Sequence[str]) -> None:
    """Raise SourceError for the first of `asked` that is not in `known`, naming the nearest known tickers."""
    for ticker in asked:
        if ticker in known:
            continue
        raise SourceError(f"{source} has no ticker {ticker!r}; {_nearest(ticker, known)}")


def _nearest(ticker: str, known: Sequence[str]) -> str:
    by_lower = {k.lower(): k for k in known}
    near = [by_lower[n] for n in difflib.get_close_matches(ticker.lower(), by_lower, n=3, cutoff=0.5)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    shown = ", ".join(sorted(known)[:10])
    return f"it has {shown}" + (f" and {len(known) - 10} more" if len(known) > 10 else "")
