"""Fetches that are killed, and fetches that meet: the store is whole after either."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from s2squant.config.fetching import Fetching
from s2squant.prices.sources.from_store import as_history
from tests.local_yahoo import exchange_sessions
from tests.worlds.fetching import outcomes, start

SPEC = Fetching(together=2, per_second=1000, timeout=30, pause=0.01)
TICKERS = [f"T{n}" for n in range(8)]


def check_whole(desk, tickers):
    """Every stored ticker opens, is what its manifest says, and is true as far as it goes."""
    for ticker in tickers:
        kept, stock = desk.store.read(ticker), desk.yahoo.stock(ticker)
        days = kept.bars.times.astype("datetime64[D]")
        np.testing.assert_allclose(kept.bars.close, stock.close[np.isin(stock.days, days)], rtol=1e-6)
        assert len(as_history(kept)) == kept.version.rows
        for version in desk.store.versions(ticker):
            assert version.rows > 200


def kill_often(desk, times, spec=SPEC):
    rng = random.Random(times)
    desk.yahoo.years = 1
    days = exchange_sessions("XNYS")
    first = int(np.searchsorted(days, np.datetime64("2024-03-01")))
    stored, cut = 0, 0
    for number in range(times):
        desk.on(str(days[first + number]))  # there is something to fetch every time
        process, connection = start(desk.folder, desk.yahoo.url, TICKERS, desk.now, spec)
        assert connection.recv() == "go"
        done = [connection.recv()[0] for _ in range(rng.randrange(len(TICKERS)))]
        time.sleep(rng.uniform(0.0, 0.1))  # on into the tickers under way, however fast the machine
        process.kill()
        done += outcomes(process, connection)
        cut += len(done) < len(TICKERS)
        check_whole(desk, desk.store.tickers())
        assert len(desk.store.tickers()) >= stored
        stored = len(desk.store.tickers())
    assert cut > times / 2, "most kills fell outside a fetch: the test tests nothing"
    found = outcomes(*start(desk.folder, desk.yahoo.url, TICKERS, desk.now, spec))
    assert set(found) == set(TICKERS)
    assert set(found.values()) <= {"new", "updated", "fresh", "unchanged"}
    assert desk.store.tickers() == tuple(sorted(TICKERS))
    check_whole(desk, TICKERS)
    last = np.datetime64(desk.yahoo.fixed_today)
    assert {desk.store.read(ticker).bars.times[-1] for ticker in TICKERS} == {last}
    left = [path.name for path in desk.folder.rglob("*") if path.is_file()]
    assert sorted(set(left) - {"lock", "manifest.json"}) == sorted({n for n in left if n.endswith(".parquet")})
    assert len([n for n in left if n.endswith(".parquet")]) == len(TICKERS)


@pytest.mark.slow
def test_killed_within_a_storm_of_429(desk):
    """Six of ten requests are refused; the one who comes after a kill is as polite as the one before."""
    spec = Fetching(together=2, per_second=200, timeout=30, pause=0.01, limited_pause=0.01, limited_tries=30)
    desk.yahoo.limited_share = 0.6
    kill_often(desk, 5, spec)
    assert len(desk.yahoo.limited) >= 5
    assert desk.yahoo.most_under_way <= spec.together
    assert desk.yahoo.busiest(1.0) <= spec.per_second * 1.1 + 2


@pytest.mark.slow
def test_killed_thirty_times(desk):
    kill_often(desk, 30)


def test_two_processes_at_once(desk):
    desk.yahoo.years = 1
    pair = [start(desk.folder, desk.yahoo.url, order, desk.now, SPEC) for order in (TICKERS, TICKERS[::-1])]
    found = [outcomes(*one) for one in pair]
    for ticker in TICKERS:
        assert sorted(each[ticker] for each in found) == ["fresh", "new"]
        assert len(desk.store.versions(ticker)) == 1
    assert set(desk.yahoo.answered.values()) == {1}
    check_whole(desk, TICKERS)
