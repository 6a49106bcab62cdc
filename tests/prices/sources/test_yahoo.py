"""The yfinance source against a server on this machine that answers as Yahoo does; nothing of ours is replaced."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from curl_cffi import requests

from s2squant.config.fetching import Fetching
from s2squant.errors import (
    BadPricesError,
    DelistedError,
    PriceError,
    RateLimitError,
    SourceError,
    TemporaryPriceError,
    UnknownTickerError,
)
from s2squant.prices.sources.yahoo import SERVER, Yahoo
from tests.prices.conftest import QUICK


def fetch(desk, ticker, interval="1d", start=None, known=None, **changes):
    return desk.client(QUICK.model_copy(update=changes)).fetch(ticker, interval, start, known)


def test_good(desk):
    answer = fetch(desk, "GOOD")
    stock = desk.yahoo.stock("GOOD")
    traded = stock.days <= desk.yahoo.today
    assert answer.bars.times[-1] == np.datetime64("2024-03-01")
    np.testing.assert_array_equal(answer.bars.times.astype("datetime64[D]"), stock.days[traded])
    np.testing.assert_allclose(answer.bars.close, stock.close[traded], rtol=1e-7)
    about = answer.about
    assert (about.calendar, about.currency, about.exchange, about.timezone) == (
        "XNYS",
        "USD",
        "NYQ",
        "America/New_York",
    )
    assert answer.notes == ()


def test_splits_and_dividends_come_as_traded(desk):
    """The server adjusts for splits as Yahoo does; what is kept is what was paid on the day."""
    bars, stock = fetch(desk, "SPLIT").bars, desk.yahoo.stock("SPLIT")
    traded = stock.days <= desk.yahoo.today
    np.testing.assert_allclose(bars.close, stock.close[traded], rtol=2e-7)
    days = bars.times.astype("datetime64[D]")
    split = bars.columns["splits"] != 0
    assert dict(zip(days[split], bars.columns["splits"][split], strict=True)) == stock.splits
    paid = bars.columns["dividends"] > 0
    assert list(days[paid]) == [day for day in stock.dividends if day <= desk.yahoo.today]
    np.testing.assert_allclose(bars.columns["dividends"][paid], [stock.dividends[day] for day in days[paid]], rtol=2e-7)
    told = stock.told(desk.yahoo.today)
    np.testing.assert_allclose(bars.columns["volume"], told["volume"] * told["factor"], rtol=1e-6)


def test_a_last_row_without_price_is_dropped_with_a_note(desk):
    answer = fetch(desk, "NANLAST")
    assert answer.bars.times[-1] == np.datetime64("2024-02-29")
    assert answer.notes == ("1 row(s) without a price dropped, the first on 2024-03-01",)


def test_the_dividend_of_a_row_without_price_moves_to_the_next_bar(desk):
    stock = desk.yahoo.stock("HOLE")
    hole = np.datetime64("2024-02-27")
    stock.unpriced, stock.dividends = {hole}, {hole: 0.5}
    bars = fetch(desk, "HOLE").bars
    assert np.datetime64("2024-02-27") not in bars.times
    assert bars.columns["dividends"][bars.times == np.datetime64("2024-02-28")] == pytest.approx(0.5)


def test_an_unfinished_bar_is_dropped_with_a_note(desk):
    desk.on("2024-03-01", hour=17)
    answer = fetch(desk, "GOOD")
    assert answer.bars.times[-1] == np.datetime64("2024-02-29")
    assert answer.notes == ("the unfinished bar of 2024-03-01 dropped",)
    coin = fetch(desk, "BTC-USD")
    assert (coin.about.calendar, coin.notes) == ("24/7", answer.notes)


@pytest.mark.parametrize("ticker", ["MISSING", "MISSING2", "MISSING3"])
def test_unknown_ticker_is_final(desk, ticker):
    with pytest.raises(UnknownTickerError, match="knows no such ticker"):
        fetch(desk, ticker)


def test_a_known_ticker_that_is_gone_is_delisted(desk):
    about = fetch(desk, "GOOD").about
    desk.yahoo.gone.add("GOOD")
    with pytest.raises(DelistedError, match="no longer knows it"):
        fetch(desk, "GOOD", known=about)


@pytest.mark.parametrize(
    ("ticker", "reason"),
    [
        ("BROKEN", r"no proper answer from Yahoo \(HTTP 500"),
        ("HTML", "no proper answer"),
        ("SLOW", "no proper answer.*imed out"),
        ("RESET", "no proper answer"),
    ],
)
def test_passing_failures_are_tried_again_and_told_apart(desk, ticker, reason):
    for known in (None, fetch(desk, "GOOD").about):  # neither a new nor a known ticker is called delisted for them
        desk.yahoo.reset_counts()
        with pytest.raises(TemporaryPriceError, match=reason) as caught:
            fetch(desk, ticker, known=known, **({"timeout": 0.4} if ticker == "SLOW" else {}))
        assert type(caught.value) is TemporaryPriceError
        assert "\n" not in str(caught.value)
        assert desk.yahoo.asked[ticker] >= 3


def test_an_html_page_not_found_is_no_unknown_ticker(desk, monkeypatch):
    """A proxy's 404 page says nothing of the ticker."""
    monkeypatch.setattr("tests.local_yahoo.NOT_FOUND", None)
    monkeypatch.setattr(type(desk.yahoo), "answer", lambda self, path, query: (404, "<html>no</html>"))
    with pytest.raises(TemporaryPriceError, match="HTTP 404"):
        fetch(desk, "GOOD")


