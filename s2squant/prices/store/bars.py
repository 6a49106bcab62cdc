"""Bars as traded, with dividends and splits beside them: the form of sources and of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import PriceError
from s2squant.prices.adjust import adjusted_close
from s2squant.prices.checks.repair import history_from_columns
from s2squant.series.arrays import Floats, dates_of, frozen_array
from s2squant.series.history import EVENTS, OHLCV, PriceHistory

FIELDS = (*OHLCV, *EVENTS)
"""Every column; volumes in shares of the day, dividends in cash a share, splits in new shares an old one (0: none)."""
GIVEN = "adj_close"
"""The adjusted close of a source without dividends and splits; NaN throughout where they are known."""
COLUMNS = (*FIELDS, GIVEN)

Instants = NDArray[np.datetime64]


@dataclass(frozen=True)
class About:
    """Description of a ticker by its source; empty where it does not say."""

    ticker: str
    interval: str
    source: str
    calendar: str
    currency: str = ""
    exchange: str = ""
    timezone: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Bars:
    """One ticker's bars of one interval, oldest first.

    `times` (T,) datetime64[s] is the session's date for daily bars, else the bar's start in UTC. `columns` holds every
    name of COLUMNS, each (T,), as traded: prices and dividends in the shares of their own day.
    """

    times: Instants
    columns: Mapping[str, Floats]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", frozen_array(self.times, "datetime64[s]"))
        columns = {name: frozen_array(self.columns[name], np.float64) for name in COLUMNS}
        object.__setattr__(self, "columns", columns)
        assert all(len(values) == len(self.times) for values in columns.values())
        assert (np.diff(self.times).astype(np.int64) > 0).all(), "bars are sorted before they come here"

    def __len__(self) -> int:
        return len(self.times)

    @property
    def close(self) -> Floats:
        """The close as traded, (T,)."""
        return self.columns["close"]

    @cached_property
    def sha256(self) -> str:
        """Content hash: equal bars, equal hash."""
        digest = hashlib.sha256(self.times.astype(np.int64).tobytes())
        for name in COLUMNS:
            digest.update(self.columns[name].tobytes())
        return digest.hexdigest()

    def where(self, keep: NDArray[Any] | slice) -> Bars:
        """The bars that a mask, an index or a slice selects."""
        return Bars(self.times[keep], {name: values[keep] for name, values in self.columns.items()})


@dataclass(frozen=True)
class Answer:
    """A source's answer for one ticker: settled bars, at least one, and notes of what was left out."""

    about: About
    bars: Bars
    notes: tuple[str, ...] = ()


def length_of(interval: str) -> timedelta:
    """The length of an intraday interval, such as 30m or 1h."""
    return timedelta(minutes={"m": 1, "h": 60}[interval[-1]] * int(interval[:-1]))


def day_of(moment: Any) -> str:
    """A date for people; the time too where it is not midnight."""
    text = str(np.datetime64(moment, "m"))
    return text.removesuffix("T00:00").replace("T", " ")


def columns_of(given: Mapping[str, Any], count: int) -> dict[str, Floats]:
    """Every column of Bars from those a source has: no event is 0, anything else unknown is NaN."""
    empty = {"dividends": 0.0, "splits": 0.0}
    return {
        name: np.asarray(given[name], np.float64) if name in given else np.full(count, empty.get(name, np.nan))
        for name in COLUMNS
    }


def adjusted(bars: Bars) -> Floats:
    """The adjusted close, (T,): the source's own where it has no events, else from dividends and splits."""
    own = bars.columns[GIVEN]
    if np.isfinite(own).all() and len(own):
        return own
    return adjusted_close(bars.close, bars.columns["dividends"], bars.columns["splits"])


def history_of(bars: Bars, about: About, *, fetched_at: str, notes: tuple[str, ...] = ()) -> PriceHistory:
    """Bars as a PriceHistory, of the market that `about` names; raises PriceError where they make no series."""
    try:
        adj_close = adjusted(bars)
    except ValueError as error:
        raise PriceError(about.ticker, f"{_dated(str(error), bars)}; fetch it again or leave it out") from None
    history = history_from_columns(
        dates_of(about.calendar, bars.times),
        {"adj_close": adj_close, **{name: bars.columns[name] for name in FIELDS}},
        about.ticker,
        source=about.source,
        calendar=about.calendar,
        fetched_at=fetched_at,
    )
    one = bool(np.array_equal(bars.close, bars.columns[GIVEN]))
    return replace(history, notes=(*notes, *history.notes), one_price=one)


def _dated(text: str, bars: Bars) -> str:
    """`on bar 17` as a date."""
    head, separator, number = text.partition(" on bar ")
    digits = number.split(" ")[0].rstrip(",;:")
    if not separator or not digits.isdigit() or int(digits) >= len(bars):
        return text
    return f"{head} on {day_of(bars.times[int(digits)])}{number.removeprefix(digits)}"
