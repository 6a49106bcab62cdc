"""Exports that people have on disk: what each calls its columns, and what its headings alone do not tell.

Headings are compared by their letters and digits alone, in lower case: Adj. Close, adj-close and AdjClose are one. A
column is the first of its names that a table has. What one export does otherwise stands in EXPORTS.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

_TABLE = """
    adjusted  adjclose adjustedclose closeadj closeadjusted adjusted adjustedprice adjprice
    date      date ds datum datetime timestamp tradedate tradingdate exchangedate observationdate pricedate quotedate
    date      time gmttime localtime timeeet opentime timeopen opentimestamp windowstart snappedat unix unixtimestamp
    date      day index dato fecha data t
    open      open openprice openingprice pxopen erster eroffnung eroffnungskurs ouv ouverture apertura o
    high      high highprice pxhigh dayhigh hoch tageshoch hochstkurs haut maximo massimo max h
    low       low lowprice pxlow daylow tief tagestief tiefstkurs bas minimo min l
    close     close y closelast settle settlement settlementprice pxlast closeprice closingprice price last lastprice
    close     lasttrade schluss schlusskurs schlusspreis kurs clot cloture fermeture cierre ultimo chiusura value c
    volume    volume vol pxvolume tickvol tickvolume stuecke stucke numberofshares noofshares totalvolume sharevolume
    volume    volumetraded tradedvolume volumen umsatz v
    dividends dividends dividend dividendamount divcash exdividend
    splits    stocksplits splits splitratio splitcoefficient splitfactor
    ticker    ticker symbol name uniqueid tscode tic secid security instrument sym isin
"""


def _names(column: str) -> tuple[str, ...]:
    """The names of a column in the table, in its order."""
    rows = (line.split() for line in _TABLE.strip().splitlines())
    return tuple(name for first, *names in rows if first == column for name in names)


FIELDS: Mapping[str, tuple[str, ...]] = {
    name: _names(name) for name in ("open", "high", "low", "close", "volume", "dividends", "splits")
}
"""What each column of a bar, and each kind of event, may be called."""
ADJUSTED, DATES, TICKERS = _names("adjusted"), _names("date"), _names("ticker")
"""Headings of adjusted closes, of dates, and of columns that name the ticker of each row."""
PRICES = (*ADJUSTED, *FIELDS["close"])


@dataclass(frozen=True)
class Export:
    """Facts of one export: which headings it is known by, and what they do not tell."""

    name: str
    marks: frozenset[str]
    """Plain headings that it has, all of them."""
    month_first: bool = False
    """Whether 01/02/2024 is January 2."""
    prefer: Mapping[str, str] = field(default_factory=dict)
    """Column -> its heading, where another name would go before."""
    units: Mapping[str, float] = field(default_factory=dict)
    """Column -> what its numbers are multiplied by."""


EXPORTS = (
    Export("Tushare", frozenset({"tscode", "tradedate", "vol"}), units={"volume": 100.0}),  # lots of a hundred
    Export("MetaTrader 5", frozenset({"tickvol", "spread"}), prefer={"volume": "tickvol"}),  # <VOL> is 0 for currencies
    Export("Nasdaq", frozenset({"date", "closelast"}), month_first=True),
    Export("Barchart", frozenset({"time", "last", "change"}), month_first=True),
    Export("Bloomberg", frozenset({"pxlast"}), month_first=True),
)
"""A table is of the first of them all of whose marks it has."""
HEADLESS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Binance",
        r"\d{13,16}(,[^,]*){11}",
        ("open_time", "open", "high", "low", "close", "volume", *(f"more_{n}" for n in range(6))),
    ),
    (
        "MetaTrader 4",
        r"\d{4}\.\d\d\.\d\d,\d\d:\d\d(,[\d.]+){5}",
        ("date", "time_of_day", "open", "high", "low", "close", "volume"),
    ),
    (
        "HistData",
        r"\d{8} \d{6}(;[\d.]+){5}",
        ("date", "open", "high", "low", "close", "volume"),
    ),
)
"""Exports without a heading: what their lines look like, and what their columns are."""


def plain(heading: object) -> str:
    """The letters and digits of a heading, in lower case, umlauts as their vowel."""
    text = re.sub(r"^\s*\d+\.\s", "", str(heading)).lower()  # 5. adjusted close
    return "".join(sign for sign in text.translate(_VOWELS) if sign.isalnum())


_VOWELS = str.maketrans("äöüàâáéèêíóúçåø", "aouaaaeeeioucao")


def is_price(name: str) -> bool:
    """Whether a plain heading is of an adjusted or a raw close."""
    return name in PRICES


def is_date(name: str) -> bool:
    """Whether a plain heading is of dates."""
    return name in DATES


def export_of(names: Collection[str]) -> Export:
    """The export that a table with these plain headings is of; one without facts where none is known."""
    return next((export for export in EXPORTS if export.marks <= set(names)), _NONE)


_NONE = Export("", frozenset())


def stripped(headings: Iterable[str]) -> list[str]:
    """Headings without the ticker that all of them carry, as AAPL.Open, AAPL.Close do, or Close_AAPL, Open_AAPL.

    As they are where they carry none, or several; dates apart.
    """
    given = list(headings)
    tickers = tickers_of(given)
    columns = next(iter(tickers.values())) if len(tickers) == 1 else {}
    return [columns.get(position, text) for position, text in enumerate(given)]


def tickers_of(headings: Iterable[str]) -> dict[str, dict[int, str]]:
    """The tickers with a price that headings carry -> the columns of each: position, heading without the ticker."""
    tickers: dict[str, dict[int, str]] = {}
    for position, text in enumerate(headings):
        field, ticker = _split(text)
        if ticker:
            tickers.setdefault(ticker, {})[position] = field
    return {t: columns for t, columns in tickers.items() if any(is_price(plain(field)) for field in columns.values())}


def _split(heading: str) -> tuple[str, str]:
    """The field and the ticker of a heading that carries both; the heading, and nothing, where it does not."""
    if plain(heading) in PRICES or plain(heading).startswith(("prev", "last", "pre")):
        return heading, ""
    heading = " ".join(re.sub(r"[()',]", " ", heading).split())  # ('Close', 'AAPL'), as pandas writes two levels
    first = re.fullmatch(rf"({_WORDS})[ ._]+(\S+)", heading, re.IGNORECASE)
    last = re.fullmatch(rf"(\S+?)[ ._]+({_WORDS})", heading, re.IGNORECASE)
    return (first[1], first[2]) if first else (last[2], last[1]) if last else (heading, "")


_WORDS = "adj[ ._]?close|adjusted|close|open|high|low|volume|dividends|stock[ ._]splits"
