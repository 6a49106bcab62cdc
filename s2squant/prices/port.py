"""The port of price sources: the five members that loading, checks and the store rely on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Protocol

from s2squant.errors import SourceError, first_of
from s2squant.series.history import PriceHistory


class Source(Protocol):
    """Where prices come from: any object with these members, no base class.

    Examples
    --------
    >>> import pandas as pd
    >>> from s2squant.prices.sources.memory import FrameSource
    >>> days = pd.bdate_range("2020-01-01", periods=3)
    >>> source: Source = FrameSource({"ABC": pd.DataFrame({"Date": days, "Close": [1.0, 1.1, 1.2]})})
    >>> source.tickers(), len(source.history("ABC"))
    (('ABC',), 3)
    """

    @property
    def name(self) -> str:
        """The source as its user wrote it: sample, yfinance, csv:DIR, parquet:DIR."""
        ...

    def tickers(self) -> tuple[str, ...]:
        """Every ticker of the source; empty where it cannot be listed."""
        ...

    def default_universe(self) -> tuple[str, ...]:
        """The tickers loaded when none is named.

        Raises
        ------
        SourceError
            There is no sensible answer.
        """
        ...

    def check(self, tickers: Sequence[str]) -> None:
        """Refuse tickers that the source cannot know, before anything is read or fetched.

        Parameters
        ----------
        tickers : sequence of str
            The tickers to be loaded.

        Raises
        ------
        SourceError
            For the first that cannot be known, with the remedy.

        Examples
        --------
        >>> source.check(["ABD"])
        Traceback (most recent call last):
        s2squant.errors.SourceError: memory has no ticker 'ABD'; did you mean ABC?
        """
        ...

    def history(self, ticker: str) -> PriceHistory:
        """All bars of one ticker.

        Parameters
        ----------
        ticker : str
            As the source spells it.

        Returns
        -------
        PriceHistory
            Daily bars, oldest first.

        Raises
        ------
        PriceError
            Its bars make no series; TemporaryPriceError where a later try may succeed.
        SourceError
            As `check` does.

        Examples
        --------
        >>> source.history("ABC").adj_close.tolist()
        [1.0, 1.1, 1.2]
        """
        ...


class ListedSource:
    """The part of a source whose tickers are known when it is opened: all of them are the default universe."""

    def __init__(self, name: str, tickers: Iterable[str]) -> None:
        self.name = name
        self._tickers = tuple(tickers)

    def tickers(self) -> tuple[str, ...]:
        """Every ticker, in the source's order."""
        return self._tickers

    def default_universe(self) -> tuple[str, ...]:
        """Every ticker, unless a source says otherwise."""
        return self._tickers

    def check(self, tickers: Sequence[str]) -> None:
        """Raise SourceError for the first unknown ticker, naming the nearest known ones."""
        known = set(self._tickers)
        for ticker in tickers:
            if ticker not in known:
                raise SourceError(f"{self.name} has no ticker {ticker!r}; {_nearest(ticker, self._tickers)}")


def _nearest(ticker: str, known: Sequence[str]) -> str:
    by_lower = {k.lower(): k for k in known}
    near = [by_lower[n] for n in difflib.get_close_matches(ticker.lower(), by_lower, n=3, cutoff=0.5)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"it has {first_of(sorted(known), 10)}"
