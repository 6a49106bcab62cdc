"""Folders of files: csv and parquet say the same, names are looked up and never followed."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import PriceError, SourceError
from s2squant.prices.sources import folder as folder_source
from s2squant.prices.sources import room
from s2squant.prices.universe import load_ticker, load_universe, open_source

GOOD = "Date,Close\n2024-01-02,1\n2024-01-03,2\n2024-01-04,3\n"


def write(folder, **files):
    for ticker, text in files.items():
        (folder / f"{ticker}.csv").write_text(text, encoding="utf-8")
    return f"csv:{folder}"


def refusal(tmp_path, text):
    with pytest.raises(PriceError) as caught:
        load_ticker(open_source(write(tmp_path, BAD=text)), "BAD", Universe())
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("index", [True, False])
def test_csv_and_parquet_give_the_same_history(tmp_path, index):
    for ticker in ("AAPL", "EURUSD"):
        history = open_source("sample").history(ticker)
        columns = {name.title(): values for name, values in history.bars.items()} | {"Adj Close": history.adj_close}
        frame = pd.DataFrame({"Date": pd.DatetimeIndex(history.dates), **columns})
        frame = frame.set_index("Date") if index else frame
        frame.to_csv(tmp_path / f"{ticker}.csv", index=index)
        frame.to_parquet(tmp_path / f"{ticker}.parquet")
        read = [open_source(f"{form}:{tmp_path}").history(ticker) for form in ("csv", "parquet")]
        assert read[0].sha256 == read[1].sha256 == history.sha256
        assert read[0].calendar == read[1].calendar == history.calendar
        assert read[0].source == f"csv:{tmp_path}"
        assert read[0].fetched_at


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "BAD.csv is empty"),
        ("Date,Close\n", "no rows"),
        ("Date,Close\n2024-01-02,1\n", "at least 2"),
        ("Date,Volume\n2024-01-02,1\n2024-01-03,1\n", "no price column"),
        (
            "Date,Close\n2024-01-02,1,234.5\n2024-01-03,1,235.5\n",
            "rows hold more cells than the heading: line 2 has 3, the heading 2",
        ),
        ("Date,Close\n2024-01-02,1\n2024-01-03,1,235.5\n", "line 3 has 3 cells, the heading 2; write 1234.50 for"),
        ('Date,Close\n2024-01-02,"1,234"\n2024-01-03,5\n', "'1,234' may be 1.234 or 1234; write numbers such as"),
        ("Date,Close\n2024-01-02,1\n2024-01-03,n/k\n", "price is 'n/k' on 2024-01-03"),
        ("Date,Close\n2024-01-02,1\n2024-01-03,0\n", "price 0.0 on 2024-01-03"),
        ("Date,Close\n2024-01-02,1\nyesterday,2\n", "'yesterday' is no date"),
        ("Date,Close\n2024-01-02,1\n,2\n", "is no date"),
        ("Date,Close\n2024-01-02,1\n2024-01-02,2\n", "stands twice"),
    ],
)
def test_bad_csv(tmp_path, text, reason):
    assert reason in refusal(tmp_path, text)


def test_files_that_are_not_what_they_say(tmp_path):
    (tmp_path / "A.parquet").write_bytes(b"no parquet at all")
    (tmp_path / "A.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
    for form in ("csv", "parquet"):
        with pytest.raises(PriceError, match=f"cannot be read as {form}"):
            open_source(f"{form}:{tmp_path}").history("A")


def test_csv_with_byte_order_mark_and_empty_rows(tmp_path):
    (tmp_path / "A.csv").write_text("\ufeff" + GOOD + ",\n,\n", encoding="utf-8")
    history = open_source(f"csv:{tmp_path}").history("A")
    assert (len(history), history.findings) == (3, ())


def test_a_file_that_asks_for_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """A few kilobytes of a compressed file may stand for gigabytes: by its rows, its columns, or one long text."""
    rows, day = 1_001, pa.scalar(20_000, pa.int32())
    monkeypatch.setattr(folder_source, "MOST_ROWS", 1_000)
    files = {
        "ROWS": pa.table({"Date": pa.repeat(day, rows).cast(pa.date32()), "Close": pa.repeat(1.0, rows)}),
        "TEXT": pa.table({"Date": ["x" * 100_000] * 1_000, "Close": [1.0] * 1_000}),
    }
    for ticker, table in files.items():
        pq.write_table(table, tmp_path / f"{ticker}.parquet")
        assert (tmp_path / f"{ticker}.parquet").stat().st_size < 300_000
    source = open_source(f"parquet:{tmp_path}")
    with pytest.raises(PriceError, match="holds 1,001 rows, and one ticker at most 1,000"):
        source.history("ROWS")
    (tmp_path / "WIDE.csv").write_text("Date,Close" + ",x" * 10_000 + "\n1" + "," * 10_001 + "\n1" * 10_000)
    monkeypatch.setattr(folder_source, "MOST_ROWS", 20_000)
    monkeypatch.setattr(room, "free_memory", lambda: 100 * 2**20)
    with pytest.raises(PriceError, match=r"takes about 0\.1 GiB of memory, and a file may take 0\.0 GiB here; split"):
        source.history("TEXT")
    with pytest.raises(PriceError, match=r"WIDE\.csv: reading it takes about 1\.5 GiB"):
        open_source(f"csv:{tmp_path}").history("WIDE")


def test_bad_folders(tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        open_source(f"csv:{tmp_path / 'none'}")
    with pytest.raises(SourceError, match=r"holds no \.csv file; put one TICKER\.csv"):
        open_source(f"csv:{tmp_path}")
    write(tmp_path, A=GOOD)
    with pytest.raises(SourceError, match=r"it holds 1 \.csv file\(s\): use csv:"):
        open_source(f"parquet:{tmp_path}")
    (tmp_path / "A.CSV").write_text(GOOD)
    with pytest.raises(SourceError, match="same ticker"):
        open_source(f"csv:{tmp_path}")


def test_listing_takes_price_files_only(tmp_path):
    spec = write(tmp_path, B=GOOD, A=GOOD)
    (tmp_path / ".hidden.csv").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("x")
    assert open_source(spec).tickers() == ("A", "B")
    assert [h.ticker for h in load_universe(Universe(source=spec)).histories] == ["A", "B"]


@pytest.mark.parametrize(
    "ticker", ["../secret", "../../x", "/etc/passwd", "A/B", "<b>", "", ".", "A.csv", "a\nb", "A\0"]
)
def test_hostile_names_are_unknown_tickers(tmp_path, ticker):
    (tmp_path / "secret.csv").write_text(GOOD)
    folder = tmp_path / "prices"
    folder.mkdir()
    spec = write(folder, A=GOOD)
    with pytest.raises(SourceError, match="has no ticker") as caught:
        open_source(spec).check((ticker,))
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError):
        open_source(spec).history(ticker)


def test_a_second_download_is_the_same_ticker(tmp_path):
    write(tmp_path, **{"AAPL (1)": GOOD, "MSFT - Copy": GOOD})
    assert open_source(f"csv:{tmp_path}").tickers() == ("AAPL", "MSFT")
    assert len(open_source(f"csv:{tmp_path}").history("AAPL")) == 3
    write(tmp_path, AAPL=GOOD)
    with pytest.raises(SourceError, match=r"AAPL \(1\)\.csv and AAPL\.csv are the same ticker; keep one"):
        open_source(f"csv:{tmp_path}")
