"""One table of prices, as people keep them, into a PriceHistory: found, repaired where harmless, refused where not.

Headings are read without regard to case, spaces or underscores: Date (or ds, an index, the first column), Adj Close
(or Close, or y), and Open, High, Low, Close, Volume where present.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd

from s2squant.errors import PriceError
from s2squant.prices.calendars import guess_calendar
from s2squant.records import OHLCV, PriceHistory

PRICE_NAMES = ("adj close", "adjclose", "adjusted close", "close", "y")
DATE_NAMES = ("date", "ds")

_ISO = r"^\s*(\d{4})([-/]?)(\d{2})\2(\d{2})(?:[T ].*)?$"


def from_frame(
    frame: pd.DataFrame, ticker: str, *, source: str, calendar: str = "", fetched_at: str = ""
) -> PriceHistory:
    """Read one ticker's table; an empty `calendar` is guessed from ticker and dates.

    Dates are calendar dates: a time zone is dropped without shifting the day. Unsorted rows, exact duplicates and rows
    without a price are repaired and noted; anything doubtful raises PriceError with the date or row and the remedy.
    """
    frame = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index(allow_duplicates=True)
    frame = frame.dropna(how="all")
    if frame.empty:
        raise PriceError(ticker, "the table holds no rows; give it one row a day")
    columns = _columns(frame, ticker)
    price = next((columns[n] for n in PRICE_NAMES if n in columns), None)
    if price is None:
        found = ", ".join(str(c) for c in frame.columns[:8])
        raise PriceError(ticker, f"no price column among {found}; name one Adj Close or Close")
    dates = _dates(frame.iloc[:, _date_column(columns, ticker)], ticker)
    table = pd.DataFrame({"date": dates, "adj_close": _numbers(frame.iloc[:, price], dates, "price", ticker)})
    for name in OHLCV:
        if name in columns:
            table[name] = _numbers(frame.iloc[:, columns[name]], dates, name, ticker)
    table, notes = _repair(table, ticker)
    days = table["date"].to_numpy().astype("datetime64[D]")
    return PriceHistory(
        ticker=ticker,
        calendar=calendar or guess_calendar(ticker, days),
        dates=days,
        adj_close=table["adj_close"].to_numpy(),
        bars={name: table[name].to_numpy() for name in OHLCV if name in table},
        source=source,
        fetched_at=fetched_at,
        notes=tuple(notes),
    )


def read_parquet(data: bytes) -> pd.DataFrame:
    """Parse a parquet file's bytes; bytes, so that no folder name around the file adds a partition column."""
    return pd.read_parquet(BytesIO(data))


def _columns(frame: pd.DataFrame, ticker: str) -> dict[str, int]:
    """Plain heading -> position; raises where two headings that are used say the same."""
    columns: dict[str, int] = {}
    for position, heading in enumerate(frame.columns):
        name = " ".join(str(heading).lower().replace("_", " ").split())
        if name in columns and name in (*DATE_NAMES, *PRICE_NAMES, *OHLCV):
            raise PriceError(ticker, f"two columns are called {name}; keep one")
        columns.setdefault(name, position)
    return columns


def _date_column(columns: dict[str, int], ticker: str) -> int:
    for name in DATE_NAMES:
        if name in columns:
            return columns[name]
    first = next(iter(columns))
    if first in (*PRICE_NAMES, *OHLCV):
        raise PriceError(ticker, f"no date column (the first is {first}); name one Date")
    return 0


def _dates(column: pd.Series, ticker: str) -> pd.Series:
    """Calendar dates at midnight, without a time zone."""
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        days = column.dt.tz_localize(None).dt.normalize()
    else:
        parts = column.astype("str").str.extract(_ISO)
        days = pd.to_datetime(parts[0] + "-" + parts[2] + "-" + parts[3], format="%Y-%m-%d", errors="coerce")
    if days.isna().any():
        row = int(np.flatnonzero(days.isna())[0])
        value = str(column.iloc[row])
        if value == "Ticker":
            raise PriceError(ticker, "the heading has several rows; save yfinance frames with multi_level_index=False")
        raise PriceError(ticker, f"row {row + 1}: {value[:40]!r} is no date; write dates as YYYY-MM-DD")
    return pd.Series(days.to_numpy())


def _numbers(column: pd.Series, dates: pd.Series, name: str, ticker: str) -> pd.Series:
    """Floats, NaN where a cell is empty; raises on text that is no plain number."""
    column = column.reset_index(drop=True)
    if column.dtype.kind in "iuf":
        return column.astype("float64")
    text = column.astype("str").str.strip()
    values = pd.to_numeric(text, errors="coerce").astype("float64")
    wrong = values.isna() & column.notna() & (text != "")
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        where = f"{name} is {text.iloc[row][:40]!r} on {dates.iloc[row].date()}"
        raise PriceError(ticker, f"{where}; write plain numbers such as 1234.50")
    return values


def _repair(table: pd.DataFrame, ticker: str) -> tuple[pd.DataFrame, list[str]]:
    """Drop rows without a price and exact duplicates, sort, set impossible bar values aside; say what was done."""
    notes: list[str] = []
    lacking = table["adj_close"].isna()
    if lacking.any():
        first = table.loc[lacking, "date"].min().date()
        notes.append(f"{int(lacking.sum())} row(s) without a price dropped, the first on {first}")
        table = table[~lacking]
    if table.empty:
        raise PriceError(ticker, "no row holds a price; fill the price column")
    repeated = table.duplicated()
    if repeated.any():
        notes.append(f"{int(repeated.sum())} duplicate row(s) dropped")
        table = table[~repeated]
    twice = table["date"].duplicated(keep=False)
    if twice.any():
        day, prices = table.loc[twice, "date"].iloc[0].date(), table.loc[twice, "adj_close"]
        raise PriceError(
            ticker, f"{day} stands twice with different values (prices {prices.iloc[0]:g}, ...); keep one row a day"
        )
    if not table["date"].is_monotonic_increasing:
        notes.append("rows were not in order of date; sorted")
        table = table.sort_values("date")
    table = table.reset_index(drop=True)
    for name in (n for n in OHLCV if n in table):
        least = 0.0 if name == "volume" else np.nextafter(0, 1)
        known = table[name].notna()
        wrong = known & ~(np.isfinite(table[name]) & (table[name] >= least))
        if wrong.any():
            first = table.loc[wrong, "date"].iloc[0].date()
            notes.append(f"{int(wrong.sum())} impossible value(s) of {name} set aside, the first on {first}")
            table[name] = table[name].mask(wrong)
        if table[name].isna().all() or (name == "volume" and not (table[name] > 0).any()):
            table = table.drop(columns=name)  # a heading with nothing under it: currencies' volume, for one
    return table, notes
