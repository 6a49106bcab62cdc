"""A frame of newer bars behind the bars that models were fitted on, so that a forecast rests on as many as the fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from s2squant.errors import PriceError
from s2squant.prices.calendars.exchanges import period_ends
from s2squant.prices.calendars.grid import next_bars, with_slots
from s2squant.prices.checks.repair import history_from_columns
from s2squant.prices.port import ListedSource
from s2squant.prices.sources.memory import FrameSource
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import OHLCV, PriceHistory

AGREE = 2e-3
"""Relative difference up to which closes of one day are the same but for rounding, a common factor apart."""


class ContinuedSource(ListedSource):
    """The tickers of a frame, each after the bars of its fit where it continues them, on the calendar of its fit.

    A ticker that reaches back to the first bar of its fit stands for itself, as does one of at least `need` bars that
    begins after a gap. Bars that overlap replace those of the fit, which move by the common factor of the closes (a
    dividend or a split since). A ticker without a fit is refused, or needs `new` bars where that is given; one too
    short, and one whose closes are others is refused.
    """

    def __init__(
        self, frames: FrameSource, fitted: Mapping[str, PriceHistory], *, need: int, new: int | None = None
    ) -> None:
        super().__init__(frames.name, frames.tickers())
        self._frames, self._fitted, self._need, self._new = frames, fitted, need, new

    def first_day(self, ticker: str) -> np.datetime64:
        """The first date of the ticker's frame."""
        calendar = self._fitted[ticker].calendar if ticker in self._fitted else ""
        days = self._frames.columns(ticker, calendar)[0]
        first: np.datetime64 = (period_ends(calendar, days) if calendar else days).min()
        return first

    def headings(self, ticker: str) -> tuple[str, ...]:
        """The headings of the ticker's frame."""
        return self._frames.headings(ticker)

    def other(self, ticker: str, heading: str, calendar: str) -> tuple[Dates, pd.Series]:
        """Dates and cells of one more column of the ticker's frame."""
        return self._frames.other(ticker, heading, calendar)

    def history(self, ticker: str) -> PriceHistory:
        """The bars of the fit before the first of the frame, and those of the frame, in the units of the frame."""
        if ticker not in self._fitted:
            return self._newcomer(ticker)
        fit_bars = self._fitted[ticker]
        dates, table = self._frames.columns(ticker, fit_bars.calendar)
        for name in (n for n in OHLCV if n in fit_bars.bars and n not in table):
            raise PriceError(ticker, f"no column {name}, which the bars of the fit have; give it too")
        table = {n: values for n, values in table.items() if n == "adj_close" or n in fit_bars.bars}
        dates = period_ends(fit_bars.calendar, dates)
        dates, table = _joined(fit_bars, dates, table, self._need)
        history = history_from_columns(dates, table, ticker, source=self.name, calendar=fit_bars.calendar)
        return with_slots(replace(history, clock=fit_bars.clock))

    def _newcomer(self, ticker: str) -> PriceHistory:
        if self._new is None:
            raise PriceError(ticker, "the models were not fitted on it")
        history = self._frames.history(ticker)
        if len(history) < self._new:
            text = (
                f"too short: {len(history)} bars, {self._new} are needed of a ticker that the models were not fitted on"
            )
            raise PriceError(ticker, text)
        return history


def _joined(
    fit_bars: PriceHistory, dates: Dates, table: Mapping[str, Floats], need: int
) -> tuple[Dates, dict[str, Floats]]:
    """The bars of the fit before the first new one, and the new ones, in the units of the new ones."""
    priced = dates[np.isfinite(table["adj_close"])]
    if len(priced) == 0 or priced.min() <= fit_bars.dates[0]:  # whole, or for the reader to refuse
        _refuse_short(fit_bars, len(priced), need, "are needed")
        return dates, dict(table)
    first = priced.min()
    if first > next_bars(fit_bars.calendar, fit_bars.dates[-1], 1)[0]:
        after = f"are needed where the first, {first}, does not follow the last of the fit, {fit_bars.dates[-1]}"
        _refuse_short(fit_bars, len(priced), need, after)
        return dates, dict(table)
    _, new, shared = np.intersect1d(dates, fit_bars.dates, return_indices=True)
    if first <= fit_bars.dates[-1]:
        _refuse_others(fit_bars, dates[new], table["adj_close"][new], fit_bars.adj_close[shared])
    before = fit_bars.dates < first
    joined = {}
    for name, values in table.items():
        fitted = fit_bars.adj_close if name == "adj_close" else fit_bars.bars[name]
        joined[name] = np.concatenate([fitted[before] * _factor(values[new], fitted[shared]), values])
    return np.concatenate([fit_bars.dates[before], dates]), joined


def _refuse_short(fit_bars: PriceHistory, bars: int, need: int, why: str) -> None:
    if bars < min(need, len(fit_bars)):
        raise PriceError(fit_bars.ticker, f"too short: {bars} bars, {min(need, len(fit_bars))} {why}")


def _refuse_others(fit_bars: PriceHistory, days: Dates, new: Floats, old: Floats) -> None:
    """Raise where the closes of the days that both have are no common factor apart."""
    both = np.isfinite(new) & (new != 0)
    if not both.any():
        raise PriceError(fit_bars.ticker, "its bars share no day with those of the fit; give its whole history")
    ratio = new[both] / old[both]
    off = np.abs(ratio / np.median(ratio) - 1) > AGREE
    if off.any():
        day, given, fitted = days[both][off][0], new[both][off][0], old[both][off][0]
        text = f"closes are others than those of the fit ({given:g} on {day}, then {fitted:g})"
        raise PriceError(fit_bars.ticker, f"{text}; give its whole history, or fit again")


def _factor(new: Floats, old: Floats) -> float:
    """How many times as large the same values are now; 1 where nothing tells."""
    known = np.isfinite(new) & np.isfinite(old) & (old > 0) & (new > 0)
    return float(np.median(new[known] / old[known])) if known.any() else 1.0
