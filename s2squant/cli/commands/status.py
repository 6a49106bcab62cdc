"""s2squant status: schedules, last runs, freshness of prices, and what the ledger lacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from s2squant.cli.tables import local_time, page_at, plain_console, plain_table
from s2squant.errors import first_of

if TYPE_CHECKING:  # the ledger brings SQLAlchemy and pandas, which a help text can do without
    from s2squant.nightly.operation.status import Standing

RUNS, NAMED, WIDTH = 10, 10, 90
"""Rows of the last runs, tickers that are named, and characters of a message."""
TROUBLED = 3
"""Exit status where something is stale, missing or failed."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Write everything for programs to standard output.")] = False,
) -> int:
    """Show schedules, last runs, freshness of prices, issued forecasts and gaps.

    Example: s2squant status --json

    Exit status: 0 all is well; 3 something is stale, missing or failed (named at the end);
    2 a mistake in what was asked (one line says which); 1 a fault of s2squant itself.
    """
    from s2squant.nightly.operation.status import standing

    now = standing(datetime.now(UTC))
    if as_json:
        print(json.dumps(_plain(now), indent=1))
    else:
        _show(now)
    return TROUBLED if now.troubles else 0


def _show(now: Standing) -> None:
    from s2squant.nightly.results import when

    console = plain_console(soft_wrap=True)
    console.print(now.server_says or f"Prefect server: {now.server}")
    if now.deployments:
        rows = [(d.name, local_time(d.next_run) or ("paused" if d.paused else "on demand")) for d in now.deployments]
        console.print(_table(("deployment", "next run"), rows))
    if now.runs:
        shown = [(run.name, run.state, local_time(run.started), _short(run.message)) for run in now.runs[:RUNS]]
        console.print(_table(("last runs", "state", "started", "message"), shown))
    for market in now.markets:
        name, last = market.market, when(market.market, market.newest) or "none"
        behind = first_of([f"{ticker} ({when(name, day) or 'none'})" for ticker, day in market.behind.items()], NAMED)
        console.print(
            f"prices {name}: newest {last}, {market.tickers - len(market.behind)} of "
            f"{market.tickers} tickers have {when(name, market.due)}" + (f"; behind: {behind}" if behind else "")
        )
    console.print(f"ledger: {now.ledger}" if now.nightlies else "ledger: no nightly has run yet")
    for nightly in now.nightlies:
        run = nightly.last_run
        issued = (
            ", ".join(f"{market or 'all'} {when(market, day)}" for market, day in nightly.last_issued.items())
            or "nothing"
        )
        gaps = ", ".join(f"{count} {kind}" for kind, count in nightly.gaps.items()) or "none"
        console.print(f"{nightly.name}: last run {local_time(run.started_at)} {run.status}; issued {issued}")
        console.print(f"  gaps of the last 30 sessions: {gaps}; drift: {nightly.drift or 'none'}")
        for ticker, why in list(nightly.last_gaps.items())[:NAMED]:
            console.print(f"  no forecast of {ticker}, {why}")
        if len(nightly.last_gaps) > NAMED:
            console.print(f"  and no forecast of {len(nightly.last_gaps) - NAMED} more")
        if run.folder:
            console.print(f"  report: {page_at(Path(run.folder) / 'index.html')}")
    for trouble in now.troubles:
        console.print(f"TROUBLE {_short(trouble)}")
    if not now.troubles:
        console.print("all is well")


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose columns are as wide as they need, but for the message."""
    table = plain_table(*names)
    for number, column in enumerate(table.columns):
        column.min_width = None if column.header == "message" else max(len(row[number]) for row in rows)
    for row in rows:
        table.add_row(*row)
    return table


def _short(text: str) -> str:
    """One line of a message."""
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _plain(now: Standing) -> Any:
    plain = json.loads(json.dumps(asdict(now), default=str))
    for nightly in plain["nightlies"]:
        for name in ("settings", "facts"):
            nightly["last_run"].pop(name)
    return plain | {"exit_status": TROUBLED if now.troubles else 0}
