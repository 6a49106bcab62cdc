"""What the ledger's tests share: forecasts to enter, and processes that enter them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from sqlalchemy import event
from sqlalchemy.engine import URL

from s2squant.errors import LedgerError
from s2squant.nightly.ledger.database import transaction
from s2squant.nightly.ledger.entries import Issue, RunEntry
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import RUNS
from s2squant.series.forecast import LEVELS
from tests.worlds.processes import forkserver

CUTOFF = date(2024, 3, 1)
AT = datetime(2024, 3, 2, 1, 30, tzinfo=UTC)
NIGHTLY = "nightly"


def an_issue(
    ticker: str = "AAA", model: str = "anchor", *, cutoff: date = CUTOFF, steps: int = 5, seed: int = 0
) -> Issue:
    """A forecast whose figures the seed decides."""
    rng = np.random.default_rng(seed)
    return Issue(
        ticker=ticker,
        market="XNYS",
        cutoff=cutoff,
        model=model,
        version=f"weights-{model}",
        sessions=[cutoff + timedelta(days=step) for step in range(1, steps + 1)],
        quantiles_HQ=np.sort(rng.normal(0, 0.02, (steps, len(LEVELS))).astype(np.float32), axis=1),
        mean_H=rng.normal(0, 0.001, steps),
        close=100.0 + rng.random(),
        factor=0.98 + 0.01 * rng.random(),
        prices_sha256="ab" * 32,
        prices_at="2024-03-02T01:00:00.000000+00:00",
    )


def a_run(run_id: str = "run-1", *, nightly: str = NIGHTLY, at: datetime = AT, folder: str = "") -> RunEntry:
    """A run that has just begun."""
    return RunEntry(run_id, nightly, "forecast", at, at, "running", folder=folder)


def many_runs(ledger: Ledger, many: int, *, after: datetime) -> None:
    """That many finished runs of NIGHTLY, many-0 and on, a minute apart."""
    rows = [asdict(a_run(f"many-{n}", at=after + timedelta(minutes=n))) | {"status": "done"} for n in range(many)]
    with transaction(ledger.engine, writes=True) as connection:
        connection.execute(RUNS.insert(), rows)


def an_outcome(forecast_id: int, y: float = 0.01) -> dict[str, Any]:
    """What became of a forecast."""
    figures = {"y": y, "crps": 0.5, "pit": 0.25, "close": 101.0}
    return {"forecast_id": forecast_id, **figures, "prices_sha256": "cd" * 32, "prices_at": "2024-03-09T00:00:00+00:00"}


def begin(what: Any, *given: Any) -> tuple[BaseProcess, Connection]:
    """Start one of the functions below in a process of its own; its last argument is the connection."""
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=what, args=(*given, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def answer(process: BaseProcess, connection: Connection, seconds: float = 60) -> Any:
    """The one thing that a process says, when it has ended."""
    if not connection.poll(seconds):
        process.kill()
        raise AssertionError(f"no answer within {seconds} s")
    said = connection.recv()
    process.join(10)
    return said


def open_it(url: URL, connection: Connection) -> None:
    """Open the ledger once told to, and say how that went."""
    connection.send("ready")
    connection.recv()
    try:
        Ledger(url)
    except Exception as error:
        connection.send(repr(error))
    else:
        connection.send("opened")


def write_it(url: URL, number: int, tickers: Sequence[str], models: Sequence[str], connection: Connection) -> None:
    """Enter every ticker's forecasts, a gap, events, models and outcomes, in an order of this writer's own."""
    rng = np.random.default_rng(number)
    found: dict[str, str] = {}
    connection.send("ready")
    connection.recv()
    try:
        ledger, run_id = Ledger(url), f"run-{number}"
        ledger.start_run(a_run(run_id))
        for i in rng.permutation(len(tickers)):
            ticker = tickers[i]
            issues = [an_issue(ticker, model, seed=int(i)) for model in models]
            found[ticker] = ledger.issue(NIGHTLY, run_id, issues, at=AT)
            ledger.miss(NIGHTLY, run_id, ticker, "XNYS", CUTOFF + timedelta(days=1), "stale", "no bar", at=AT)
            ledger.note(NIGHTLY, run_id, CUTOFF, "stale", f"{ticker} is stale", ticker=ticker, at=AT)
            due = ledger.unscored(NIGHTLY, CUTOFF + timedelta(days=2))["id"].tolist()
            ledger.score([an_outcome(int(forecast)) for forecast in rng.permutation(due)], run_id, at=AT)
        own = f"OWN{number}"
        found[own] = ledger.issue(NIGHTLY, run_id, [an_issue(own, model) for model in models], at=AT)
        ledger.end_run(run_id, "done", "", at=AT)
    except Exception as error:
        connection.send(error if isinstance(error, LedgerError) else RuntimeError(repr(error)))
    else:
        connection.send(found)


def stop_within(url: URL, statements: int, tickers: Sequence[str], connection: Connection) -> None:
    """Enter forecasts, and stand still in the middle of a transaction after so many statements of it."""
    ledger = Ledger(url)
    ledger.start_run(a_run("killed"))
    done = 0

    def _count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal done
        done += statement.startswith("INSERT INTO forecasts")
        if done == statements:
            connection.send("within")
            time.sleep(600)

    event.listen(ledger.engine, "after_cursor_execute", _count)
    for ticker in tickers:
        ledger.issue(NIGHTLY, "killed", [an_issue(ticker, model) for model in ("anchor", "blend", "field")], at=AT)


def as_another(url: URL, user: int | None, connection: Connection) -> None:
    """As another user, where one is given, read the ledger and try to write it; what each came to."""
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    said = []
    for what in (_read, _write):
        try:
            said.append(what(url))
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    connection.send(said)


def _read(url: URL) -> str:
    return f"{len(Ledger(url).record(NIGHTLY))} rows"


def _write(url: URL) -> str:
    ledger = Ledger(url)
    ledger.start_run(a_run("another"))
    return ledger.issue(NIGHTLY, "another", [an_issue("ZZZ")], at=AT)
