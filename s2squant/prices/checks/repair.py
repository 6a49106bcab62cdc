"""Columns of prices into a PriceHistory: repaired where there is one certain repair, refused elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.errors import Finding, PriceError
from s2squant.prices.calendars.guess import guess_calendar
from s2squant.prices.checks.bars import is_future
from s2squant.prices.checks.impossible import impossible
from s2squant.prices.checks.marks import mark
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import EVENTS, OHLCV, PriceHistory


def history_from_columns(
    dates: Dates, table: dict[str, Floats], ticker: str, *, source: str, calendar: str = "", fetched_at: str = ""
) -> PriceHistory:
    """The history of dates and columns (adj_close, and those of OHLCV and EVENTS that are known).

    Rows without a price and exact duplicates are dropped, unsorted rows sorted, impossible values of the other columns
    set aside, each with a finding; an event of a dropped row goes to the next bar. An empty `calendar` is guessed.
    Raises PriceError where no row holds a price or the prices of a day differ.
    """
    dates, table, repaired = _repair(dates, table, ticker)
    table, aside = _set_aside(dates, table, signed=is_future(ticker))
    return PriceHistory(
        ticker=ticker,
        calendar=calendar or guess_calendar(ticker, dates),
        dates=dates,
        adj_close=table["adj_close"],
        bars={name: table[name] for name in OHLCV if name in table},
        events={name: table[name] for name in EVENTS if name in table},
        source=source,
        fetched_at=fetched_at,
        findings=(*repaired, *aside),
    )


def _repair(
    dates: Dates, table: dict[str, Floats], ticker: str
) -> tuple[Dates, dict[str, Floats], tuple[Finding, ...]]:
    """Drop rows without a price and exact duplicates, sort; say what was done."""
    findings: tuple[Finding, ...] = ()
    lacking = np.isnan(table["adj_close"])
    if lacking.any():
        rows = np.sort(dates[lacking])
        text = f"{len(rows)} row(s) without a price dropped, the first on {rows[0]}"
        findings += mark("missing price", "note", rows, text, done="dropped")
        dates, table = without(dates, table, lacking)
    if len(dates) == 0:
        raise PriceError(ticker, "no row holds a price; fill the price column")
    steps = np.diff(dates).astype(np.int64)
    if (steps > 0).all():
        return dates, table, findings
    order = np.argsort(dates, kind="stable")
    out_of_place = dates[1:][steps < 0]
    dates, table = _taken(dates, table, order)
    if (np.diff(dates).astype(np.int64) == 0).any():
        repeated = pd.DataFrame({"date": dates, **table}).duplicated().to_numpy()
        days = dates[repeated]
        findings += mark("duplicate", "note", days, f"{len(days)} duplicate row(s) dropped", done="dropped")
        dates, table = _taken(dates, table, ~repeated)
        dates, table, kept_last = _last_of_day(dates, table, ticker, findings)
        findings += kept_last
    if len(out_of_place):
        findings += mark("order", "note", out_of_place, "rows were not in order of date; sorted", done="sorted")
    return dates, table, findings


def _last_of_day(
    dates: Dates, table: dict[str, Floats], ticker: str, findings: tuple[Finding, ...]
) -> tuple[Dates, dict[str, Floats], tuple[Finding, ...]]:
    """The last row of each day whose prices agree; raises PriceError where they do not, naming the column."""
    same = np.diff(dates).astype(np.int64) == 0
    differ = {n: same & (v[1:] != v[:-1]) & ~(np.isnan(v[1:]) & np.isnan(v[:-1])) for n, v in table.items()}
    unequal = [n for n, rows in differ.items() if n not in ("volume", *EVENTS) and rows.any()]
    if unequal:
        name = unequal[0]
        first = int(np.flatnonzero(differ[name])[0])
        what = "prices" if name == "adj_close" else f"values of {name}"
        both = f"{what} {table[name][first]:g} and {table[name][first + 1]:g}"
        text = f"{dates[first]} stands twice with different values ({both}); keep one row a bar"
        rows = np.unique(dates[1:][np.logical_or.reduce([differ[n] for n in unequal])])
        raise PriceError(ticker, text, (*findings, *mark("conflicting rows", "error", rows, text)))
    if not same.any():
        return dates, table, ()
    days = np.unique(dates[1:][same])
    names = ", ".join(n for n, rows in differ.items() if rows.any())
    text = (
        f"{len(days)} day(s) stand twice with the same prices but another {names}, the first {days[0]}; the last kept"
    )
    last = np.concatenate([~same, [True]])
    return *_taken(dates, table, last), mark("duplicate", "note", days, text, done="dropped")


def _set_aside(
    dates: Dates, table: dict[str, Floats], *, signed: bool
) -> tuple[dict[str, Floats], tuple[Finding, ...]]:
    """Turn bar values that cannot be (a price or volume below zero, infinite) into unknown ones, and say so."""
    findings: tuple[Finding, ...] = ()
    table = {**table, **{name: np.nan_to_num(table[name], posinf=np.inf) for name in EVENTS if name in table}}
    for name, wrong in impossible(table, signed=signed).items():
        below = table["adj_close"] <= 0 if name not in ("volume", *EVENTS) else False
        rows = dates[wrong & ~np.asarray(below)]  # a price that is itself below zero is told as that, once
        if len(rows):
            text = f"{len(rows)} impossible value(s) of {name} set aside, the first on {rows[0]}"
            findings += mark("impossible value", "warning", rows, text, done="set aside")
        table = {**table, name: np.where(wrong, 0.0 if name in EVENTS else np.nan, table[name])}
    if "splits" in table:
        table = {**table, "splits": np.where(table["splits"] == 1, 0.0, table["splits"])}
    empty = {n for n, v in table.items() if np.isnan(v).all() or (n in ("volume", *EVENTS) and not (v > 0).any())}
    return {n: v for n, v in table.items() if n not in empty}, findings  # a heading with nothing under it: FX volume


def without(dates: Dates, table: dict[str, Floats], rows: np.ndarray) -> tuple[Dates, dict[str, Floats]]:
    """Dates and columns without the rows of a mask (T,), in the order given; events go to the next bar that is left.

    The next one is of the same day where there is one. An event acts on the bars before its own, so that a later bar
    serves as well; after the last bar there is none.
    """
    table, kept = dict(table), np.flatnonzero(~rows)
    for name in (n for n in EVENTS if n in table):
        values = table[name] = np.array(table[name])
        for row in np.flatnonzero(rows & (values > 0)):
            later = kept[dates[kept] >= dates[row]]
            if len(later):
                heir = later[np.argmin(dates[later])]
                joined = values[heir] * values[row] if name == "splits" and values[heir] > 0 else values[row]
                values[heir] = joined if name == "splits" else np.nan_to_num(values[heir]) + values[row]
    return _taken(dates, table, ~rows)


def _taken(dates: Dates, table: dict[str, Floats], rows: np.ndarray) -> tuple[Dates, dict[str, Floats]]:
    return dates[rows], {name: values[rows] for name, values in table.items()}
