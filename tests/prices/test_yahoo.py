"""The yfinance source against a server on this machine that answers as Yahoo does; nothing of ours is replaced."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests

from s2squant.errors import PriceError, TemporaryPriceError
from s2squant.prices.yahoo import YahooSource

OPENS = [int(datetime(2024, 1, day, 14, 30, tzinfo=UTC).timestamp()) for day in (2, 3, 4, 5)]
CLOSES = [10.0, 11.0, 12.0, 11.5]


def chart(ticker, timestamps, closes):
    period = {"timezone": "EST", "gmtoffset": -18000, "start": timestamps[-1], "end": timestamps[-1] + 23_400}
    meta = {
        "currency": "USD",
        "symbol": ticker,
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": "UTC" if ticker.endswith("-USD") else "America/New_York",
        "priceHint": 2,
        "validRanges": ["1d", "max"],
        "regularMarketTime": timestamps[-1],
        "currentTradingPeriod": dict.fromkeys(("pre", "regular", "post"), period),
    }
    quote = dict.fromkeys(("open", "high", "low", "close"), closes) | {"volume": [c and 1000 for c in closes]}
    adjusted = [None if c is None else c / 2 for c in closes]
    result = {
        "meta": meta,
        "timestamp": timestamps,
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": adjusted}]},
    }
    return {"chart": {"result": [result], "error": None}}


def not_found(what):
    return {
        what: {"result": None, "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"}}
    }


class Yahoo(BaseHTTPRequestHandler):
    asked: ClassVar[Counter[str]] = Counter()

    def answer(self, path, query):
        """Status and body; the ticker's name says what goes wrong."""
        ticker = path.rsplit("/", 1)[1]
        if "/v8/finance/chart/" not in path:
            return (404, not_found("quoteSummary")) if "quoteSummary" in path else (200, "crumb")
        self.asked[ticker] += 1
        match ticker.partition("-")[0]:
            case "MISSING" | "MISSING2" | "MISSING3":
                return 404, not_found("chart")
            case "LIMITED":
                return 429, "Too Many Requests"
            case "BROKEN":
                return 500, "<html>oops</html>"
            case "HTML":
                return 200, "<html>We will be right back</html>"
            case "ODD":
                return 200, {
                    "chart": {"result": [{"meta": {"exchangeTimezoneName": "UTC"}, "indicators": {"quote": [1]}}]}
                }
            case "RECOVERS" if self.asked[ticker] <= 2:  # one refused request is sent twice
                return 500, "<html>oops</html>"
            case "NAN":
                return 200, chart(ticker, OPENS, [*CLOSES[:3], None])
            case "TODAY":
                now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
                return 200, chart(ticker, [int((now - timedelta(days=d)).timestamp()) for d in (3, 2, 1, 0)], CLOSES)
            case "SLOW" if "period1" in query:
                time.sleep(0.6)
        return 200, chart(ticker, OPENS, CLOSES)

    def do_GET(self):
        url = urlsplit(self.path)
        status, body = self.answer(url.path, url.query)
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            return  # the slow ticker's caller has hung up

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def session():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Yahoo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    class ToLocal(requests.adapters.HTTPAdapter):
        def send(self, request, **settings):
            url = urlsplit(request.url)
            request.url = f"http://127.0.0.1:{server.server_port}{url.path or '/'}?{url.query}"
            return super().send(request, **settings)

    with requests.Session() as local:
        local.trust_env = False
        local.mount("https://", ToLocal())
        yield local
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def source(session):
    Yahoo.asked.clear()
    return YahooSource(session, pauses=(0.0,), timeout=0.3)


def test_good(source):
    history = source.history("GOOD")
    assert [str(d) for d in history.dates] == ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"]
    np.testing.assert_array_equal(history.bars["close"], CLOSES)
    np.testing.assert_array_equal(history.adj_close, np.array(CLOSES) / 2)
    assert (history.calendar, history.source, history.notes) == ("XNYS", "yfinance", ())
    assert abs(datetime.fromisoformat(history.fetched_at) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_last_row_without_price_is_dropped_with_a_note(source):
    history = source.history("NAN")
    assert len(history) == 3
    assert history.notes == ("1 row(s) without a price dropped, the first on 2024-01-05",)


def test_an_unfinished_bar_is_dropped_with_a_note(source, session):
    history = source.history("TODAY-USD")
    assert (len(history), history.calendar) == (3, "24/7")
    assert history.notes[0].startswith("the unfinished bar of ")
    at_noon = YahooSource(session, pauses=(), timeout=5, clock=lambda: datetime(2024, 1, 5, 17, tzinfo=UTC))
    assert at_noon.history("GOOD").notes == ("the unfinished bar of 2024-01-05 dropped",)


@pytest.mark.parametrize("ticker", ["MISSING", "MISSING2", "MISSING3"])
def test_unknown_ticker_is_final(source, ticker):
    with pytest.raises(PriceError, match="knows no such ticker") as caught:
        source.history(ticker)
    assert type(caught.value) is PriceError


@pytest.mark.parametrize(
    ("ticker", "reason"),
    [
        ("LIMITED", "limits the rate"),
        ("BROKEN", "no proper answer"),
        ("HTML", "no proper answer"),
        ("SLOW", "no proper answer"),
    ],
)
def test_passing_failures_are_tried_again_and_told_apart(source, ticker, reason):
    with pytest.raises(TemporaryPriceError, match=reason) as caught:
        source.history(ticker)
    assert "\n" not in str(caught.value)
    assert Yahoo.asked[ticker] >= 2


def test_a_second_try_is_not_answered_from_memory(source):
    assert len(source.history("RECOVERS")) == 4


def test_an_answer_of_another_shape_is_the_tickers_failure(source):
    with pytest.raises(PriceError, match="could not read Yahoo's answer") as caught:
        source.history("ODD")
    assert type(caught.value) is PriceError


def test_no_connection_is_a_passing_failure():
    closed = requests.Session()
    closed.trust_env = False

    class Nowhere(requests.adapters.HTTPAdapter):
        def send(self, request, **settings):
            raise requests.exceptions.ConnectionError("name resolution failed")

    closed.mount("https://", Nowhere())
    with pytest.raises(TemporaryPriceError, match="no proper answer from Yahoo"):
        YahooSource(closed, pauses=(), timeout=0.3).history("GOODBYE")
