"""A Yahoo on this machine: an HTTP server that speaks the chart API to the real yfinance client.

`python -m tests.local_yahoo` serves until Ctrl-C and says how to point s2squant at it. Any ticker is a stock with 25
years of daily bars; what a ticker's name begins with decides what goes wrong:

    MISSING 404   LIMITED 429   BROKEN 500   HTML 200 with a page   ODD another shape   SLOW no answer in time
    RESET the connection is cut   TWICE 500 at first   CRUMB 401 until a new crumb   NANLAST no last price
    PENCE (.L) prices in pence   POUNDS the same stock in pounds   SPLIT 4:1 and 1:8   DIVIDEND quarterly
    RATIO 3:2, 77:100 and 8:9   SPINOFF 1281:1000, told as a split   SPUN a third of it, told by nobody
    LATE 6:1 and a dividend, both told three sessions late   REPORT quarterly earnings, told and to come

In tests the stocks, the day it is, and what the server does are changed while it runs, and it keeps count.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from s2squant.prices.calendars.exchanges import exchange_sessions

FAULTS = ("MISSING", "LIMITED", "BROKEN", "HTML", "ODD", "SLOW", "RESET", "TWICE", "CRUMB", "NANLAST")
NOT_FOUND = {"result": None, "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"}}
OPEN, CLOSE = timedelta(hours=14, minutes=30), timedelta(hours=21)
_CRUMBS = itertools.count(1)
"""Of all servers of the process: the client keeps its crumb longer than a test its server."""
INTRADAY = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "60m": 3600}


@dataclass
class Stock:
    """A stock as it traded; the server adjusts it for the splits known on the day it is asked."""

    days: np.ndarray
    close: np.ndarray
    dividends: dict[np.datetime64, float] = field(default_factory=dict)
    splits: dict[np.datetime64, float] = field(default_factory=dict)
    currency: str = "USD"
    unit: float = 1.0
    """What its prices are multiplied by when told: 100 tells pence."""
    hidden: set[np.datetime64] = field(default_factory=set)
    """Sessions the server does not tell of."""
    unpriced: set[np.datetime64] = field(default_factory=set)
    """Sessions it tells without a price."""
    unlisted: set[np.datetime64] = field(default_factory=set)
    """Splits that prices are adjusted for without the event being told, or the other way round with `forgotten`."""
    forgotten: set[np.datetime64] = field(default_factory=set)
    told_from: dict[np.datetime64, np.datetime64] = field(default_factory=dict)
    """The day from which an event is told and adjusted for, where that is not its own."""
    earnings: list[datetime] = field(default_factory=list)
    """When it reports, New York's clock."""
    announced: np.datetime64 | None = None
    """The next day on which it trades without a dividend."""
    exchange: str = "NYQ"
    kind: str = "EQUITY"

    def is_told(self, event: np.datetime64, today: np.datetime64) -> bool:
        """Whether the server knows of an event of that day."""
        return bool(self.told_from.get(event, event) <= today)

    def spin_off(self, day: np.datetime64, share: float) -> None:
        """Let a share of the stock leave it on a day, as another company."""
        self.close = np.where(self.days < day, self.close / (1 - share), self.close)

    def split(self, day: np.datetime64, ratio: float) -> None:
        """Let the stock be split on a day; its price before was so much higher."""
        self.splits[day] = ratio
        self.close = np.where(self.days < day, self.close * ratio, self.close)
        self.dividends = {d: cash * (ratio if d < day else 1) for d, cash in self.dividends.items()}

    def told(self, today: np.datetime64) -> dict[str, np.ndarray]:
        """Every day up to today, split-adjusted, as Yahoo tells it."""
        keep = (self.days <= today) & ~np.isin(self.days, sorted(self.hidden))
        days, close = self.days[keep], self.close[keep] * self.unit
        factor = np.ones(len(days))
        for day, ratio in self.splits.items():
            if self.is_told(day, today) and day not in self.forgotten:
                factor[days < day] /= ratio
        bar = np.flatnonzero(keep)
        wide = 1 + 0.004 * (1 + bar % 3)
        rows = {
            "open": close * (1 - 0.002), "high": close * wide, "low": close / wide, "close": close,
        }  # fmt: skip
        rows = {name: values * factor for name, values in rows.items()}
        rows["volume"] = (1000 + bar % 97) * 1000 / factor
        for name, values in rows.items():
            rows[name] = np.float32(values).astype(float)  # as coarse as Yahoo's
            rows[name][np.isin(days, sorted(self.unpriced))] = np.nan
        return {"day": days, "factor": factor, **rows}


