"""The histories of one market laid end to end, and the folds of a walk-forward backtest on them.

Shape legend: R bars of all tickers of a panel laid end to end, M tickers, N origins, H steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2squant.config.intervals import unit_of_dates
from s2squant.series.arrays import Dates, Floats, Ints, date_of, frozen_array
from s2squant.series.covariates import PanelCovariates, laid_out
from s2squant.series.history import PriceHistory
from s2squant.series.slots import Slots, slots_laid_out

SETTLED = 22
"""Bars after a hole before a ticker is forecast again, a month: nothing that is fast still reads what came before."""


@dataclass(frozen=True, eq=False)
class Panel:
    """The histories of one market (tickers that share a calendar), each on its own bars, laid end to end.

    A *row* is an index into the R bars: ticker m owns rows `starts[m]` to `starts[m + 1] - 1`, oldest first. So tickers
    with different listing dates or halted days need no padding, and a window is a range of rows. A *segment* is
    the bars of a ticker between two holes (`PriceHistory.resumed`).
    """

    histories: tuple[PriceHistory, ...]
    whole: Panel | None = field(default=None, repr=False)
    """The panel of the whole market, where this one holds only some of its tickers: it holds what the market did."""
    whole_until: np.datetime64 | None = None
    """The last day of `whole` that counts; None for all of it."""
    starts: Ints = field(init=False)
    dates: Dates = field(init=False)
    log_price: Floats = field(init=False)
    ticker_of: Ints = field(init=False)
    """(R,) which ticker a row belongs to."""
    segments: Ints = field(init=False)
    """(S,) the rows that begin a segment: a ticker's first bar, and its first after each hole."""

    def __post_init__(self) -> None:
        if not self.histories:
            raise ValueError("a panel needs at least one history")
        calendars = {h.calendar for h in self.histories}
        if len(calendars) > 1:
            raise ValueError(f"one panel, one calendar; given {sorted(calendars)}")
        if len(set(self.tickers)) < len(self.histories):
            raise ValueError("a ticker stands twice in the panel")
        lengths = [len(h) for h in self.histories]
        object.__setattr__(self, "starts", frozen_array(np.concatenate([[0], np.cumsum(lengths)]), np.intp))
        object.__setattr__(
            self,
            "dates",
            frozen_array(np.concatenate([h.dates for h in self.histories]), self.histories[0].dates.dtype),
        )
        object.__setattr__(
            self, "log_price", frozen_array(np.concatenate([h.log_price for h in self.histories]), np.float64)
        )
        object.__setattr__(self, "ticker_of", frozen_array(np.repeat(np.arange(len(lengths)), lengths), np.intp))
        first = np.concatenate([h.resumed_T for h in self.histories])
        first[self.starts[:-1]] = True
        object.__setattr__(self, "segments", frozen_array(np.flatnonzero(first), np.intp))

    @property
    def tickers(self) -> tuple[str, ...]:
        return tuple(h.ticker for h in self.histories)

    @property
    def market(self) -> str:
        return self.histories[0].calendar

    @cached_property
    def covariates(self) -> PanelCovariates | None:
        """The covariates of all rows; None where the panel has none."""
        return laid_out([h.dates for h in self.histories], [h.covariates for h in self.histories])

    @cached_property
    def slots(self) -> Slots | None:
        """Places of all rows within their sessions; None for bars of a day or longer."""
        return slots_laid_out([h.slots for h in self.histories])

    def rows_of(self, ticker: str) -> Ints:
        """All rows of one ticker, oldest first."""
        m = self.tickers.index(ticker)
        return np.arange(self.starts[m], self.starts[m + 1])

    def calendar_dates(self) -> Dates:
        """Every date on which any ticker has a bar, increasing."""
        return np.unique(self.dates)

    def bar_number(self, rows: Ints) -> Ints:
        """How many bars of the same ticker lie before each row."""
        return rows - self.starts[self.ticker_of[rows]]

    def first_of(self, rows: Ints) -> Ints:
        """The first row of each row's segment: no window of a row begins before it."""
        return self.segments[np.searchsorted(self.segments, rows, "right") - 1]

    def bars_left(self, rows: Ints) -> Ints:
        """How many bars of the same segment lie after each row."""
        ends = np.append(self.segments[1:], len(self.log_price))
        return ends[np.searchsorted(self.segments, rows, "right") - 1] - 1 - rows

    def settled(self, rows: Ints) -> NDArray[np.bool_]:
        """Whether a row may be forecast from: in its ticker's first segment, or `SETTLED` bars into a later one."""
        first = self.first_of(rows)
        settled: NDArray[np.bool_] = (first == self.starts[self.ticker_of[rows]]) | (rows - first >= SETTLED)
        return settled

    def targets(self, rows: Ints, horizon: int) -> Floats:
        """Realised cumulative log returns (N, H) after each row; NaN where the ticker's bars, or its segment's, end."""
        steps = np.arange(1, horizon + 1)
        index = np.minimum(rows[:, None] + steps, len(self.log_price) - 1)
        known = steps[None, :] <= self.bars_left(rows)[:, None]
        return np.where(known, self.log_price[index] - self.log_price[rows][:, None], np.nan)

    def until(self, date: Any) -> Panel:
        """The panel as it stood after `date`: later bars gone, tickers without two bars by then gone."""
        day = date_of(self.market, date)
        histories = tuple(h.between(None, day) for h in self.histories if (h.dates <= day).sum() >= 2)
        if not histories:
            raise ValueError(f"no ticker of {self.market} has two bars by {day}")
        if self.whole is None:
            return Panel(histories)
        return Panel(histories, self.whole, day if self.whole_until is None else min(day, self.whole_until))

    def only(self, *tickers: str) -> Panel:
        """The panel of some of the tickers, with all of them as its `whole`; nothing is copied."""
        histories = tuple(self.histories[self.tickers.index(ticker)] for ticker in tickers)
        return Panel(histories, self.whole or self, self.whole_until)


@dataclass(frozen=True)
class Fold:
    """One fit and the cutoffs it serves. Training labels end on or before `fit_date` <= the first cutoff: the purge."""

    market: str
    number: int
    train_start: np.datetime64
    fit_date: np.datetime64
    """Last bar any part of the fit may see."""
    cutoffs: Dates
    horizon: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoffs", frozen_array(self.cutoffs, f"datetime64[{unit_of_dates(self.market)}]"))
        if len(self.cutoffs) == 0:
            raise ValueError("a fold needs a cutoff")
        if self.fit_date > self.cutoffs[0]:
            raise ValueError(
                f"fit date {self.fit_date} lies after the first cutoff {self.cutoffs[0]}: labels would leak"
            )
