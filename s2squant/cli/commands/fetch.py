"""s2squant fetch: prices from a source into the price store, as far as they are missing."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from s2squant.cli.exits import interrupted
from s2squant.cli.options import AsJson
from s2squant.cli.progress import Progress, usual_columns
from s2squant.cli.tables import plain_console, plain_table, ticker_cell
from s2squant.config.defaults import PER_SECOND, STORE, TOGETHER
from s2squant.errors import SourceError

if TYPE_CHECKING:
    from s2squant.prices.fetch import FetchRunner
    from s2squant.prices.store.refresh import Update

FAILED = 3
"""Exit status where some tickers could not be fetched."""


def fetch(
    ctx: typer.Context,
    tickers: Annotated[
        list[str] | None, typer.Argument(metavar="TICKERS...", help="As in AAPL MSFT, or AAPL,MSFT.")
    ] = None,
    universe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A list of tickers: one a line, or a CSV with a ticker column.")
    ] = None,
    source: Annotated[str, typer.Option(metavar="SPEC", help="yfinance, sample, csv:DIR or parquet:DIR.")] = "yfinance",
    start: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="First day. Left out: all there is.")
    ] = None,
    interval: Annotated[
        str, typer.Option(metavar="I", help="1d, or 1h, 30m, 15m, 5m, 2m, 1m as far back as Yahoo goes.")
    ] = "1d",
    store: Annotated[Path, typer.Option(metavar="DIR", help="The price store.")] = Path(STORE),
    anew: Annotated[
        bool, typer.Option("--anew", help="Fetch everything again and take it, even where it contradicts the store.")
    ] = False,
    together: Annotated[int, typer.Option(metavar="N", min=1, help="Requests under way at once.")] = TOGETHER,
    rate: Annotated[float, typer.Option(metavar="R", min=0.01, help="Requests a second, at most.")] = PER_SECOND,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress, and of the tickers only those that failed.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Fetch prices into the store: what is missing and a little before it, to see what was revised.

    Example: s2squant fetch AAPL MSFT --start 2010-01-01

    Exit status: 0 every ticker is up to date; 3 some are not (named, with the reason);
    2 a mistake in what was asked (one line says which); 130 interrupted, and what was stored stays.
    """
    from s2squant.config.fetching import Fetching  # with pandas: a second that --help need not wait for
    from s2squant.prices.fetch import FetchRequest, side_by_side

    request = FetchRequest(
        tickers=_named(tickers, universe),
        store=store,
        source=source,
        interval=interval,
        start=start.date() if start else None,
        anew=anew,
        spec=Fetching(together=together, per_second=rate),
    )
    runner: FetchRunner = ctx.obj.fetching or side_by_side
    with FetchProgress(len(request.tickers), quiet=quiet or as_json) as watch:
        try:
            runner(request, watch.done)
        except KeyboardInterrupt:
            return interrupted("what was stored stays, and the same command goes on")
    if as_json:
        print(json.dumps({"store": str(store), "tickers": {u.ticker: outcome(u) for u in watch.updates}}, indent=1))
    else:
        shown = [u for u in watch.updates if u.error is not None or not quiet]
        if shown:
            plain_console().print(table_of(shown))
        for update in watch.updates:
            for line in remarks(update):
                print(line)
    return FAILED if any(update.error for update in watch.updates) else 0


def _named(tickers: list[str] | None, universe: Path | None) -> tuple[str, ...]:
    """The tickers asked for, each once, in the order asked; none where neither a ticker nor a file is named."""
    from s2squant.prices.universe_file import read_universe

    if tickers and universe is not None:
        raise SourceError("name tickers or a --universe file, not both")
    if universe is not None:
        return read_universe(universe)
    names = [name.strip() for given in tickers or () for name in given.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


class FetchProgress(Progress):
    """A bar on a terminal, one line a ticker elsewhere; keeps the updates."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        from rich.progress import TextColumn

        ticker = TextColumn("{task.fields[ticker]}", markup=False)
        super().__init__(*usual_columns(), ticker, quiet=quiet)
        self.updates: list[Update] = []
        self._task = self.bars.add_task("fetching", total=total or None, ticker="")
        self.start()

    def done(self, update: Update) -> None:
        """Note one more ticker."""
        self.updates.append(update)
        self.bars.update(self._task, advance=1, ticker=update.ticker)
        if not self.on_terminal:
            reason = f": {update.error.reason}" if update.error else ""
            self.say(f"[{len(self.updates)}] {update.ticker} {update.status}, {update.added} new bars{reason}")


def table_of(updates: list[Update]) -> Table:
    """One row a ticker: what is stored of it now, what the checks say, how many stored bars changed."""
    table = plain_table("ticker", "outcome", ">rows", ">new", ">changed", "first", "last bar", "checks")
    for update in updates:
        plain = outcome(update)
        values = [plain[name] for name in ("rows", "added", "changed", "first", "last")]
        shown = ["" if v is None else f"{v:,}" if isinstance(v, int) else v for v in values]
        table.add_row(ticker_cell(update.ticker), update.status, *shown, plain["checks"])
    return table


def outcome(update: Update) -> dict[str, Any]:
    """An update in plain values."""
    version = update.stored.version if update.stored else None
    return {
        "status": update.status,
        "rows": version.rows if version else None,
        "first": version.first if version else None,
        "last": version.last if version else None,
        "version": version.version if version else None,
        "fetched_at": version.fetched_at if version else None,
        "sha256": version.sha256 if version else None,
        "added": update.added,
        "changed": update.changed,
        "changes": [
            {"reason": c.reason, "first": c.first, "last": c.last, "rows": c.rows, "what": c.what}
            for c in update.changes
        ],
        "checks": checks_of(update),
        "notes": list(update.notes),
        "error": update.error.reason if update.error else None,
        "error_kind": type(update.error).__name__ if update.error else None,
    }


def checks_of(update: Update) -> str:
    """How many findings of the gravest kind the bars stored now have; empty for bars within the day."""
    from s2squant.errors import PriceError, worst
    from s2squant.prices.checks.every import check
    from s2squant.prices.sources.from_store import as_history

    if update.stored is None or update.stored.about.interval != "1d":
        return ""
    try:
        history = as_history(update.stored)
        findings = (*history.findings, *check(history))
    except PriceError as error:
        return f"error: {error.reason}"
    gravest = worst(findings)
    count = sum(f.severity == gravest for f in findings)
    return f"{count} {gravest}{'s' if count > 1 else ''}" if gravest else "ok"


def remarks(update: Update) -> list[str]:
    """One line for the failure, for each reason why stored bars changed, and for what was left out."""
    failed = [f"failed {update.ticker}: {update.error.reason}"] if update.error else []
    changes = [f"{c.reason}, {c.rows:,} bars {c.first} to {c.last}: {c.what}" for c in update.changes]
    notes = [note for note in update.notes if "unfinished" not in note]
    return failed + [f"{update.ticker}: {line}" for line in changes + notes]