def walk(ticker: str, days: np.ndarray) -> Stock:
    """A random walk that is the same for the same ticker."""
    rng = np.random.default_rng(zlib.crc32(ticker.encode()))
    calm = np.exp(0.4 * np.sin(np.arange(len(days)) / 60))
    close = 60 * np.exp(np.cumsum(0.011 * calm * rng.standard_t(5, len(days)) / np.sqrt(5 / 3)))
    return Stock(days, np.round(close, 4))


def invented(ticker: str, days: np.ndarray, today: np.datetime64) -> Stock:
    """The stock a name stands for."""
    stock = walk(ticker.removeprefix("POUNDS").removeprefix("PENCE"), days)
    kind, past = ticker.partition(".")[0].rstrip("0123456789"), days[days <= today]
    if kind in ("SPLIT", "DIVIDEND"):
        stock.dividends = {day: round(0.004 * stock.close[0], 3) for day in past[60::63]}
    if kind == "SPLIT":
        stock.split(past[len(past) // 2], 4.0)
        stock.split(past[-40], 0.125)
    if kind == "RATIO":
        for bar, ratio in ((-250, 3 / 2), (-150, 0.77), (-40, 8 / 9)):
            stock.split(past[bar], ratio)
    if kind == "SPINOFF":
        stock.split(past[-40], 1.281)
    if kind == "SPUN":
        stock.spin_off(past[-40], 1 / 3)
    if kind == "LATE":
        stock.dividends = {past[-20]: round(0.02 * stock.close[-1], 3)}
        stock.split(past[-10], 6.0)
        stock.told_from = {past[bar]: past[bar + 3] for bar in (-20, -10)}
    if kind == "REPORT":
        reports = days[60::63].astype("datetime64[s]").astype(object)
        stock.earnings = [at.replace(hour=16 if n % 2 else 7) for n, at in enumerate(reports)]
        stock.announced = days[days > today][15]
    if ticker.startswith("PENCE"):
        stock.currency, stock.unit = "GBp", 100.0
    if ticker.startswith("POUNDS"):
        stock.currency = "GBP"
    if ticker.startswith("NANLAST"):
        stock.unpriced = {past[-1]}
    return stock


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no error here."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class LocalYahoo:
    """The server and its counts; use it as a context manager."""

    def __init__(self, port: int = 0, *, today: str = "", years: int = 25) -> None:
        self.years = years
        self.fixed_today = today
        self.stocks: dict[str, Stock] = {}
        """Stocks that differ from what their names stand for."""
        self.gone: set[str] = set()
        self.limited_share = 0.0
        """Share of all requests answered 429."""
        self.retry_after: str | None = None
        self.delay = 0.0
        """Seconds before every answer."""
        self.random = random.Random(0)
        self.crumb = 0
        self.stale_until: dict[str, int] = {}
        self.reset_counts()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self._handler())
        exchange_sessions("XNYS")  # seconds, the first time
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def reset_counts(self) -> None:
        """Count from zero."""
        self.asked: Counter[str] = Counter()
        """Chart requests, by ticker."""
        self.answered: Counter[str] = Counter()
        """Chart requests over a span that were answered 200, by ticker."""
        self.arrivals: list[float] = []
        """When each request of any kind arrived, time.monotonic()."""
        self.limited: list[float] = []
        """When each 429 left."""
        self.spans: list[tuple[str, str, int, int]] = []
        """Ticker, interval, period1, period2 of each span asked for."""
        self.under_way = self.most_under_way = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def today(self) -> np.datetime64:
        """The last day it knows."""
        return np.datetime64(self.fixed_today or datetime.now(UTC).date(), "D")

    def busiest(self, seconds: float = 1.0) -> int:
        """The most requests that arrived within any span of so many seconds."""
        times = np.sort(self.arrivals)
        return int((np.searchsorted(times, times + seconds) - np.arange(len(times))).max(initial=0))

    def stock(self, ticker: str) -> Stock:
        """The stock served under a ticker."""
        if ticker not in self.stocks:
            known = exchange_sessions("XLON" if ticker.endswith(".L") else "XNYS")
            first = self.today - np.timedelta64(int(365.25 * self.years), "D")
            days = np.arange(first, self.today + 400) if ticker.endswith("-USD") else known[known >= first]
            self.stocks[ticker] = invented(ticker, days, self.today)
        return self.stocks[ticker]

    def __enter__(self) -> LocalYahoo:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, object]:
        """Status and body of one request; an empty body cuts the connection."""
        if "/v8/finance/chart/" not in path:
            if "getcrumb" in path:
                self.crumb = next(_CRUMBS)
                return 200, f"crumb{self.crumb}"
            if "/calendar/earnings" in path:
                return 200, self.earnings_page(query["symbol"][0])
            announced = self.stock(unquote(path.rsplit("/", 1)[1])).announced if "quoteSummary" in path else None
            if announced is not None:
                stamp = int(announced.astype("datetime64[s]").astype(np.int64))
                told = {"result": [{"calendarEvents": {"exDividendDate": stamp}}], "error": None}
                return 200, {"quoteSummary": told}
            return (404, {"quoteSummary": NOT_FOUND}) if "quoteSummary" in path else (200, "<html></html>")
        ticker = unquote(path.rsplit("/", 1)[1])
        with self._lock:
            self.asked[ticker] += 1
            limited = self.random.random() < self.limited_share
        if limited:
            return 429, "Too Many Requests"
        fault = next((name for name in FAULTS if ticker.startswith(name)), "")
        match fault:
            case "MISSING":
                return 404, {"chart": NOT_FOUND}
            case "LIMITED":
                return 429, "Too Many Requests"
            case "BROKEN":
                return 500, "<html>oops</html>"
            case "HTML":
                return 200, "<html>We will be right back</html>"
            case "ODD":
                meta = {"exchangeTimezoneName": "America/New_York"}
                return 200, {"chart": {"result": [{"meta": meta, "indicators": {"quote": [1]}}]}}
            case "SLOW" if "period1" in query:
                time.sleep(1.0)
            case "RESET":
                return 0, ""
            case "TWICE" if self.asked[ticker] <= 3:  # a refused request is sent again at once
                return 500, "<html>oops</html>"
            case "CRUMB" if self._stale(ticker, query):
                error = {"code": "Unauthorized", "description": "Invalid Crumb"}
                return 401, {"chart": {"result": None, "error": error}}
        if ticker in self.gone:
            return 404, {"chart": NOT_FOUND}
        body = self.chart(ticker, query)
        if "period1" in query:
            with self._lock:
                self.answered[ticker] += 1
        return 200, body

    def earnings_page(self, ticker: str) -> str:
        """Yahoo's page of a stock's earnings, newest first; without a table where there are none."""
        moments = sorted(self.stock(ticker).earnings, reverse=True)
        rows = "".join(
            f"<tr><td>{ticker}</td><td>{ticker} Inc.</td><td>{at:%B %d, %Y} at {at.hour % 12 or 12} "
            f"{at:%p} EST</td><td>1.0</td><td>-</td><td>-</td></tr>"
            for at in moments
        )
        names = ("Symbol", "Company", "Earnings Date", "EPS Estimate", "Reported EPS", "Surprise (%)")
        head = "".join(f"<th>{name}</th>" for name in names)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if moments else ""
        return f"<html>{table}</html>"

    def _stale(self, ticker: str, query: dict[str, list[str]]) -> bool:
        """Whether the crumb was given out before the ticker was first asked for."""
        given = int(query.get("crumb", ["crumb0"])[0].removeprefix("crumb"))
        return given <= self.stale_until.setdefault(ticker, max(given, self.crumb))

    def chart(self, ticker: str, query: dict[str, list[str]]) -> object:
        """The chart of one ticker over the span asked for."""
        stock, interval = self.stock(ticker), query.get("interval", ["1d"])[0]
        told = stock.told(self.today)
        opens = told["day"].astype("datetime64[s]").astype(np.int64) + int(
            OPEN.total_seconds() if not ticker.endswith("-USD") else 0
        )
        first, last = (int(query.get(key, ["0"])[0]) for key in ("period1", "period2"))
        if "period1" in query:
            with self._lock:
                self.spans.append((ticker, interval, first, last))
        else:
            first, last = int(opens[-1]), int(opens[-1]) + 1
        session = 23_400 if interval in INTRADAY else 1  # a span may begin within one
        inside = (opens + session > first) & (opens < last)
        events: dict[str, dict[str, object]] = {"dividends": {}, "splits": {}}
        for day, ratio in stock.splits.items():
            stamp = opening(day)
            if first <= stamp < last and stock.is_told(day, self.today) and day not in stock.unlisted:
                shares = Fraction(ratio).limit_denominator(1000)
                new, old = shares.numerator, shares.denominator
                events["splits"][str(stamp)] = {"date": stamp, "numerator": new, "denominator": old}
        for day, amount in stock.dividends.items():
            stamp = opening(day)
            at = np.flatnonzero(told["day"] == day)
            if first <= stamp < last and len(at) and stock.is_told(day, self.today):
                cash = float(np.float32(amount * stock.unit * told["factor"][at[0]]))
                events["dividends"][str(stamp)] = {"date": stamp, "amount": cash}
        stamps, rows = opens[inside], {name: told[name][inside] for name in ("open", "high", "low", "close", "volume")}
        if interval in INTRADAY:
            stamps, rows = split_up(stamps, rows, INTRADAY[interval])
            keep = (stamps >= first) & (stamps < last)
            stamps, rows = stamps[keep], {name: values[keep] for name, values in rows.items()}
        zone, exchange = "America/New_York", stock.exchange
        if ticker.endswith("-USD"):
            zone, exchange = "UTC", "CCC"
        elif ticker.endswith(".L"):
            zone, exchange = "Europe/London", "LSE"
        period = {"timezone": "EST", "gmtoffset": -18000}
        regular = [{**period, "start": int(s), "end": int(s) + 23_400} for s in opens[inside]]
        now = regular[-1] if regular else {**period, "start": int(opens[-1]), "end": int(opens[-1]) + 23_400}
        meta = {
            "currency": stock.currency, "symbol": ticker, "exchangeName": exchange,
            "instrumentType": stock.kind, "exchangeTimezoneName": zone,
            "priceHint": 2, "validRanges": ["1d", "5d", "max"], "regularMarketTime": int(opens[-1]),
            "currentTradingPeriod": dict.fromkeys(("pre", "regular", "post"), now),
        }  # fmt: skip
        if interval in INTRADAY:
            meta["tradingPeriods"] = [[period] for period in regular]
        quote = {name: [None if np.isnan(v) else float(v) for v in values] for name, values in rows.items()}
        result: dict[str, object] = {
            "meta": meta,
            "timestamp": [int(s) for s in stamps],
            "events": {kind: told for kind, told in events.items() if told},
            "indicators": {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]},
        }
        if len(stamps) == 0:
            return {"chart": {"result": [{"meta": meta, "indicators": {"quote": [{}]}}], "error": None}}
        return {"chart": {"result": [result], "error": None}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        yahoo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with yahoo._lock:
                    yahoo.arrivals.append(time.monotonic())
                    yahoo.under_way += 1
                    yahoo.most_under_way = max(yahoo.most_under_way, yahoo.under_way)
                try:
                    url = urlsplit(self.path)
                    time.sleep(yahoo.delay)
                    status, body = yahoo.answer(url.path, parse_qs(url.query))
                finally:
                    with yahoo._lock:
                        yahoo.under_way -= 1
                self.reply(status, body)

            def reply(self, status: int, body: object) -> None:
                if status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    if status == 429:
                        yahoo.limited.append(time.monotonic())
                        if yahoo.retry_after is not None:
                            self.send_header("Retry-After", yahoo.retry_after)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True  # the caller of a slow ticker has hung up

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def opening(day: np.datetime64) -> int:
    """When New York opens on a day, in seconds of Unix time."""
    return int(day.astype("datetime64[s]").astype(np.int64)) + int(OPEN.total_seconds())


def split_up(opens: np.ndarray, rows: dict[str, np.ndarray], seconds: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Daily rows cut into bars of so many seconds, from 14:30 to 21:00 UTC."""
    count = int((CLOSE - OPEN).total_seconds() // seconds)
    stamps = (opens[:, None] + np.arange(count) * seconds).ravel()
    shares = {name: 1 + 0.001 * np.sin(np.arange(count)) for name in rows} | {"volume": np.full(count, 1 / count)}
    cut = {name: (values[:, None] * shares[name]).ravel() for name, values in rows.items()}
    return stamps, cut


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_yahoo", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--today", default="", help="the last day served, YYYY-MM-DD; left out, today")
    parser.add_argument("--limited", type=float, default=0.0, help="share of requests answered 429")
    parser.add_argument("--retry-after", default=None, help="what a 429 says in Retry-After, in seconds")
    options = parser.parse_args()
    with LocalYahoo(options.port, today=options.today) as yahoo:
        yahoo.limited_share, yahoo.retry_after = options.limited, options.retry_after
        print(f"a local Yahoo listens at {yahoo.url}; in another terminal:\n")
        print(f"  export S2SQUANT_YAHOO_URL={yahoo.url}")
        print("  s2squant fetch ALPHA BETA SPLIT1 DIVIDEND1 MISSING1 --store data/local\n", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"served {len(yahoo.arrivals)} requests")


if __name__ == "__main__":
    main()
