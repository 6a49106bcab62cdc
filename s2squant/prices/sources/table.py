"""One table of prices, as people keep them, into a PriceHistory: found, repaired where certain, refused where not.

Headings are read by their letters and digits alone (Adj. Close, adj-close and AdjClose are one): Date (or ds, an index,
the first column), Adj Close (or Close, or y), and Open, High, Low, Close, Volume where present. A caller who knows
names dates and prices himself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from s2squant.errors import Finding, PriceError
from s2squant.prices.calendars.guess import guess_calendar
from s2squant.prices.checks.bars import is_future
from s2squant.prices.checks.marks import mark
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import OHLCV, PriceHistory


def impossible(table: dict[str, Floats], *, signed: bool = False) -> dict[str, NDArray[np.bool_]]:
    """Which values of open, high, low, close and volume cannot be, by column; columns without any are left out.

    A price of a bar is finite and, unless `signed`, above zero, a volume finite and not below zero; either may be
    unknown (NaN).
    """
    bars = {name: values for name, values in table.items() if name in OHLCV}
    if all(_evident(name, values, signed) for name, values in bars.items()):
        return {}
    import pandera.errors

    try:
        _schema(signed).validate(pd.DataFrame(bars), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        wrong = {name: np.zeros(len(values), bool) for name, values in bars.items()}
        for name, row in zip(cases["column"], cases["index"], strict=True):
            wrong[name][int(row)] = True
        return {name: mask for name, mask in wrong.items() if mask.any()}
    return {}


def _evident(name: str, values: Floats, signed: bool) -> bool:
    """Whether all values of a column are known and possible."""
    if len(values) == 0:
        return True
    least = values.min()  # NaN where any is NaN
    sound = least >= 0 if name == "volume" else least > (-np.inf if signed else 0)
    return bool(sound and values.max() < np.inf)


@cache
def _schema(signed: bool) -> Any:
    import pandera.pandas as pa  # half a second to import, and sound tables never need it

    above, least = pa.Check.gt(-np.inf if signed else 0), pa.Check.ge(0)
    finite = pa.Check(np.isfinite, name="finite")

    def column(sign: Any) -> Any:
        return pa.Column("float64", [sign, finite], nullable=True, required=False)

    return pa.DataFrameSchema({n: column(least if n == "volume" else above) for n in OHLCV}, strict=True)


PRICE_NAMES = ("adjclose", "adjustedclose", "closeadj", "closeadjusted", "close", "y")


DATE_NAMES = ("date", "ds")


_ISO = r"^\s*(\d{4})([-/]?)(\d{2})\2(\d{2})(?:[T ].*)?$"


@dataclass(frozen=True)
class Named:
    """The headings that hold a table's dates and its adjusted closes, each the first of them that it has."""

    dates: tuple[str, ...] = DATE_NAMES
    prices: tuple[str, ...] = PRICE_NAMES

    @property
    def used(self) -> tuple[str, ...]:
        return (*self.dates, *self.prices, *OHLCV)


ANY = Named()
"""As people call them."""


def from_frame(
    frame: pd.DataFrame, ticker: str, *, source: str, calendar: str = "", fetched_at: str = "", named: Named = ANY
) -> PriceHistory:
    """Read one ticker's table; an empty `calendar` is guessed from ticker and dates.

    Dates are calendar dates: a time zone is dropped without shifting the day. Unsorted rows, exact duplicates and rows
    without a price are repaired, impossible values of the other columns set aside, each with a finding; anything
    doubtful raises PriceError with the date or row and the remedy.
    """
    dates, table, likely = _read(frame, ticker, named)
    history = from_columns(dates, table, ticker, source=source, calendar=calendar, fetched_at=fetched_at)
    if likely is None:
        return history
    if not likely:
        return replace(history, notes=("no adjusted close is given; Close is taken for it",))
    text = f"Close is used, and {likely[:40]!r} is not known as the adjusted close; call it Adj Close if it is"
    return replace(history, findings=(*history.findings, Finding("unknown heading", "note", 1, (), "kept", text)))


