"""Tables of prices with everyday headings: find dates, prices, bars and events, then repair or refuse.

Which headings are known, and of which exports, stands in `exports`; a caller who knows names dates and prices himself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s2squant.config.intervals import intraday
from s2squant.errors import Finding, PriceError, first_of, one_line
from s2squant.prices.calendars.grid import with_slots
from s2squant.prices.calendars.guess import named_calendar
from s2squant.prices.checks.repair import history_from_columns
from s2squant.prices.sources.exports import (
    DATES,
    FIELDS,
    PRICES,
    TICKERS,
    Export,
    export_of,
    plain,
    stripped,
    tickers_of,
)
from s2squant.prices.sources.moments import Clock, placed
from s2squant.prices.sources.numbers import decimal_sign, numbers
from s2squant.prices.sources.room import check_memory, check_parquet
from s2squant.prices.sources.stamps import parse, sessions_of, within_day
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory


@dataclass(frozen=True)
class Named:
    """The headings that hold a table's dates and its adjusted closes, each the first of them that it has."""

    dates: tuple[str, ...] = DATES
    prices: tuple[str, ...] = PRICES

    @property
    def used(self) -> tuple[str, ...]:
        return (*self.dates, *self.prices, *(name for names in FIELDS.values() for name in names))


ANY = Named()
"""As people call them."""


@dataclass(frozen=True)
class Columns:
    """A table's dates and numbers, nothing repaired yet."""

    dates: Dates
    table: dict[str, Floats]
    """adj_close, and the columns of bars and events that are there."""
    likely: str | None
    """Where the raw close is taken for the adjusted one, the heading that may be the latter, "" for none; else None."""
    moved: str
    """How stamps became dates where they are not as written; empty elsewhere."""
    market: str = ""
    """The market where bars are shorter than a day; empty elsewhere."""
    findings: tuple[Finding, ...] = ()
    """What was found in placing such bars on the session grid."""
    clock: str = ""
    """The zone that their stamps were taken to be of."""


def from_frame(
    frame: pd.DataFrame,
    ticker: str,
    *,
    source: str,
    calendar: str = "",
    fetched_at: str = "",
    named: Named = ANY,
    clock: Clock | None = None,
) -> PriceHistory:
    """Read one ticker's table; an empty `calendar` is guessed from ticker and dates.

    A stamp becomes the date of its session (see `stamps`), one of several a day the moment of its bar (`moments`).
    Unsorted rows, exact duplicates and rows without a price are repaired, impossible values of the other columns set
    aside, each with a finding; anything doubtful raises PriceError with the date or row and the remedy.
    """
    read = _read(frame, ticker, named, calendar, clock or Clock())
    history = with_slots(
        history_from_columns(
            read.dates, read.table, ticker, source=source, calendar=read.market or calendar, fetched_at=fetched_at
        )
    )
    findings = read.findings + history.findings
    if read.moved:
        days = (str(history.dates[0]),)
        findings += (Finding("time of day", "note", 1, days, "read as the session's date", read.moved),)
    if read.likely:
        text = f"Close is used, and {read.likely[:40]!r} is not known as the adjusted close; call it Adj Close if it is"
        findings += (Finding("unknown heading", "note", 1, (), "kept", text),)
    notes = ("no adjusted close is given; Close is taken for it",) if read.likely == "" else ()
    return replace(history, findings=findings, notes=notes, unread=_unread(frame, named), clock=read.clock)


def read_columns(
    frame: pd.DataFrame, ticker: str, named: Named = ANY, calendar: str = ""
) -> tuple[Dates, dict[str, Floats]]:
    """Dates and columns (adj_close, and the bars' where they stand) as the table has them, nothing repaired yet."""
    read = _read(frame, ticker, named, calendar, Clock())
    return read.dates, read.table


def _unread(frame: pd.DataFrame, named: Named) -> tuple[str, ...]:
    """The headings of a table that are none of a date, a ticker or a bar's; nothing where they name several tickers."""
    headings = [str(heading) for heading in _tidy(frame).columns]
    known = {*named.used, *ANY.used, *(TICKERS if named is ANY else ())}
    if isinstance(frame.columns, pd.MultiIndex) or tickers_of(headings):
        return ()
    others = tuple(h for h in headings if (name := plain(h)) and name not in known and not name.startswith("unnamed"))
    return () if len(others) == len(headings) - 1 and len(headings) == 2 else others  # FRED's one column is the price


