"""Prices that are already in Python: a source over pandas frames."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from s2squant.errors import SourceError
from s2squant.prices.port import ListedSource
from s2squant.prices.sources.moments import Clock
from s2squant.prices.sources.table import ANY, Named, from_frame, headings_of, read_columns, read_other
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory


class FrameSource(ListedSource):
    """Frames in memory, one a ticker, with the headings a CSV would have; nothing is copied before it is asked for."""

    def __init__(
        self,
        frames: Mapping[str, pd.DataFrame],
        *,
        name: str = "memory",
        named: Named = ANY,
        fetched_at: str = "",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(name, frames)
        self._frames, self._named, self._fetched_at = dict(frames), named, fetched_at
        self._clock = clock
        if not self._frames:
            raise SourceError(f"{name}: no frame was given; give one a ticker")

    @classmethod
    def from_long(
        cls,
        frame: pd.DataFrame,
        *,
        ticker: str = "unique_id",
        name: str = "memory",
        named: Named = ANY,
        clock: Clock | None = None,
    ) -> FrameSource:
        """From one long frame in which a column names the ticker; raises SourceError where that column is missing."""
        if ticker not in frame.columns:
            columns = ", ".join(str(column) for column in frame.columns[:8])
            raise SourceError(f"{name}: no column {ticker!r} among {columns}; name the one that holds the tickers")
        groups = frame.groupby(ticker, sort=False)
        frames = {str(key): rows.drop(columns=ticker).reset_index(drop=True) for key, rows in groups}
        return cls(frames, name=name, named=named, clock=clock)

    def history(self, ticker: str) -> PriceHistory:
        """The bars in the ticker's frame."""
        self.check([ticker])
        frame = self._frames[ticker]
        return from_frame(
            frame, ticker, source=self.name, named=self._named, fetched_at=self._fetched_at, clock=self._clock
        )

    def headings(self, ticker: str) -> tuple[str, ...]:
        """The headings of the ticker's table."""
        self.check([ticker])
        return headings_of(self._frames[ticker])

    def other(self, ticker: str, heading: str, calendar: str) -> tuple[Dates, pd.Series]:
        """Dates and cells of one more column of the ticker's frame."""
        self.check([ticker])
        return read_other(self._frames[ticker], heading, ticker, calendar=calendar, named=self._named)

    def columns(self, ticker: str, calendar: str = "") -> tuple[Dates, dict[str, Floats]]:
        """One ticker's dates and columns as they stand, nothing repaired; `calendar` tells what its stamps mean."""
        self.check([ticker])
        return read_columns(self._frames[ticker], ticker, self._named, calendar)
