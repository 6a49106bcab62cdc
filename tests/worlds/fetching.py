"""Fetches in processes of their own, to be killed or set against each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from s2squant.config.fetching import Fetching
from s2squant.prices.sources.yahoo import Yahoo
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.store.refresh import Refresher
from tests.worlds.processes import forkserver


def start(
    folder: Path, url: str, tickers: Sequence[str], now: datetime, spec: Fetching
) -> tuple[BaseProcess, Connection]:
    """A process that fetches; its connection says "go" when it begins, then each ticker's outcome."""
    context = forkserver()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_fetch, args=(folder, url, tuple(tickers), now, spec, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def outcomes(process: BaseProcess, connection: Connection) -> dict[str, str]:
    """Wait for the process to end; status, or the failure's text, by ticker."""
    found: dict[str, str] = {}
    try:
        while True:
            said = connection.recv()
            if said != "go":
                found[said[0]] = said[1]
    except EOFError:
        process.join()
        connection.close()
    return found


def _fetch(
    folder: Path, url: str, tickers: tuple[str, ...], now: datetime, spec: Fetching, connection: Connection
) -> None:
    source = Yahoo(spec, server=url, clock=lambda: now)
    refresher = Refresher(PriceStore(folder), source, spec, clock=lambda: now)
    connection.send("go")
    for update in refresher.update_all(tickers):
        connection.send((update.ticker, str(update.error) if update.error else update.status))
