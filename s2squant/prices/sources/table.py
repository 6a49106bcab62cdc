"""Tables of prices with everyday headings: find dates, prices and bars, then repair or refuse.

Headings are read by their letters and digits alone (Adj. Close, adj-close and AdjClose are one): Date (or ds, an index,
the first column), Adj Close (or Close, or y), and Open, High, Low, Close, Volume, Dividends and Stock Splits where
present. A caller who knows names dates and prices himself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from s2squant.errors import Finding, PriceError
from s2squant.prices.checks.repair import history_from_columns
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import OHLCV, PriceHistory

PRICE_NAMES = ("adjclose", "adjustedclose", "closeadj", "closeadjusted", "close", "y")
DATE_NAMES = ("date", "ds")
EVENT_NAMES = {"dividends": ("dividends", "dividend"), "splits": ("stocksplits", "splits", "splitratio")}
"""The headings of dividends (cash a share) and splits (new shares an old one), each the first of them that is there."""
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
    history = history_from_columns(dates, table, ticker, source=source, calendar=calendar, fetched_at=fetched_at)
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
        headings = ", ".join(str(c) for c in frame.columns[:8])
        raise PriceError(ticker, f"no price column among {headings}; name one Adj Close or Close")
    dates = _dates(frame.iloc[:, _date_column(columns, ticker, named)], ticker)
    table = {"adj_close": _numbers(frame.iloc[:, columns[chosen]], dates, "price", ticker)}
    events = {n: next((h for h in headings if h in columns), "") for n, headings in EVENT_NAMES.items()}
    places = {n: columns[n] for n in OHLCV if n in columns} | {n: columns[h] for n, h in events.items() if h}
    table |= {n: _numbers(frame.iloc[:, place], dates, n, ticker) for n, place in places.items()}
    likely = next((str(frame.columns[position]) for name, position in columns.items() if "adj" in name), "")
    return dates, table, likely if chosen == "close" else None


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
        text = re.sub(r"^\s*\d+\.\s", "", str(heading))  # 5. adjusted close
        name, first = _plain(text), _plain(text.removesuffix(".1"))  # pandas reads a second Close as Close.1
        twice = next((n for n in (name, first) if n in columns and n in named.used), None)
        if twice:
            spelling = " ".join(text.removesuffix(".1").lower().split())
            raise PriceError(ticker, f"two columns are called {spelling}; keep one")
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
