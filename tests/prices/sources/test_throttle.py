"""The gate: how many requests at once, how many a second, and all of them quiet after a 429; the server counts."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from s2squant.config.fetching import Fetching
from s2squant.errors import TemporaryPriceError
from s2squant.prices.sources.throttle import ClosedError, Gate, StoppedError, jittered, seconds_of


def run(gate, threads, each, work=lambda: None):
    """Turns taken by many threads: their starts, and the most at once."""
    starts, at_once, most, lock = [], 0, 0, threading.Lock()

    def go():
        nonlocal at_once, most
        for _ in range(each):
            with gate.turn():
                with lock:
                    starts.append(time.monotonic())
                    at_once += 1
                    most = max(most, at_once)
                work()
                with lock:
                    at_once -= 1

    pool = [threading.Thread(target=go) for _ in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return np.sort(starts), most


def test_never_more_at_once_than_allowed():
    starts, most = run(Gate(Fetching(together=3, per_second=10_000)), 10, 5, lambda: time.sleep(0.004))
    assert len(starts) == 50
    assert 1 < most <= 3


def test_never_more_a_second_than_allowed():
    starts, _ = run(Gate(Fetching(together=8, per_second=100)), 8, 5)
    assert starts[-1] - starts[0] >= 0.8 * 39 / 100  # the first may be seen a little late


def test_a_limit_quiets_every_thread():
    gate = Gate(Fetching(together=4, per_second=10_000))
    limited = threading.Event()
    quiet = []

    def work():
        if not limited.is_set():
            limited.set()
            quiet.append(time.monotonic() + 1.0)
            gate.limited(1.0)

    starts, _ = run(gate, 4, 3, work)
    late = starts[starts > quiet[0] - 0.5]
    assert len(late) >= 8
    assert late.min() >= quiet[0]


def test_a_limit_without_a_time_grows_until_an_answer_comes():
    spec = Fetching(limited_pause=0.01, per_second=10_000)
    gate = Gate(spec)
    pauses = []
    for _ in range(5):
        started = time.monotonic()
        gate.limited(None)
        with gate.turn():
            pauses.append(time.monotonic() - started)
    for again, pause in enumerate(pauses):
        assert pause >= 0.01 * 2**again / 2
    gate.answered()
    gate.limited(None)
    assert gate._wait() <= 0.01


def test_limits_of_requests_under_way_together_count_once():
    gate = Gate(Fetching(limited_pause=5.0, per_second=10_000))
    for _ in range(20):
        gate.limited(None)
    assert 0 < gate._wait() <= 5.0


def test_too_long_a_silence_is_not_waited_for():
    gate = Gate(Fetching(longest_pause=60))
    gate.limited(61.0)
    with pytest.raises(ClosedError, match="asked to wait 61 s"), gate.turn():
        pass


def test_jitter_lies_in_the_upper_half_and_is_bounded():
    drawn = np.array([jittered(2.0, 3, 300) for _ in range(400)])
    assert 8 <= drawn.min() < 9
    assert 15 < drawn.max() <= 16
    assert jittered(2.0, 50, 300) <= 300


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 01 Mar 2024 12:01:30 GMT", 90.0),
        ("Fri, 01 Mar 2024 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_read(header, seconds):
    assert seconds_of(header, datetime(2024, 3, 1, 12, tzinfo=UTC)) == seconds


def fetch_all(desk, tickers, spec):
    return list(desk.refresher(spec).update_all(tickers))


def check_polite(desk, tickers, updates, spec):
    """All fetched, none lost, none twice, and never more than allowed, as the server saw it."""
    assert sorted(update.ticker for update in updates) == sorted(tickers)
    assert {update.status for update in updates} == {"new"}
    assert desk.store.tickers() == tuple(sorted(tickers))
    assert set(desk.yahoo.answered.values()) == {1}
    assert desk.yahoo.most_under_way <= spec.together
    assert desk.yahoo.busiest(1.0) <= spec.per_second * 1.1 + 2  # sent apart, they may arrive in bunches
    assert len(desk.yahoo.limited) > 0
    asked = desk.yahoo.asked.copy()
    assert {update.status for update in fetch_all(desk, tickers, spec)} == {"fresh"}
    assert desk.yahoo.asked == asked


def test_many_tickers_under_many_429(desk):
    spec = Fetching(together=3, per_second=150, limited_pause=0.01, limited_tries=20)
    desk.yahoo.years, desk.yahoo.limited_share = 1, 0.2
    tickers = [f"T{n}" for n in range(30)]
    check_polite(desk, tickers, fetch_all(desk, tickers, spec), spec)


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", [None, "0"])
def test_500_tickers_of_which_one_call_in_five_is_refused(desk, retry_after):
    spec = Fetching(together=4, per_second=60, limited_pause=0.02, limited_tries=30, timeout=20)
    desk.yahoo.years, desk.yahoo.limited_share, desk.yahoo.retry_after = 1, 0.2, retry_after
    tickers = [f"T{n}" for n in range(500)]
    check_polite(desk, tickers, fetch_all(desk, tickers, spec), spec)
    share = len(desk.yahoo.limited) / sum(desk.yahoo.asked.values())
    assert share == pytest.approx(0.2, abs=0.05)


def test_whoever_waits_is_sent_away_when_it_is_stopped():
    gate = Gate(Fetching(together=1, per_second=10_000))
    gate.limited(250.0)
    sent_away = []

    def wait():
        with pytest.raises(StoppedError), gate.turn():
            pass
        sent_away.append(gate.pause(250.0))

    pool = [threading.Thread(target=wait) for _ in range(3)]
    for thread in pool:
        thread.start()
    gate.stop()
    for thread in pool:
        thread.join(5)
    assert sent_away == [True] * 3


def test_a_pause_before_another_try_ends_when_it_is_stopped(desk):
    client, ended = desk.client(Fetching(per_second=1000, pause=250.0)), []

    def fetch():
        with pytest.raises(TemporaryPriceError):
            client.fetch("BROKEN", "1d", None, None)
        ended.append(True)

    thread = threading.Thread(target=fetch)
    thread.start()
    while not desk.yahoo.asked["BROKEN"]:
        time.sleep(0.01)
    client.stop()
    thread.join(10)
    assert ended


def test_left_half_way_the_rest_is_not_waited_for(desk):
    desk.refresher().update("GOOD")
    desk.yahoo.retry_after = "250"
    updates = desk.refresher(Fetching(together=2, per_second=1000)).update_all(["GOOD", "LIMITED1", "LIMITED2"])
    assert next(updates).status == "fresh"
    while not desk.yahoo.limited:
        time.sleep(0.01)
    began = time.monotonic()
    updates.close()
    assert time.monotonic() - began < 10
    for ticker in ("LIMITED1", "LIMITED2"):
        with desk.store.locked(ticker):
            pass