def read_columns(frame: pd.DataFrame, ticker: str, named: Named = ANY) -> tuple[Dates, dict[str, Floats]]:
    """Dates and columns (adj_close, and the bars' where they stand) as the table has them, nothing repaired yet."""
    dates, table, _ = _read(frame, ticker, named)
    return dates, table


def _read(frame: pd.DataFrame, ticker: str, named: Named) -> tuple[Dates, dict[str, Floats], str | None]:
    """As `read_columns`; and where Close is taken for the adjusted close, the heading that may be it, "" for none."""
    frame = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index(allow_duplicates=True)
    frame = frame.dropna(how="all") if len(frame) and frame.iloc[:, 0].isna().any() else frame
    if frame.empty:
        raise PriceError(ticker, "the table holds no rows; give it one row a day")
    columns = _columns(frame, ticker, named)
    chosen = next((n for n in named.prices if n in columns), None)
    if chosen is None:
        found = ", ".join(str(c) for c in frame.columns[:8])
        raise PriceError(ticker, f"no price column among {found}; name one Adj Close or Close")
    dates = _dates(frame.iloc[:, _date_column(columns, ticker, named)], ticker)
    table = {"adj_close": _numbers(frame.iloc[:, columns[chosen]], dates, "price", ticker)}
    table |= {n: _numbers(frame.iloc[:, columns[n]], dates, n, ticker) for n in OHLCV if n in columns}
    likely = next((str(frame.columns[position]) for name, position in columns.items() if "adj" in name), "")
    return dates, table, likely if chosen == "close" else None


def from_columns(
    dates: Dates, table: dict[str, Floats], ticker: str, *, source: str, calendar: str = "", fetched_at: str = ""
) -> PriceHistory:
    """As `from_frame`, from dates and columns, adj_close among them."""
    dates, table, repaired = _repair(dates, table, ticker)
    table, aside = _set_aside(dates, table, signed=is_future(ticker))
    return PriceHistory(
        ticker=ticker,
        calendar=calendar or guess_calendar(ticker, dates),
        dates=dates,
        adj_close=table["adj_close"],
        bars={name: table[name] for name in OHLCV if name in table},
        source=source,
        fetched_at=fetched_at,
        findings=(*repaired, *aside),
    )


def read_parquet(data: bytes) -> pd.DataFrame:
    """Parse a parquet file's bytes; bytes, so that no folder name around the file adds a partition column.

    Raises OSError or ValueError for bytes that are no parquet file.
    """
    try:
        frame: pd.DataFrame = pq.ParquetFile(BytesIO(data)).read(use_threads=False).to_pandas()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    return frame


def _columns(frame: pd.DataFrame, ticker: str, named: Named) -> dict[str, int]:
    """Plain heading -> position; raises where two headings that are used say the same."""
    columns: dict[str, int] = {}
    for position, heading in enumerate(frame.columns):
        told = re.sub(r"^\s*\d+\.\s", "", str(heading))  # 5. adjusted close
        name, first = _plain(told), _plain(told.removesuffix(".1"))  # pandas reads a second Close as Close.1
        twice = next((n for n in (name, first) if n in columns and n in named.used), None)
        if twice:
            said = " ".join(told.removesuffix(".1").lower().split())
            raise PriceError(ticker, f"two columns are called {said}; keep one")
        columns.setdefault(name, position)
    return columns


def _plain(heading: str) -> str:
    return "".join(sign for sign in heading.lower() if sign.isalnum())


def _date_column(columns: dict[str, int], ticker: str, named: Named) -> int:
    for name in named.dates:
        if name in columns:
            return columns[name]
    first = next(iter(columns))
    if first in (*named.prices, *OHLCV):
        raise PriceError(ticker, f"no date column (the first is {first}); name one Date")
    return 0