def test_a_second_try_is_not_answered_from_memory(desk):
    assert len(fetch(desk, "TWICE").bars) > 400


def test_a_stale_crumb_is_renewed(desk):
    fetch(desk, "GOOD")
    assert len(fetch(desk, "CRUMB").bars) > 400
    assert desk.yahoo.asked["CRUMB"] in (2, 3)  # refused once, then the bars, and the time zone if it was not known


def test_an_answer_of_another_shape_is_the_tickers_failure(desk):
    with pytest.raises(BadPricesError, match="could not read Yahoo's answer"):
        fetch(desk, "ODD")
    assert desk.yahoo.asked["ODD"] <= 2


def test_429_without_a_time_is_waited_out(desk):
    desk.yahoo.limited_share = 0.5
    assert len(fetch(desk, "GOOD").bars) > 400


def test_429_for_ever_is_a_rate_limit_and_no_more_is_asked(desk):
    with pytest.raises(RateLimitError, match="HTTP 429"):
        fetch(desk, "LIMITED")
    assert desk.yahoo.asked["LIMITED"] == 1 + desk.client().spec.limited_tries


def test_retry_after_is_respected(desk):
    desk.yahoo.limited_share, desk.yahoo.retry_after = 1.0, "1"
    client = desk.client(Fetching(per_second=2000, limited_tries=1, timeout=2))
    with pytest.raises(RateLimitError):
        client.fetch("GOOD", "1d", None, None)
    assert len(desk.yahoo.limited) == 2
    assert desk.yahoo.arrivals[-1] - desk.yahoo.limited[0] >= 0.99


def test_too_long_a_retry_after_is_given_up_at_once(desk):
    desk.yahoo.limited_share, desk.yahoo.retry_after = 1.0, "3600"
    client = desk.client()
    started = time.monotonic()
    for ticker in ("GOOD", "OTHER"):
        with pytest.raises(RateLimitError, match="asks to wait 60 min"):
            client.fetch(ticker, "1d", None, None)
    assert time.monotonic() - started < 2
    assert len(desk.yahoo.limited) == 1
    assert sum(desk.yahoo.asked.values()) == 1


def test_no_connection_is_a_passing_failure(desk):
    with pytest.raises(TemporaryPriceError, match="Yahoo cannot be reached: no connection"):
        Yahoo(desk.client().spec, server="http://127.0.0.1:9", clock=lambda: desk.now).fetch(
            "GOODBYE", "1d", None, None
        )


def test_no_network_is_said_in_plain_words(desk):
    client = Yahoo(desk.client().spec, server="http://nowhere.invalid", clock=lambda: desk.now)
    with pytest.raises(
        TemporaryPriceError, match=r"Yahoo cannot be reached: its address is not found \(no network\?\)"
    ):
        client.fetch("GOODBYE", "1d", None, None)


