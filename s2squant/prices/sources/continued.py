"""A frame of newer bars behind the bars that models were fitted on, so that a forecast rests on as many as the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from s2squant.errors import PriceError
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.checks.repair import history_from_columns
from s2squant.prices.sources.memory import FrameSource
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import OHLCV, PriceHistory

AGREE = 2e-3
"""Relative difference up to which closes of one day are the same but for rounding, a common factor apart."""


class ContinuedSource:
    """The tickers of a frame, each behind its kept bars where it continues them, on its kept calendar.

    A ticker that reaches back to the first kept bar stands for itself, as does one of at least `need` bars that begins
    after a gap. Bars that overlap take the place of the kept ones, which move by the common factor of the closes (a
    dividend or a split since). A ticker without kept bars, one too short, and one whose closes are others is refused.
    """

    def __init__(self, frames: FrameSource, kept: Mapping[str, PriceHistory], *, need: int) -> None:
        self.name = frames.name
        self._frames, self._kept, self._need = frames, kept, need

    def tickers(self) -> tuple[str, ...]:
        return self._frames.tickers()

    def default_universe(self) -> tuple[str, ...]:
        return self.tickers()

    def check(self, tickers: Sequence[str]) -> None:
        self._frames.check(tickers)

    def history(self, ticker: str) -> PriceHistory:
        if ticker not in self._kept:
            raise PriceError(ticker, "the models were not fitted on it")
        kept = self._kept[ticker]
        dates, table = self._frames.columns(ticker)
        for name in (n for n in OHLCV if n in kept.bars and n not in table):
            raise PriceError(ticker, f"no column {name}, which the bars of the fit have; give it too")
        table = {n: values for n, values in table.items() if n == "adj_close" or n in kept.bars}
        dates, table = _joined(kept, dates, table, self._need)
        return history_from_columns(dates, table, ticker, source=self.name, calendar=kept.calendar)


def _joined(
    kept: PriceHistory, dates: Dates, table: Mapping[str, Floats], need: int
) -> tuple[Dates, dict[str, Floats]]:
    """The kept bars before the first new one, and the new ones, in the units of the new ones."""
    priced = dates[np.isfinite(table["adj_close"])]
    if len(priced) == 0 or priced.min() <= kept.dates[0]:  # whole, or for the reader to refuse
        _refuse_short(kept, len(priced), need, "are needed")
        return dates, dict(table)
    first = priced.min()
    if first > next_sessions(kept.calendar, kept.dates[-1], 1)[0]:
        after = f"are needed where the first, {first}, does not follow the last of the fit, {kept.dates[-1]}"
        _refuse_short(kept, len(priced), need, after)
        return dates, dict(table)
    _, new, old = np.intersect1d(dates, kept.dates, return_indices=True)
    if first <= kept.dates[-1]:
        _refuse_others(kept, dates[new], table["adj_close"][new], kept.adj_close[old])
    before = kept.dates < first
    joined = {}
    for name, values in table.items():
        had = kept.adj_close if name == "adj_close" else kept.bars[name]
        joined[name] = np.concatenate([had[before] * _factor(values[new], had[old]), values])
    return np.concatenate([kept.dates[before], dates]), joined


def _refuse_short(kept: PriceHistory, bars: int, need: int, why: str) -> None:
    if bars < min(need, len(kept)):
        raise PriceError(kept.ticker, f"too short: {bars} bars, {min(need, len(kept))} {why}")


def _refuse_others(kept: PriceHistory, days: Dates, new: Floats, old: Floats) -> None:
    """Raise where the closes of the days that both have are no common factor apart."""
    both = np.isfinite(new) & (new != 0)
    if not both.any():
        raise PriceError(kept.ticker, "its bars share no day with those of the fit; give its whole history")
    ratio = new[both] / old[both]
    off = np.abs(ratio / np.median(ratio) - 1) > AGREE
    if off.any():
        day, came, had = days[both][off][0], new[both][off][0], old[both][off][0]
        text = f"closes are others than those of the fit ({came:g} on {day}, then {had:g})"
        raise PriceError(kept.ticker, f"{text}; give its whole history, or fit again")


def _factor(new: Floats, old: Floats) -> float:
    """How many times as large the same values are now; 1 where nothing tells."""
    known = np.isfinite(new) & np.isfinite(old) & (old > 0) & (new > 0)
    return float(np.median(new[known] / old[known])) if known.any() else 1.0