def _dates(column: pd.Series, ticker: str) -> Dates:
    """Calendar dates, without a time zone."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize(None)
    if column.dtype.kind == "M":
        days = column.to_numpy().astype("datetime64[D]")
    else:
        parts = column.astype("str").str.extract(_ISO)
        text = parts[0] + "-" + parts[2] + "-" + parts[3]
        days = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce").to_numpy().astype("datetime64[D]")
    if np.isnat(days).any():
        row = int(np.flatnonzero(np.isnat(days))[0])
        value = str(column.iloc[row])
        if value == "Ticker":
            raise PriceError(ticker, "the heading has several rows; save yfinance frames with multi_level_index=False")
        raise PriceError(ticker, f"row {row + 1}: {value[:40]!r} is no date; write dates as YYYY-MM-DD")
    return days


def _numbers(column: pd.Series, dates: Dates, name: str, ticker: str) -> Floats:
    """Floats, NaN where a cell is empty; raises on text that is no plain number."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        return column.to_numpy().astype(np.float64)
    text = column.astype("str").str.strip()
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(values) & column.notna().to_numpy() & (text != "").to_numpy()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        where = f"{name} is {str(text.iloc[row])[:40]!r} on {dates[row]}"
        raise PriceError(ticker, f"{where}; write plain numbers such as 1234.50")
    return values


def _repair(
    dates: Dates, table: dict[str, Floats], ticker: str
) -> tuple[Dates, dict[str, Floats], tuple[Finding, ...]]:
    """Drop rows without a price and exact duplicates, sort; say what was done."""
    found: tuple[Finding, ...] = ()
    lacking = np.isnan(table["adj_close"])
    if lacking.any():
        rows = np.sort(dates[lacking])
        text = f"{len(rows)} row(s) without a price dropped, the first on {rows[0]}"
        found += mark("missing price", "note", rows, text, done="dropped")
        dates, table = _taken(dates, table, ~lacking)
    if len(dates) == 0:
        raise PriceError(ticker, "no row holds a price; fill the price column")
    steps = np.diff(dates).astype(np.int64)
    if (steps > 0).all():
        return dates, table, found
    order = np.argsort(dates, kind="stable")
    out_of_place = dates[1:][steps < 0]
    dates, table = _taken(dates, table, order)
    if (np.diff(dates) == np.timedelta64(0, "D")).any():
        repeated = pd.DataFrame({"date": dates, **table}).duplicated().to_numpy()
        days = dates[repeated]
        found += mark("duplicate", "note", days, f"{len(days)} duplicate row(s) dropped", done="dropped")
        dates, table = _taken(dates, table, ~repeated)
        same = np.diff(dates) == np.timedelta64(0, "D")
        if same.any():
            raise _conflict(dates, table, same, ticker, found)
    if len(out_of_place):
        found += mark("order", "note", out_of_place, "rows were not in order of date; sorted", done="sorted")
    return dates, table, found


def _conflict(
    dates: Dates, table: dict[str, Floats], same: np.ndarray, ticker: str, found: tuple[Finding, ...]
) -> PriceError:
    first = int(np.flatnonzero(same)[0])
    prices = f"prices {table['adj_close'][first]:g} and {table['adj_close'][first + 1]:g}"
    text = f"{dates[first]} stands twice with different values ({prices}); keep one row a day"
    rows = np.unique(dates[1:][same])
    return PriceError(ticker, text, (*found, *mark("conflicting rows", "error", rows, text)))


def _set_aside(
    dates: Dates, table: dict[str, Floats], *, signed: bool
) -> tuple[dict[str, Floats], tuple[Finding, ...]]:
    """Turn bar values that cannot be (a price or volume below zero, infinite) into unknown ones, and say so."""
    found: tuple[Finding, ...] = ()
    for name, wrong in impossible(table, signed=signed).items():
        rows = dates[wrong]
        text = f"{len(rows)} impossible value(s) of {name} set aside, the first on {rows[0]}"
        found += mark("impossible value", "warning", rows, text, done="set aside")
        table = {**table, name: np.where(wrong, np.nan, table[name])}
    empty = {n for n, v in table.items() if np.isnan(v).all() or (n == "volume" and not (v > 0).any())}
    return {n: v for n, v in table.items() if n not in empty}, found  # a heading with nothing under it: FX volume


def _taken(dates: Dates, table: dict[str, Floats], rows: np.ndarray) -> tuple[Dates, dict[str, Floats]]:
    return dates[rows], {name: values[rows] for name, values in table.items()}