def test_no_bars_at_all(desk):
    desk.yahoo.stock("EMPTY").days = desk.yahoo.stock("GOOD").days + np.timedelta64(2000, "D")
    with pytest.raises((PriceError, TemporaryPriceError)):
        fetch(desk, "EMPTY")


@pytest.mark.parametrize(("interval", "bars"), [("1h", 6), ("30m", 13), ("15m", 26), ("5m", 78), ("1m", 390)])
def test_bars_within_the_day(yahoo, interval, bars):
    """Against today, as yfinance asks for spans that end now."""
    yahoo.fixed_today = ""
    client = Yahoo(Fetching(per_second=2000, timeout=20), server=yahoo.url)
    answer = client.fetch("GOOD", interval, datetime.now(UTC) - timedelta(days=20), None)
    days, counts = np.unique(answer.bars.times.astype("datetime64[D]"), return_counts=True)
    assert counts[1:-1].min() >= bars
    assert len(days) >= 10
    assert (answer.bars.times[-1] <= np.datetime64(datetime.now(UTC).replace(tzinfo=None), "s")).all()
    pieces = [span for span in yahoo.spans if span[0] == "GOOD"]
    assert len(pieces) == (3 if interval == "1m" else 1)
    assert all(last - first <= 7 * 86_400 + 60 for _, _, first, last in pieces) or interval != "1m"


@pytest.mark.parametrize(
    ("interval", "start", "complaint"),
    [
        ("1m", date(2024, 1, 1), "1m bars of the last 30 days only; --start 2024-02-01 or later"),
        ("30m", date(2023, 12, 1), "last 60 days only; --start 2024-01-02"),
        ("1h", date(2020, 1, 1), "last 730 days only"),
        ("1wk", None, "better made from 1d"),
        ("7m", None, "is none of 1m"),
    ],
)
def test_spans_out_of_reach_are_refused_before_anything_is_asked(desk, interval, start, complaint):
    with pytest.raises(SourceError, match=complaint):
        desk.client().check_span(interval, start)
    assert desk.yahoo.arrivals == []


def test_spans_within_reach_pass(desk):
    client = desk.client()
    client.check_span("1d", date(1970, 1, 1))
    client.check_span("1h", date(2022, 6, 1))
    client.check_span("1m", None)


def test_the_server_is_chosen_by_the_environment(desk, monkeypatch):
    monkeypatch.setenv(SERVER, desk.yahoo.url)
    client = Yahoo(desk.client().spec, clock=lambda: desk.now)
    assert len(client.fetch("GOOD", "1d", None, None).bars) > 400
    monkeypatch.setenv(SERVER, "localhost")
    with pytest.raises(SourceError, match=f"{SERVER} is 'localhost'; write it as http://"):
        Yahoo()


def test_threads_that_start_together_share_one_session(desk, monkeypatch):
    """yfinance keeps one session: a second would hide from a thread that its ticker's answer was a 404."""
    made = requests.Session.__init__

    def slowly(*args, **options):
        time.sleep(0.05)
        made(*args, **options)

    monkeypatch.setattr(requests.Session, "__init__", slowly)
    client, told = desk.client(), []

    def ask(ticker):
        with pytest.raises(UnknownTickerError, match="knows no such ticker"):
            client.fetch(ticker, "1d", None, None)
        told.append(ticker)

    threads = [threading.Thread(target=ask, args=(f"MISSING{at}",)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 6


def test_a_known_time_zone_saves_a_request(desk):
    about = fetch(desk, "GOOD").about
    desk.yahoo.reset_counts()
    fetch(desk, "GOOD", start=datetime(2024, 2, 1), known=about)
    assert desk.yahoo.asked["GOOD"] == 1


@pytest.mark.parametrize("ticker", ["../../x", "<script>", "A B", "", "A" * 40])
def test_what_is_no_ticker_is_refused(desk, ticker):
    with pytest.raises(SourceError, match="no Yahoo ticker"):
        desk.client().check([ticker])
