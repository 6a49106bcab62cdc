"""Long tables of covariates: a date, perhaps a ticker, a value, and perhaps the moment of its publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from s2squant.config.covariates import CovariateSpec
from s2squant.errors import PriceError, SourceError, one_line
from s2squant.prices.calendars.exchanges import zone_of
from s2squant.prices.calendars.scheduled import closing_times
from s2squant.prices.covariates.as_of import Moments, Observations
from s2squant.prices.sources.exports import DATES, TICKERS, plain
from s2squant.prices.sources.folder import read_file
from s2squant.prices.sources.numbers import decimal_sign, numbers
from s2squant.prices.sources.stamps import Stamps, parse
from s2squant.prices.sources.table import nearest
from s2squant.series.arrays import Dates, Floats, Ints

ALL = ""
"""The ticker of rows that are for every one."""


@dataclass(frozen=True)
class LongTable:
    """The rows of one covariate in a table, by ticker; ALL where no column names one."""

    rows: Mapping[str, Ints]
    days_K: Dates
    published: Stamps | None
    values_K: Floats | None
    """None for events, whose dates are all they say."""
    texts_K: tuple[str, ...]
    """The values as text, for categories; empty for events."""

    def rows_for(self, ticker: str) -> Ints:
        """The rows that are for a ticker."""
        return self.rows.get(ALL, self.rows.get(ticker, np.array([], np.intp)))

    def observations(self, ticker: str, calendar: str) -> Observations:
        """A ticker's rows: known as published, or at the end of their day's session where nothing says.

        A publication without a zone is of the exchange's clock, one without a time of day at the end of its day.
        """
        assert self.values_K is not None, "events are no observations"
        rows = self.rows_for(ticker)
        days = self.days_K[rows]
        known = closing_times(calendar, days) if self.published is None else _moments(self.published, rows, calendar)
        return Observations(days, known, self.values_K[rows])


def read_long(spec: CovariateSpec) -> LongTable:
    """Read a covariate's file; raises SourceError in one line: which file, which row or column, the remedy."""
    form, _, place = spec.file.partition(":")
    path, where = Path(place).expanduser(), f"covariate {spec.name}: {one_line(spec.file)}"
    if not path.is_file():
        raise SourceError(f"{where} is no file; name one, as csv:earnings.csv")
    try:
        frame = read_file("csv" if form == "csv" else "parquet", path, path.name)
        return _read(frame, spec, where)
    except PriceError as error:
        raise SourceError(f"{where}: {error.reason}") from None


def _read(frame: pd.DataFrame, spec: CovariateSpec, where: str) -> LongTable:
    frame = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    headings = [str(heading) for heading in frame.columns]
    for wanted in filter(None, (spec.column, spec.known)):
        if wanted not in headings:
            raise SourceError(f"{where} has no column {wanted!r}; {nearest(wanted, headings)}")
    left = [k for k, h in enumerate(headings) if h not in (spec.column, spec.known)]
    date = next((k for name in DATES for k in left if plain(headings[k]) == name), None)
    ticker = next((k for name in TICKERS for k in left if plain(headings[k]) == name and k != date), None)
    if date is None and spec.kind != "static":
        raise SourceError(f"{where} has no date among {', '.join(headings[:8])}; call its column Date")
    if spec.kind == "static" and ticker is None:
        raise SourceError(f"{where} has no ticker among {', '.join(headings[:8])}; call its column Ticker")
    values = None if spec.event else _value_column(headings, [k for k in left if k not in (date, ticker)], spec, where)
    named = frame.iloc[:, ticker].astype("str").str.strip() if ticker is not None else pd.Series(ALL, index=frame.index)
    rows = {
        str(name): np.asarray(at, np.intp)
        for name, at in named.reset_index(drop=True).groupby(named.to_numpy()).groups.items()
    }
    days = np.full(len(frame), "NaT", "datetime64[D]")
    if date is not None and spec.kind != "static":
        days = parse(frame.iloc[:, date], where).wall.astype("datetime64[D]")
    published = parse(frame[spec.known], where) if spec.known else None
    cells = frame.iloc[:, values] if values is not None else None
    is_text = spec.kind == "static"
    table = LongTable(
        rows=rows,
        days_K=days,
        published=published,
        values_K=None
        if cells is None or is_text
        else numbers(cells, days, spec.name, where, decimal_sign([cells], where)),
        texts_K=tuple(cells.astype("str").str.strip()) if cells is not None and is_text else (),
    )
    _refuse_two(table, where)
    return table


def _value_column(headings: list[str], left: list[int], spec: CovariateSpec, where: str) -> int:
    """The column of the values: the one named, or the only one left."""
    if spec.column:
        return headings.index(spec.column)
    if spec.name in headings:
        return headings.index(spec.name)
    if len(left) != 1:
        some = ", ".join(headings[k] for k in left[:8]) or "none"
        raise SourceError(f"{where} has {len(left)} columns of values ({some}); name one with column")
    return left[0]


def _refuse_two(table: LongTable, where: str) -> None:
    """Raise SourceError where one day has two values for a ticker that nothing tells apart."""
    for ticker, rows in table.rows.items():
        told = ""
        if table.texts_K and len(texts := list(dict.fromkeys(table.texts_K[k] for k in rows))) > 1:
            told = f"two values, {texts[0][:20]!r} and {texts[1][:20]!r}; keep one"
        elif table.values_K is not None:
            published = None if table.published is None else table.published.wall[rows]
            told = two_a_day(table.days_K[rows], table.values_K[rows], published)
        if told:
            raise SourceError(f"{where} has {f'for {ticker} ' if ticker else ''}{told}")


def two_a_day(days: Dates, values: Floats, published: Moments | None = None) -> str:
    """What is wrong where one day has two different values, published at one moment; empty where none has."""
    frame = pd.DataFrame({"day": days, "at": published if published is not None else 0, "value": values})
    frame = frame.dropna().drop_duplicates()
    twice = frame[frame.duplicated(["day", "at"], keep=False)].sort_values(["day", "at"], kind="stable")
    if twice.empty:
        return ""
    one, other = twice["value"].iloc[:2]
    return f"two values on {twice['day'].iloc[0].date()}, {one:g} and {other:g}; keep one"


def _moments(published: Stamps, rows: Ints, calendar: str) -> Moments:
    wall = published.wall[rows]
    if published.east is not None:
        utc: Moments = wall - published.east[rows].astype("timedelta64[s]")
        return utc
    days = wall.astype("datetime64[D]")
    wall = np.where(wall == days, (days + 1).astype("datetime64[s]"), wall)
    twice = np.zeros(len(wall), bool)  # where an hour comes twice, the later one
    stamps = pd.DatetimeIndex(wall).tz_localize(zone_of(calendar), ambiguous=twice, nonexistent="shift_forward")
    moments: Moments = stamps.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")
    return moments
