"""What the price store costs: a nightly update of 500 stored tickers against a local Yahoo, and loading them.

    python benchmarks/prices.py [--tickers 500] [--years 20]

The server runs in a process of its own, so that only our side is counted. The same requests through bare yfinance give
the share that is ours: the store, the comparison with what was kept, the calendar, politeness.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from s2squant.config.experiment import Universe
from s2squant.config.fetching import Fetching
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.prices.sources.from_store import StoreSource
from s2squant.prices.sources.yahoo import Yahoo
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.store.refresh import Refresher
from s2squant.prices.universe import load_universe
from s2squant.series.panel import Panel

OURS_GOAL, LOAD_GOAL = 0.020, 3.0
"""CPU seconds a ticker of an update, seconds for loading 500 tickers of 20 years to a Panel."""


def main(argv: Sequence[str] | None = None) -> None:
    """Fill a store, update it by a day, load it; print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tickers", type=int, default=500)
    parser.add_argument("--years", type=int, default=20)
    options = parser.parse_args(argv)
    tickers = [f"DIVIDEND{n}" for n in range(options.tickers)]
    known = exchange_sessions("XNYS")
    last = int(np.searchsorted(known, np.datetime64(datetime.now(UTC).date()))) - 10
    days = [str(known[last + n]) for n in (0, 1, 2)]
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    spawn = multiprocessing.get_context("spawn")
    server = spawn.Process(target=serve, args=(theirs, days[0], options.years), daemon=True)
    server.start()
    url = ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        store = PriceStore(Path(folder))
        timed("first fetch of all bars", len(tickers), lambda: update(store, url, tickers, days[0]))
        ours.send(days[1])
        whole = timed("update by one session", len(tickers), lambda: update(store, url, tickers, days[1]))
        ours.send(days[2])
        bare = timed("the same spans by bare yfinance", len(tickers), lambda: ask(url, tickers, days[2]))
        own = (whole - bare) / len(tickers)
        print(f"ours: {1000 * own:.1f} ms of CPU a ticker, {own / OURS_GOAL:.2f} of the {1000 * OURS_GOAL:.0f} allowed")
        load(store.folder, len(tickers))
    server.terminate()


def serve(connection: Connection, today: str, years: int) -> None:
    """The local Yahoo, until it is terminated; each message is a new today."""
    from tests.local_yahoo import LocalYahoo

    with LocalYahoo(today=today, years=years) as yahoo:
        connection.send(yahoo.url)
        while True:
            yahoo.fixed_today = connection.recv()


def timed(what: str, count: int, work: Callable[[], None]) -> float:
    """Run it; print and return CPU seconds of this process, all threads."""
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    print(f"{what}: {1000 * cpu / count:.1f} ms of CPU and {1000 * clock / count:.1f} ms a ticker", flush=True)
    return cpu


def evening(day: str) -> datetime:
    """After the close of a session."""
    return datetime.fromisoformat(f"{day}T23:00:00+00:00")


SPEC = Fetching(together=2, per_second=10_000, timeout=60)


def update(store: PriceStore, url: str, tickers: Sequence[str], day: str) -> None:
    """Bring the store up to a day."""
    source = Yahoo(SPEC, server=url, clock=lambda: evening(day))
    refresher = Refresher(store, source, SPEC, clock=lambda: evening(day))
    for done in refresher.update_all(tickers):
        assert done.error is None, done.error
        assert done.status in ("new", "updated"), done.status


def ask(url: str, tickers: Sequence[str], day: str) -> None:
    """What an update asks, through yfinance alone: one history of the overlap a ticker."""
    import yfinance

    source = Yahoo(SPEC, server=url, clock=lambda: evening(day))
    source._open()
    since = known_sessions_before(day, SPEC.overlap)
    for ticker in tickers:
        handle = yfinance.Ticker(ticker, session=source._session)
        handle._tz = "America/New_York"
        frame = handle.history(start=since, auto_adjust=False, actions=True, keepna=True)
        assert len(frame) >= SPEC.overlap


def known_sessions_before(day: str, count: int) -> datetime:
    """The session so many before a day."""
    known = exchange_sessions("XNYS")
    moment: datetime = (
        known[np.searchsorted(known, np.datetime64(day)) - count].astype("datetime64[s]").astype(datetime)
    )
    return moment


def load(folder: Path, count: int) -> None:
    """From the store to a Panel: the bars alone, and with every check of the prices station."""
    source = StoreSource(folder)
    clocks, cpus = [], []
    for _ in range(3):
        clock, cpu = time.perf_counter(), time.process_time()
        panel = Panel(tuple(source.history(ticker) for ticker in source.tickers()))
        clocks.append(time.perf_counter() - clock)
        cpus.append(time.process_time() - cpu)
    bars = sum(len(history) for history in panel.histories)
    took = statistics.median(clocks)
    print(f"load {count} tickers, {bars:,} bars, to a Panel: {took:.2f} s, {statistics.median(cpus):.2f} s of CPU")
    print(f"  (goal for 500 tickers of 20 years: {LOAD_GOAL:g} s, {took * 500 / count / LOAD_GOAL:.2f} of it)")
    clock, cpu = time.perf_counter(), time.process_time()
    Panel(load_universe(Universe(source=f"store:{folder}")).histories)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(f"the same with all checks: {clock:.2f} s, {cpu:.2f} s of CPU")


if __name__ == "__main__":
    main()
