"""Exports that people have on disk: each small file is read with the true dates and closes, or refused by cause."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import PriceError, SourceError
from s2squant.prices.sources.exports import EXPORTS, FIELDS, export_of, plain, stripped
from s2squant.prices.universe import load_universe, open_source

DAYS = np.busday_offset("2024-01-08", np.arange(30), roll="forward")
CLOSES = 100 + 0.37 * np.arange(30)
FIRST = "2024-01-08"


def lines(row, *heading, end="", newest_first=False):
    """The text of an export: what stands above, then a row a day, made from day, close and its text with a comma."""
    rows = [
        row.format(d=day.astype(object), c=close, k=f"{close:.2f}".replace(".", ","), e=day.astype("M8[s]").astype(int))
        for day, close in zip(DAYS, CLOSES, strict=True)
    ]
    return "\n".join([*heading, *(rows[::-1] if newest_first else rows)]) + "\n" + end


BARS = "{c:.2f},{c:.2f},{c:.2f},{c:.2f}"
OHLCV = "Open,High,Low,Close,Volume"
FILES = {
    "Yahoo": lines("{d}," + BARS + ",{c:.2f},5", "Date,Open,High,Low,Close,Adj Close,Volume"),
    "Yahoo's page": lines(
        '"{d:%b %d, %Y}",' + BARS + ',{c:.2f},"1,234,500"', "Date,Open,High,Low,Close*,Adj Close**,Volume"
    ),
    "yfinance, index of stamps": lines(
        "{d} 00:00:00-05:00," + BARS + ",5,0.0,0.0", f"Date,{OHLCV},Dividends,Stock Splits"
    ),
    "yfinance, heading of three rows": lines(
        "{d}," + BARS + ",5", "Price,Close,High,Low,Open,Volume", "Ticker,T,T,T,T,T", "Date,,,,,"
    ),
    "yfinance, grouped by ticker": lines(
        "{d}," + BARS + ",5", "Ticker,T,T,T,T,T", "Price,Close,High,Low,Open,Volume", "Date,,,,,"
    ),
    "yfinance, joined headings": lines("{d},{c},{c},5", "Date,Close_AAPL,High_AAPL,Volume_AAPL"),
    "Investing.com": lines(
        '"{d:%m/%d/%Y}","{c:.2f}","{c:.2f}","{c:.2f}","{c:.2f}","1.41M","-0.44%"',
        '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"',
        newest_first=True,
    ),
    "Nasdaq": lines(
        "{d:%m/%d/%Y},${c:.2f},5,${c:.2f},${c:.2f},${c:.2f}", "Date,Close/Last,Volume,Open,High,Low", newest_first=True
    ),
    "Cboe": lines(
        "{d:%m/%d/%Y}," + BARS, '"Historical price data. For more information visit it."', "Date,Open,High,Low,Close"
    ),
    "Barchart": lines(
        "{d:%m/%d/%Y}," + BARS + ",.1,-0.44%,5", "Time,Open,High,Low,Last,Change,%Chg,Volume",
        end='"Downloaded from Barchart.com as of 07-01-2025 05:12am CDT"\n',
    ),
    "MarketWatch": lines("{d:%m/%d/%y}," + BARS + ',"1,234,500"', f"Date,{OHLCV}"),
    "Google": lines("{d.month}/{d.day}/{d.year} 16:00:00,{c:.2f}", "Date,Close"),
    "Bloomberg": lines(
        "{d:%m/%d/%Y},{c:.2f},{c:.2f},5", "Security,ACME US Equity,,", "Start Date,11/01/2022,,", "Period,D,,", ",,,",
        "Date,PX_LAST,PX_OPEN,PX_VOLUME",
    ),
    "Refinitiv": lines(
        '{d:%d-%b-%Y},{c:.2f},1,+0.3%,{c:.2f},{c:.2f},{c:.2f},"1,234,567"',
        "Exchange Date,Close,Net,%Chg,Open,Low,High,Volume",
    ),
    "FRED": lines("{d},{c:.2f}", "observation_date,DEXUSEU"),
    "quantmod": lines(
        '"{d}",' + BARS + ",5,{c:.2f}",
        '"Index","BRK.B.Open","BRK.B.High","BRK.B.Low","BRK.B.Close","BRK.B.Volume","BRK.B.Adjusted"'
    ),
    "tidyquant": lines("T,{d}," + BARS + ",5,{c:.2f}", "symbol,date,open,high,low,close,volume,adjusted"),
    "Alpha Vantage": lines(
        "{d}," + BARS + ",{c:.2f},5,0.0000,1.0",
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient",
    ),
    "Tiingo": lines(
        "{d}T00:00:00.000Z," + BARS + ",5,{c:.2f},0.0,1.0",
        "date,close,high,low,open,volume,adjClose,divCash,splitFactor"
    ),
    "Polygon": lines(
        "ACME,5," + BARS + ",{e}000000000,100", "ticker,volume,open,close,high,low,window_start,transactions"
    ),
    "Alpaca": lines(
        "ACME,{d} 05:00:00+00:00," + BARS + ",5,100,{c}",
        "symbol,timestamp,open,high,low,close,volume,trade_count,vwap",
    ),
    "Tushare": lines(
        "000001.SZ,{d:%Y%m%d}," + BARS + ",{c},0,0,5,1",
        "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount",
    ),
    "Stooq": lines(
        "AAPL.US,D,{d:%Y%m%d},000000," + BARS + ",5,0",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
    ),
    "MetaTrader 5": lines(
        "{d:%Y.%m.%d}\t{c:.5f}\t{c:.5f}\t{c:.5f}\t{c:.5f}\t5\t0\t2",
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
    ),
    "MetaTrader 4": lines("{d:%Y.%m.%d},00:00," + BARS + ",5"),
    "HistData": lines("{d:%Y%m%d} 000000;{c:.5f};{c:.5f};{c:.5f};{c:.5f};5"),
    "Dukascopy": lines("{d:%d.%m.%Y} 00:00:00.000," + BARS + ",5", f"Gmt time,{OHLCV}"),
    "Binance": lines("{e}000," + BARS + ",5,{e}999,1.0,10,1.0,1.0,0"),
    "Binance, named": lines(
        "{e}000000," + BARS + ",5,{e}999999,1.0,10,1.0,1.0,0",
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
    ),
    "CryptoDataDownload": lines(
        "{e}000,{d},BTC/USDT," + BARS + ",5,500,10", "https://www.CryptoDataDownload.com",
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount", newest_first=True,
    ),
    "CoinGecko": lines("{d} 00:00:00 UTC,{c},5,6", "snapped_at,price,market_cap,total_volume"),
    "TradingView": lines("{e}," + BARS + ",5,6", "time,open,high,low,close,Volume,Volume MA"),
    "German": lines("{d};{k};{k};{k};{k};1150327;0", "Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen"),
    "German, Windows": lines("{d:%d.%m.%Y};{k};{k};1.234.567", "Datum;Eröffnung;Schluss;Volumen").encode("cp1252"),
    "French": lines("{d:%d/%m/%Y} 00:00\t{k}\t{k}\t{k}\t{k}\t5\tEUR", "date\touv\thaut\tbas\tclot\tvol\tdevise"),
    "Euronext": lines(
        "{d:%d/%m/%Y}," + BARS + ",{c:.2f},5,6,7,8", '"Historical Data"', '"From 2024-01-08"', "NL0010273215", "",
        'Date,Open,High,Low,Last,Close,"Number of Shares","Number of Trades",Turnover,vwap',
    ),
    "Nordic": lines(
        "{d};{k};{k};{k};{k};{k};{k};;1 234;4;", "sep=;",
        "Date;Bid;Ask;Opening price;High price;Low price;Closing price;Average price;Total volume;Trades;",
    ),
    "India": lines(
        '"{d:%d-%b-%Y}","EQ","{c:.2f}","1","{c:.2f}","12,34,567"',
        '"Date ","series ","OPEN ","PREV. CLOSE ","close ","VOLUME "'
    ),
    "R's row names": lines('"{d}",' + BARS, '"Open","High","Low","Close"'),
    "title above": lines("{d},{c}", "ACME Inc daily prices", "", "Date,Close"),
    "comment above": lines("{d},{c}", "# source: ACME desk, daily", "Date,Close"),
    "comma at the end of rows": lines("{d},{c},", "Date,Close"),
    "whole numbers and a blank row": lines("{d:%Y%m%d},{c}", "Date,Close", end=",\n"),
    "a dash for no volume": lines("{d},{c},-", "Date,Close,Volume"),
}  # fmt: skip


def read(folder, text, ticker="T"):
    (folder / f"{ticker}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(f"csv:{folder}").history(ticker)


@pytest.mark.parametrize("name", FILES)
def test_an_export_is_read_as_it_is_meant(name, tmp_path):
    history = read(tmp_path, FILES[name])
    np.testing.assert_array_equal(history.dates, DAYS)
    np.testing.assert_allclose(history.adj_close, CLOSES, atol=0.005)
    assert {f.name for f in history.findings} <= {"order"}
    assert not history.events


VOLUMES = {
    "Investing.com": 1.41e6,
    "Tushare": 500,
    "Yahoo's page": 1234500,
    "German": 1150327,
    "German, Windows": 1234567,
    "India": 1234567,
    "Nordic": 1234,
    "MetaTrader 5": 5,
}


def test_volumes_are_read_in_their_units(tmp_path):
    assert {name: read(tmp_path, FILES[name]).bars["volume"][-1] for name in VOLUMES} == VOLUMES
    assert "volume" not in read(tmp_path, FILES["a dash for no volume"]).bars


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Date,Close\n01/02/2024,1\n02/02/2024,2\n",
            "'01/02/2024' may be day 1 of month 2 or day 2 of month 1 of 2024",
        ),
        ("Date,Close\n13/02/2024,1\n02/14/2024,2\n", "dates are of two forms, '13/02/2024' and '02/14/2024'"),
        ('Date,Close\n2024-01-02,"1,234"\n2024-01-03,"1,235"\n', "'1,234' may be 1.234 or 1234"),
        ("Date,Close\n45293,1\n45294,2\n", "'45293' is no date; a spreadsheet's number of a day"),
        ("2024-01-02,1.5\n2024-01-03,2.5\n", "line 1 holds a row already, and no line names the columns"),
        (
            lines("{d} 10:00,1,2,3,4\n{d} 11:00,1,2,3,5", "Date,Open,High,Low,Close"),
            "its 1h bars do not fit the trading hours of XNYS",
        ),
        (lines("{d},{c},A\n{d},{c},B", "date,close,Name"), "it holds 2 tickers (A, B); name the file itself"),
        (lines("{d},{c},{c}", "Price,Close,Close", "Ticker,A,B", "Date,,"), "it holds 2 tickers (A, B); name the"),
        (lines("{d},{c}", "Date,Open,Close"), "rows hold fewer cells than the heading: 2 of 3; see to its separators"),
        ("<!DOCTYPE html>\n<html></html>\n", "it is a web page, not a table; download it again"),
    ],
)
def test_what_is_left_open_is_refused_with_its_cause(text, reason, tmp_path):
    with pytest.raises(PriceError) as caught:
        read(tmp_path, text)
    assert reason in caught.value.reason


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("shape", ["long", "wide"])
def test_a_file_of_several_tickers_is_a_source(form, shape, tmp_path):
    if shape == "long":
        text = lines("{d},{c},AAL\n{d},1{c},AAPL", "date,close,Name")
    else:
        text = lines("{d},{c},1{c}", "Price,Close,Close", "Ticker,AAL,AAPL", "Date,,")
    path = tmp_path / "all.csv"
    path.write_text(text)
    if form == "parquet":
        from s2squant.prices.sources.delimited import read_delimited

        frame, path = read_delimited(path.read_bytes()), tmp_path / "all.parquet"
        frame.to_parquet(path)
    loaded = load_universe(Universe(source=f"{form}:{path}"))
    assert [h.ticker for h in loaded.histories] == ["AAL", "AAPL"]
    np.testing.assert_allclose(loaded.histories[0].adj_close, CLOSES)
    assert loaded.histories[1].adj_close[0] == 1100.0
    assert loaded.histories[1].source == f"{form}:{path}"
    assert loaded.histories[1].fetched_at


def test_a_file_of_one_ticker_is_that_ticker(tmp_path):
    (tmp_path / "ACME.csv").write_text(FILES["Yahoo"])
    assert open_source(f"csv:{tmp_path / 'ACME.csv'}").tickers() == ("ACME",)
    (tmp_path / "bad.csv").write_text("")
    with pytest.raises(SourceError, match=r"bad\.csv is empty"):
        open_source(f"csv:{tmp_path / 'bad.csv'}")


def test_the_table_of_exports_is_sound():
    for export in EXPORTS:
        assert export_of(export.marks) is export
        assert all(plain(mark) == mark for mark in export.marks)
        assert {*export.prefer, *export.units} <= set(FIELDS)
    names = [name for names in FIELDS.values() for name in names]
    assert len(names) == len(set(names))
    assert all(plain(name) == name for name in names)


def test_a_ticker_in_every_heading_is_no_part_of_them():
    assert stripped(["Date", "AAPL.Open", "AAPL.Close"]) == ["Date", "Open", "Close"]
    assert stripped(["Date", "('Close', '^GSPC')"]) == ["Date", "Close"]
    assert stripped(["Date", "Close A", "Close B"]) == ["Date", "Close A", "Close B"]
    for headings in (["Date", "Prev Close"], ["Date", "Adj Close"], ["Date", "High price", "Closing price"]):
        assert stripped(headings) == headings


def test_events_between_the_rows_of_yahoo_s_page_are_read(tmp_path):
    rows = FILES["Yahoo's page"].splitlines()
    rows.insert(5, '"Jan 11, 2024","0.24 Dividend",,,,,')
    rows.insert(9, '"Jan 16, 2024","4:1 Stock Splits",,,,,')
    history = read(tmp_path, "\n".join(rows) + "\n")
    np.testing.assert_array_equal(history.dates, DAYS)
    told = {n: [(str(history.dates[k]), v[k]) for k in np.flatnonzero(v)] for n, v in history.events.items()}
    assert told == {"dividends": [("2024-01-11", 0.24)], "splits": [("2024-01-16", 4.0)]}
