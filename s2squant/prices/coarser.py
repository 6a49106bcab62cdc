"""Bars of a coarser interval made of finer ones: hours of minutes, days of hours, weeks of days."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from s2squant.config.intervals import COARSENESS, PERIODS, calendar_of, intraday, market_of
from s2squant.errors import PriceError
from s2squant.prices.calendars.exchanges import period_ends
from s2squant.prices.calendars.grid import bar_grid, next_bars, with_slots
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
    if not history.is_intraday:
        return _coarser(history, interval)
    if interval in PERIODS.values():
        return _coarser(at_interval(history, "1d"), interval)
    following = next_bars(history.calendar, history.dates[-1], 1)
    _, places = _places(history.calendar, np.append(history.dates, following), interval)
    if places[-1] != places[-2]:
        return _coarser(history, interval)
    last = str(places[-1])
    told = mark("unfinished bar", "note", places[-1:], f"the unfinished bar of {last} dropped", done="dropped")
    coarse = _coarser(history, interval)
    return replace(coarse.between(None, coarse.dates[-2]), findings=(*coarse.findings, *told))


def daily(history: PriceHistory) -> PriceHistory:
    """The sessions of bars within the day."""
    return _coarser(history, "1d")


def _coarser(history: PriceHistory, interval: str) -> PriceHistory:
    calendar, dates = _places(history.calendar, history.dates, interval)
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


def _places(market: str, bars: Dates, interval: str) -> tuple[str, Dates]:
    """The market of the coarser bars, and the one that each bar is of."""
    within = intraday(market)
    if interval in PERIODS.values():
        unit = next(unit for unit, name in PERIODS.items() if name == interval)
        calendar = f"{unit}:{market}"
        return calendar, period_ends(calendar, bars)
    assert within is not None, "only bars within the day are finer than a day"
    first, last = bars[0], bars[-1]
    one = np.timedelta64(1, "D")
    if interval == "1d":
        grid = bar_grid(market, first - one, last + one)
        return calendar_of(market), grid.sessions[np.searchsorted(grid.starts, bars)]
    market = market_of(interval, within[1], clock=within[2])
    grid = bar_grid(market, first - one, last + one)
    return market, grid.starts[np.searchsorted(grid.starts, bars, side="right") - 1]


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
