"""One covariate of one ticker, on the ticker's scheduled sessions.

Shape legend: S scheduled sessions of a ticker.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from s2squant.config.covariates import CovariateSpec
from s2squant.config.experiment import Universe
from s2squant.errors import PriceError, SourceError, one_line
from s2squant.prices.calendars.exchanges import period_ends
from s2squant.prices.calendars.grid import next_bars
from s2squant.prices.calendars.periods import LONGEST, unit_of
from s2squant.prices.calendars.scheduled import closing_times, scheduled_sessions
from s2squant.prices.covariates.as_of import Joined, Observations, joined, transformed
from s2squant.prices.covariates.built_in import built_in
from s2squant.prices.covariates.long_table import LongTable, read_long, two_a_day
from s2squant.prices.covariates.within_day import WithinDay
from s2squant.prices.port import Source
from s2squant.prices.sources.continued import ContinuedSource
from s2squant.prices.sources.folder import FolderSource
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.sources.numbers import decimal_sign, numbers
from s2squant.prices.sources.yahoo import Yahoo
from s2squant.prices.universe import inspect_ticker, open_source
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory

Origin = PriceHistory | LongTable | WithinDay | Source | Yahoo | None
"""What a covariate is read from: another ticker's bars, a table, bars within the day, the source of the tickers' own
files, Yahoo's dates, or its spec."""


def open_origin(spec: CovariateSpec, universe: Universe, source: Source | None) -> Origin:
    """Read what all tickers share of a covariate; raises SourceError, one line, where it cannot be had."""
    match spec.origin:
        case "ticker":
            other = open_source(spec.source, universe) if spec.source else source
            assert other is not None, "histories that were loaded have a source"
            try:
                other.check([spec.ticker])
                history = inspect_ticker(other, spec.ticker, universe.model_copy(update={"start": None}))
            except (PriceError, SourceError) as error:
                raise SourceError(f"covariate {spec.name}: {one_line(str(error))}") from None
            if spec.field != "adj_close" and spec.field not in history.bars:
                have = ", ".join(("adj_close", *history.bars))
                raise SourceError(f"covariate {spec.name}: {spec.ticker} has no {spec.field}; field is one of {have}")
            return history
        case "file":
            return read_long(spec)
        case "column":
            if not isinstance(source, FolderSource | FrameSource | ContinuedSource):
                name = "the source" if source is None else source.name
                raise SourceError(
                    f"covariate {spec.name}: {name} has no files of tickers; column {spec.column!r} is for csv:DIR and "
                    "parquet:DIR, or name its table with file"
                )
            return source
        case "realised":
            try:
                return WithinDay.of(spec, universe)
            except SourceError as error:
                raise SourceError(f"covariate {spec.name}: {one_line(str(error))}") from None
        case "dates":
            return Yahoo()
        case "calendar" | "values":
            return None


def sessions_around(history: PriceHistory, specs: tuple[CovariateSpec, ...], horizon: int) -> Dates:
    """A ticker's scheduled sessions (S,): from before its first bar, as far as values are carried, to a horizon after
    its last.
    """
    longest = LONGEST.get(unit_of(history.calendar)[0], 2)
    lead = longest * (10 + max((spec.carry + spec.waits for spec in specs if spec.kind == "past"), default=0))
    ahead = next_bars(history.calendar, history.dates[-1], horizon)
    scheduled = scheduled_sessions(history.calendar, history.dates[0] - lead, ahead[-1])
    return scheduled if len(scheduled) else np.concatenate([history.dates, ahead])


def past_column(spec: CovariateSpec, origin: Origin, history: PriceHistory, days_S: Dates) -> Joined:
    """A past covariate, each session's value as known at its close; raises PriceError for a ticker's own file."""
    seen = transformed(_observed(spec, origin, history).superseding(), spec.transform)
    closes_S = closing_times(history.calendar, days_S)
    carry = 0 if spec.realised else spec.carry  # a session that was not measured has no other's variance
    return joined(seen, closes_S, lag=spec.waits, carry=carry)


