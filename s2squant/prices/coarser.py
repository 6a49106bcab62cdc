"""Bars of a coarser interval made of finer ones: hours of minutes, days of hours, weeks of days."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from s2squant.config.intervals import COARSENESS, PERIODS, calendar_of, intraday, market_of
from s2squant.errors import PriceError
from s2squant.prices.calendars.exchanges import period_ends
from s2squant.prices.calendars.grid import bar_grid, with_slots
from s2squant.prices.checks.marks import mark
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory


def at_interval(history: PriceHistory, interval: str) -> PriceHistory:
    """The history at an interval: itself at its own or where none is asked for, else made coarser, which is told.

    Raises PriceError for an interval finer than its bars.
    """
    if interval in ("", history.interval):
        return history
    if COARSENESS.index(interval) < COARSENESS.index(history.interval):
        text = f"its bars are {history.interval}, which make no {interval}"
        raise PriceError(
            history.ticker, f"{text}; set universe.interval={history.interval} or coarser, or leave it out"
        )
    if history.interval == "1wk":
        text = "weeks make no months; give daily bars"
        raise PriceError(history.ticker, text)
    if not history.is_intraday or interval not in PERIODS.values():
        return _coarser(history, interval)
    return _coarser(_coarser(history, "1d"), interval)


def daily(history: PriceHistory) -> PriceHistory:
    """The sessions of bars within the day."""
    return _coarser(history, "1d")


def _coarser(history: PriceHistory, interval: str) -> PriceHistory:
    calendar, dates = _places(history, interval)
    ends = np.append(np.diff(dates).astype(np.int64) > 0, True)
    firsts = np.flatnonzero(np.append(True, ends[:-1]))
    columns = {name: _joined(name, values, firsts, ends) for name, values in {**history.bars, **history.events}.items()}
    resumed = np.logical_or.reduceat(history.resumed_T, firsts)
    text = f"{len(history)} bars of {history.interval} made into {int(ends.sum())} of {interval}"
    told = mark("interval", "note", dates[:1], text, done=f"on {calendar}")
    return with_slots(
        replace(
            history,
            calendar=calendar,
            dates=dates[ends],
            adj_close=history.adj_close[ends],
            bars={name: columns[name] for name in history.bars},
            events={name: columns[name] for name in history.events},
            resumed=tuple(map(str, dates[ends][resumed])),
            findings=(*history.findings, *told),
            slots=None,
        )
    )


def _places(history: PriceHistory, interval: str) -> tuple[str, Dates]:
    """The market of the coarser bars, and the one that each bar is of."""
    within = intraday(history.calendar)
    if interval in PERIODS.values():
        unit = next(unit for unit, name in PERIODS.items() if name == interval)
        calendar = f"{unit}:{history.calendar}"
        return calendar, period_ends(calendar, history.dates)
    assert within is not None, "only bars within the day are finer than a day"
    first, last = (moment.astype("datetime64[D]") for moment in history.dates[[0, -1]])
    one = np.timedelta64(1, "D")
    if interval == "1d":
        grid = bar_grid(history.calendar, first - one, last + one)
        return calendar_of(history.calendar), grid.sessions[np.searchsorted(grid.starts, history.dates)]
    market = market_of(interval, within[1], clock=within[2])
    grid = bar_grid(market, first - one, last + one)
    return market, grid.starts[np.searchsorted(grid.starts, history.dates, side="right") - 1]


def _joined(name: str, values: Floats, firsts: NDArray[np.intp], ends: NDArray[np.bool_]) -> Floats:
    match name:
        case "open":
            return values[firsts]
        case "high":
            return np.asarray(np.fmax.reduceat(values, firsts))
        case "low":
            return np.asarray(np.fmin.reduceat(values, firsts))
        case "volume" | "dividends":
            return np.asarray(np.add.reduceat(np.nan_to_num(values), firsts))
        case "splits":
            together = np.multiply.reduceat(np.where(values > 0, values, 1.0), firsts)
            return np.where(np.logical_or.reduceat(values > 0, firsts), together, 0.0)
    return values[ends]