def read_other(
    frame: pd.DataFrame, heading: str, ticker: str, *, calendar: str, named: Named = ANY
) -> tuple[Dates, pd.Series]:
    """The sessions' dates and the cells of one more column of a ticker's table, nothing repaired.

    Raises PriceError where the table has no such column, or its dates cannot be read.
    """
    frame = _tidy(frame)
    headings = [str(name) for name in frame.columns]
    if heading not in headings:
        raise PriceError(ticker, f"no column {heading!r}; {nearest(heading, headings)}")
    columns = _columns(headings, ticker, named)
    month_first = named is ANY and export_of(columns).month_first
    stamps = parse(_dates(frame, columns, ticker, named), ticker, month_first=month_first)
    cells = frame.iloc[:, headings.index(heading)]
    if intraday(calendar):
        on_grid = placed(stamps, ticker, calendar, Clock())
        return on_grid.moments, cells[on_grid.rows]
    return sessions_of(stamps, ticker, calendar)[0], cells


def headings_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """The headings of a table, those of its index and of several rows as they are read."""
    return tuple(str(name) for name in _tidy(frame).columns)


def nearest(heading: str, headings: Sequence[str]) -> str:
    """The remedy for a heading that a table lacks: the nearest it has, or those it has."""
    if not headings:
        return "it has no more than prices"
    near = difflib.get_close_matches(heading, headings, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"it has {first_of([one_line(h)[:40] for h in headings], 8)}"


def _tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its index as a column, headings of one row, and no blank rows."""
    frame = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index(allow_duplicates=True)
    if isinstance(frame.columns, pd.MultiIndex):  # yfinance's: fields and tickers
        frame = frame.set_axis([" ".join(filter(None, map(str, parts))) for parts in frame.columns], axis="columns")
    return frame.dropna(how="all") if len(frame) and frame.iloc[:, 0].isna().any() else frame


def _read(frame: pd.DataFrame, ticker: str, named: Named, calendar: str, clock: Clock) -> Columns:
    frame = _tidy(frame)
    if frame.empty:
        raise PriceError(ticker, "the table holds no rows; give it one row a day")
    columns = _columns([str(heading) for heading in frame.columns], ticker, named)
    chosen = _price_column(frame, columns, named)
    if not chosen:
        columns = _columns(stripped(str(heading) for heading in frame.columns), ticker, named)
        chosen = _price_column(frame, columns, named) or _only_other(columns, named)
    if named is ANY:
        _refuse_several(frame, columns, ticker, wide=not chosen)
    if not chosen:
        headings = ", ".join(str(c) for c in frame.columns[:8])
        raise PriceError(ticker, f"no price column among {headings}; name one Adj Close or Close")
    export = export_of(columns) if named is ANY else export_of(())
    stamps = parse(_dates(frame, columns, ticker, named), ticker, month_first=export.month_first)
    on_grid = placed(stamps, ticker, calendar, clock) if intraday(calendar) or within_day(stamps) else None
    dates, moved = (stamps.wall, "") if on_grid else sessions_of(stamps, ticker, calendar or named_calendar(ticker))
    places = {"adj_close": columns[chosen], **_places(columns, export)}
    if chosen not in FIELDS["close"] and "close" in places and places["close"] == places["adj_close"]:
        del places["close"]
    cells = _with_events({name: frame.iloc[:, place] for name, place in places.items()})
    decimal = decimal_sign(cells.values(), ticker)
    table = {
        name: numbers(column, dates, "price" if name == "adj_close" else name, ticker, decimal)
        * export.units.get(name, 1.0)
        for name, column in cells.items()
    }
    likely = next((str(frame.columns[position]) for name, position in columns.items() if "adj" in name), "")
    raw = chosen in FIELDS["close"] and chosen != "y"
    adjusted = likely if raw else None
    if on_grid is None:
        return Columns(dates, table, adjusted, moved)
    rows = {name: values[on_grid.rows] for name, values in table.items()}
    return Columns(on_grid.moments, rows, adjusted, "", on_grid.market, on_grid.findings, on_grid.zone)


def read_parquet(data: bytes, *, most_rows: int | None = None) -> pd.DataFrame:
    """Parse a parquet file's bytes; bytes, so that no folder name around the file adds a partition column.

    Raises OSError or ValueError for bytes that are no parquet file, TooLargeError for one that asks for too much.
    """
    try:
        file = pq.ParquetFile(BytesIO(data))
        check_parquet(file.metadata, most_rows)
        schema = file.schema_arrow
        texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)]
        table = pq.ParquetFile(BytesIO(data), read_dictionary=texts).read(use_threads=False)
        check_memory(sum(_text_bytes(column) for column in table.columns))  # a text read once may stand often
        frame: pd.DataFrame = table.cast(schema).to_pandas()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    return frame


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of a column's texts written out; 0 of other columns."""
    if not pa.types.is_dictionary(column.type):
        return 0
    chunks = (pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() for chunk in column.chunks)
    return sum(size or 0 for size in chunks)


def _columns(headings: list[str], ticker: str, named: Named) -> dict[str, int]:
    """Plain heading -> position; raises where two headings that are used say the same."""
    columns: dict[str, int] = {}
    for position, heading in enumerate(headings):
        name, first = plain(heading), plain(heading.removesuffix(".1"))  # pandas reads a second Close as Close.1
        twice = next((n for n in (name, first) if n in columns and n in named.used), None)
        if twice:
            spelling = " ".join(re.sub(r"^\s*\d+\.\s", "", heading.removesuffix(".1")).lower().split())
            raise PriceError(ticker, f"two columns are called {spelling}; keep one")
        columns.setdefault(name, position)
    return columns


def _price_column(frame: pd.DataFrame, columns: Mapping[str, int], named: Named) -> str:
    """The first known name of a price that the table has and that holds anything; else the first it has, or none."""
    there = [name for name in named.prices if name in columns]
    return next((n for n in there if frame.iloc[:, columns[n]].notna().any()), "") or next(iter(there), "")


def _places(columns: Mapping[str, int], export: Export) -> dict[str, int]:
    """The column of a bar or an event -> its position."""
    places = {}
    for name, headings in FIELDS.items():
        preferred = export.prefer.get(name)
        found = next((h for h in (*([preferred] if preferred else []), *headings) if h in columns), None)
        if found is None and name == "volume":  # in units of a coin, then of its money
            found = next((h for h in columns if h.startswith("volume")), None)
        if found is not None:
            places[name] = columns[found]
    return places


def _with_events(cells: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Columns with the events that rows of Yahoo's page hold in place of an open: 0.24 Dividend, 2:1 Stock Splits."""
    text = cells["open"] if "open" in cells and cells["open"].dtype.kind not in "iuf" else None
    if text is None or not text.astype("str").str.contains("Dividend|Stock Split", regex=True).any():
        return cells
    parts = text.astype("str").str.extract(
        r"^\s*(?P<cash>[\d.]+) Dividend\s*$|^\s*(?P<ratio>[\d.:/]+) Stock Splits?\s*$"
    )
    event = parts.notna().any(axis=1)
    bare = {name: column.mask(event) for name, column in cells.items()}
    return {**bare, "dividends": parts["cash"].fillna("0"), "splits": parts["ratio"].fillna("0")}


def _only_other(columns: Mapping[str, int], named: Named) -> str:
    """The one column beside the dates, whatever it is called, as FRED's; empty where there are more or it is known."""
    others = [n for n in columns if n not in named.dates and n not in TICKERS]
    one = others[0] if named is ANY and len(others) == 1 and len(columns) > 1 else ""
    return "" if one in named.used else one


def split_tickers(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tickers that a column or the headings of a table name -> the rows or columns of each; empty where none do."""
    headings = [str(heading) for heading in frame.columns]
    for place, heading in enumerate(headings):
        if plain(heading) in TICKERS:
            rest = [k for k in range(len(headings)) if k != place]
            groups = frame.groupby(frame.iloc[:, place].astype("str"), sort=False)
            return {str(ticker): rows.iloc[:, rest].reset_index(drop=True) for ticker, rows in groups}
    wide = tickers_of(headings)
    shared = [k for k in range(len(headings)) if not any(k in columns for columns in wide.values())]
    return {
        ticker: frame.iloc[:, [*shared, *columns]].set_axis([*(headings[k] for k in shared), *columns.values()], axis=1)
        for ticker, columns in wide.items()
    }


def _refuse_several(frame: pd.DataFrame, columns: Mapping[str, int], ticker: str, *, wide: bool) -> None:
    """Raise PriceError where a column, or the headings (`wide`), name several tickers."""
    tickers = list(tickers_of(str(heading) for heading in frame.columns)) if wide else []
    for place in (columns[n] for n in TICKERS if n in columns):
        tickers = tickers or list(frame.iloc[:, place].dropna().astype("str").unique())
    if len(tickers) > 1:
        text = f"it holds {len(tickers)} tickers ({first_of([one_line(t)[:20] for t in tickers], 3)})"
        raise PriceError(ticker, f"{text}; name the file itself as the source, csv:FILE, or give each ticker its own")


def _dates(frame: pd.DataFrame, columns: Mapping[str, int], ticker: str, named: Named) -> pd.Series:
    """The cells of the dates, those of a column Time joined to them where a date has several bars."""
    place = _date_column(frame, columns, ticker, named)
    days, time = frame.iloc[:, place], columns.get("time", place)
    if named is not ANY or time == place or days.nunique() > len(days) / 2 + 1:
        return days
    return days.astype("str").str.removesuffix(" 00:00:00") + " " + frame.iloc[:, time].astype("str").str.strip()


def _date_column(frame: pd.DataFrame, columns: Mapping[str, int], ticker: str, named: Named) -> int:
    for name in named.dates:
        if name in columns:
            return columns[name]
    first = next(iter(columns))
    if str(frame.iloc[0, 0]) == "Ticker":
        raise PriceError(ticker, "the heading has several rows; save yfinance frames with multi_level_index=False")
    if first in (*named.prices, *FIELDS):
        raise PriceError(ticker, f"no date column (the first is {first}); name one Date")
    return 0