def future_column(spec: CovariateSpec, origin: Origin, history: PriceHistory, days_S: Dates) -> Floats:
    """A future-known covariate (S,), each session's own value; NaN where none is given.

    Events before the first and after the last date of a ticker are not known. One on a day without a session is of the
    next session.
    """
    if spec.calendar:
        return built_in(spec.calendar, history.calendar, days_S)
    if spec.event or spec.dates:
        days = _event_days(spec, origin, history)
        if len(days) == 0:
            return np.full(len(days_S), np.nan)
        held = days_S[np.minimum(np.searchsorted(days_S, days), len(days_S) - 1)]
        known = (days_S >= days[0]) & (days_S <= max(days[-1], held[-1]))
        return np.where(known, np.isin(days_S, held[days <= days_S[-1]]), np.nan)
    seen = transformed(replace_known(_observed(spec, origin, history)).superseding(), spec.transform)
    place = np.minimum(np.searchsorted(seen.days_K, days_S), max(len(seen.days_K) - 1, 0))
    if len(seen.days_K) == 0:
        return np.full(len(days_S), np.nan)
    return np.where(seen.days_K[place] == days_S, seen.values_K[place], np.nan)


def _event_days(spec: CovariateSpec, origin: Origin, history: PriceHistory) -> Dates:
    """A ticker's dates, increasing; those of Yahoo go with its own dividends."""
    match origin:
        case LongTable():
            return np.sort(origin.days_K[origin.rows_for(history.ticker)])
        case Yahoo() if spec.dates is not None:
            paid = history.dates[:0]
            if spec.dates == "ex_dividend" and "dividends" in history.events:
                paid = history.dates[history.events["dividends"] > 0]
            return np.union1d(paid, origin.event_dates(history.ticker, spec.dates))
    raise TypeError(f"{type(origin).__name__} has no dates")


def static_value(spec: CovariateSpec, origin: Origin, history: PriceHistory) -> str:
    """A static covariate as text, empty where the ticker has none; raises PriceError where it has several."""
    match origin:
        case LongTable():
            rows = origin.rows_for(history.ticker)
            return _given(origin.texts_K[rows[0]]) if len(rows) else ""
        case None:
            return _given(str(spec.values.get(history.ticker, "")))
    cells = _own(spec, origin, history)
    texts = list(dict.fromkeys(filter(None, map(_given, cells[1].astype("str"))))) if cells is not None else []
    if len(texts) > 1:
        text = f"{spec.column} is {texts[0][:20]!r}, then {texts[1][:20]!r}"
        raise PriceError(history.ticker, f"{text}; a static covariate has one value")
    return texts[0] if texts else ""


def replace_known(seen: Observations) -> Observations:
    """Observations of a future-known covariate: each was known long before, so that their days alone order them."""
    return replace(seen, known_K=seen.days_K.astype("datetime64[s]"))


def _observed(spec: CovariateSpec, origin: Origin, history: PriceHistory) -> Observations:
    match origin:
        case PriceHistory():
            values = origin.adj_close if spec.field == "adj_close" else origin.bars[spec.field]
            return Observations(origin.dates, closing_times(origin.calendar, origin.dates), values)
        case LongTable():
            return origin.observations(history.ticker, history.calendar)
        case WithinDay():
            assert spec.realised is not None, "its origin"
            return origin.observations(history, spec.realised)
    cells = _own(spec, origin, history)
    if cells is None:
        none = np.array([], "datetime64[D]")
        return Observations(none, none.astype("datetime64[s]"), np.array([]))
    days, column = cells
    values = numbers(column, days, spec.column, history.ticker, decimal_sign([column], history.ticker))
    if told := two_a_day(days, values):
        raise PriceError(history.ticker, f"{spec.column} has {told}")
    return Observations(days, closing_times(history.calendar, days), values)


def _own(spec: CovariateSpec, origin: Origin, history: PriceHistory) -> tuple[Dates, pd.Series] | None:
    """Dates and cells of a column of the ticker's own file; None where the file has no such column."""
    assert isinstance(origin, FolderSource | FrameSource | ContinuedSource)
    if spec.column not in origin.headings(history.ticker):
        return None
    days, column = origin.other(history.ticker, spec.column, history.calendar)
    return period_ends(history.calendar, days), column


def _given(text: str) -> str:
    return "" if text.lower() in ("nan", "none", "<na>", "nat") else text.strip()
