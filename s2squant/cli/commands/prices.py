"""s2squant prices show TICKER, check [DIR], repair [DIR]: what the bars look like, what is odd, what is damaged."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from s2squant.cli.exits import complain
from s2squant.cli.options import BarInterval
from s2squant.cli.tables import plain_console
from s2squant.config import defaults
from s2squant.config.intervals import SECONDS
from s2squant.errors import SEVERITIES, Finding, PriceError, SourceError, worst

if TYPE_CHECKING:
    from s2squant.config.experiment import Universe
    from s2squant.prices.port import Source
    from s2squant.series.history import PriceHistory

KEPT_OUT = 3
"""Exit status where the prices of some ticker cannot be used."""
STORE = Path(defaults.STORE)

app = typer.Typer()


@app.callback(invoke_without_command=True)
def _front(ctx: typer.Context) -> None:
    """Look at prices, and check them.

    Example: s2squant prices show AAPL
    """
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        print(f"The price store here: {STORE}{'' if STORE.is_dir() else ', not made yet; s2squant fetch makes it'}.")


@app.command()
def show(
    ticker: Annotated[str, typer.Argument(metavar="TICKER", help="As the source names it.")],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="sample, yfinance, csv:DIR, parquet:DIR or store:DIR. Left out: the price store, else the sample.",
        ),
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="First day shown.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Last day shown.")] = None,
    rows: Annotated[int, typer.Option(metavar="N", min=0, help="How many of the last bars to list.")] = 5,
    around: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Look at the days around this one.")
    ] = None,
    interval: BarInterval = None,
) -> int:
    """Show one ticker's prices: where they come from, a plot, the last bars, and every finding.

    With --around, the twenty bars on either side of a day, each with its return and its volume, and what is said of it.

    Example: s2squant prices show AAPL --around 2000-09-29

    Exit status: 0; 3 where its prices cannot be used; 2 a mistake in what was asked.
    """
    from s2squant.cli.price_views import bars_of, facts, plot
    from s2squant.config.files import make_experiment  # with pandas: seconds that --help need not wait for
    from s2squant.prices.universe import inspect_ticker, open_source

    if start and end and start > end:
        raise SourceError(f"--start {start.date()} is after --end {end.date()}; give the earlier first")
    day = start.date() if start and start == end else None
    bars = make_experiment({"universe": {"interval": interval or ""}}, where="--interval").universe
    span = {} if day else {"start": start.date() if start else None, "end": end.date() if end else None}
    universe = bars.model_copy(update=span)
    opened = open_source(source, universe) if source else _source_of(ticker, universe)
    opened.check([ticker])
    console = plain_console()
    try:
        history = inspect_ticker(opened, ticker, universe)
        if day:
            return _show_day(console, history, str(day))
        if around:
            return _show_around(console, history, str(around.date()))
    except PriceError as error:
        complain(str(error))
        _print_findings(console, {ticker: error.findings}, notes=True)
        return KEPT_OUT
    console.print(facts(history))
    console.print(plot(history, min(console.width, 100)), soft_wrap=True)
    if rows:
        console.print(bars_of(history, range(len(history))[-rows:]))
    _print_findings(console, {ticker: history.findings}, notes=True)
    for note in history.notes:
        console.print(f"note    {ticker}: {note}", soft_wrap=True)
    if not history.findings:
        console.print("nothing was repaired, and nothing looks odd")
    return KEPT_OUT if worst(history.findings) == "error" else 0


@app.command()
def check(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR",
            help="A folder of CSV or parquet files, a price store, or a source as --source names it. "
            "Left out: the price store.",
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Instead of DIR: sample, csv:DIR, parquet:DIR or store:DIR.")
    ] = None,
    notes: Annotated[
        bool, typer.Option("--notes", help="List every note, not only large moves, small spikes and dividends.")
    ] = False,
    interval: BarInterval = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write every finding for programs to standard output.")
    ] = False,
) -> int:
    """Check every ticker of a folder, and say what was found, repaired, and kept out; then what to do about it.

    Example: s2squant prices check my_prices

    Exit status: 0; 3 where the prices of some ticker cannot be used; 2 a mistake in what was asked.
    """
    from s2squant.cli.price_views import as_plain, overview
    from s2squant.config.files import make_experiment
    from s2squant.prices.checks.market import across
    from s2squant.prices.universe import inspect_ticker, open_source

    if folder is not None and source is not None:
        raise SourceError(f"name DIR or --source, not both: {folder}, {source}")
    if folder is not None and ":" in folder and not Path(folder).exists():
        source, folder = folder, None
    universe = make_experiment({"universe": {"interval": interval or ""}}, where="--interval").universe
    opened = open_source(source, universe) if source else _source_at(Path(folder) if folder else STORE, universe)
    histories: dict[str, PriceHistory] = {}
    refused: dict[str, PriceError] = {}
    for ticker in opened.tickers() or opened.default_universe():
        try:
            histories[ticker] = inspect_ticker(opened, ticker, universe)
        except PriceError as error:
            refused[ticker] = error
    for ticker, findings_now in across(tuple(histories.values())).items():
        histories[ticker] = replace(histories[ticker], findings=findings_now)
    findings = {t: h.findings for t, h in histories.items()} | {t: e.findings for t, e in refused.items()}
    bad = [t for t in findings if t in refused or worst(findings[t]) == "error"]
    if as_json:
        print(json.dumps({t: as_plain(histories.get(t), refused.get(t), f) for t, f in findings.items()}, indent=1))
        return KEPT_OUT if bad else 0
    console = plain_console()
    console.print(overview(histories, refused))
    _print_findings(console, findings, notes=notes)
    for refusal in refused.values():
        if not refusal.findings:
            console.print(f"error   {refusal}", soft_wrap=True)
    _print_remedies(console, [f for some in findings.values() for f in some])
    console.print(f"{len(findings) - len(bad)} of {len(findings)} tickers can be used")
    return KEPT_OUT if bad else 0


@app.command()
def repair(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A price store. Left out: the one below the working folder.")
    ] = STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is damaged, and move nothing.")] = False,
) -> int:
    """Read every version of every ticker of a price store, and put those that are damaged aside, to be fetched again.

    Example: s2squant prices repair --dry-run

    Exit status: 0 nothing is damaged, or it is put aside; 3 something is damaged and still there; 2 a mistake in what
    was asked.
    """
    from s2squant.prices.store.compaction import intervals
    from s2squant.prices.store.price_store import PriceStore

    store = PriceStore(folder)
    stored = [(interval, ticker) for interval in intervals(store) for ticker in store.tickers(interval)]
    if not stored:
        raise SourceError(f"{folder} is no price store or an empty one; fill it with s2squant fetch")
    damaged = [(interval, ticker, why) for interval, ticker in stored if (why := store.damage(ticker, interval))]
    for interval, ticker, why in damaged:
        print(f"{ticker} {interval}: {why}")
        if not dry_run:
            with store.locked(ticker, interval):
                print(f"  put aside: {store.put_aside(ticker, interval)}")
    print(f"{len(stored) - len(damaged)} of {len(stored)} are whole")
    if damaged and not dry_run:
        names = " ".join(dict.fromkeys(ticker for _, ticker, _ in damaged))
        print(f"fetch them again: s2squant fetch {names} --store {folder}")
    return KEPT_OUT if damaged and dry_run else 0


def _show_around(console: Console, history: PriceHistory, day: str) -> int:
    """The bars around a day, as a plot and a table, and the findings that name one of them."""
    import numpy as np

    from s2squant.cli.price_views import AROUND, around_of, plot

    row = min(int(np.searchsorted(history.dates, np.datetime64(day))), len(history) - 1)
    first, last = max(0, row - AROUND), min(len(history) - 1, row + AROUND)
    span = history.between(history.dates[first], history.dates[last])
    console.print(plot(span, min(console.width, 100)), soft_wrap=True)
    console.print(around_of(history, row))
    days = set(map(str, span.dates))
    findings = tuple(f for f in history.findings if days & set(f.rows))
    _print_findings(console, {history.ticker: findings}, notes=True)
    if not findings:
        console.print(f"around {day} nothing was repaired, and nothing looks odd")
    return KEPT_OUT if worst(findings) == "error" else 0


def _show_day(console: Console, history: PriceHistory, day: str) -> int:
    """The bars of a day, and the findings that name it or them; raises PriceError where there are none."""
    import numpy as np

    from s2squant.cli.price_views import bars_of, facts

    rows = np.flatnonzero(history.inside(day, day))
    if len(rows) == 0:
        row = int(np.searchsorted(history.dates, np.datetime64(day)))
        near = " and ".join(str(d) for d in history.dates[max(0, row - 1) : row + 1])
        raise PriceError(history.ticker, f"no bar on {day}; the nearest are of {near}")
    named = {day, *map(str, history.dates[rows])}
    findings = tuple(f for f in history.findings if named & set(f.rows))
    console.print(facts(history))
    console.print(bars_of(history, range(rows[0], rows[-1] + 1)))
    _print_findings(console, {history.ticker: findings}, notes=True)
    if not findings:
        console.print(f"on {day} nothing was repaired, and nothing looks odd")
    return KEPT_OUT if worst(findings) == "error" else 0


def _source_of(ticker: str, universe: Universe) -> Source:
    """The price store where it holds the ticker at the interval, else the sample."""
    from s2squant.prices.sources.from_store import stored_at
    from s2squant.prices.store.price_store import PriceStore
    from s2squant.prices.universe import open_source

    stored = ticker in PriceStore(STORE).tickers(stored_at(universe.interval))
    return open_source(f"store:{STORE}" if stored else "sample", universe)


def _source_at(folder: Path, universe: Universe) -> Source:
    """A folder or a file as the source it looks like: a price store, CSV files, or parquet files."""
    from s2squant.prices.store.price_store import PriceStore
    from s2squant.prices.universe import open_source

    store = PriceStore(folder)
    if folder == STORE or store.tickers() or store.tickers(universe.interval if universe.interval in SECONDS else "1h"):
        return open_source(f"store:{folder}", universe)
    forms = {path.suffix.lower() for path in (folder.iterdir() if folder.is_dir() else [folder])}
    if {".csv", ".parquet"} <= forms:
        print(f"{folder} holds parquet files too, not checked here: --source parquet:{folder}", file=sys.stderr)
    return open_source(f"parquet:{folder}" if ".parquet" in forms and ".csv" not in forms else f"csv:{folder}")


def _print_findings(console: Console, findings: dict[str, tuple[Finding, ...]], *, notes: bool) -> None:
    """One line a finding, the gravest first, and its evidence below; of notes those that matter."""
    from s2squant.prices.checks.every import NOTES_THAT_MATTER

    listed = [
        (ticker, f)
        for ticker, some in findings.items()
        for f in some
        if notes or f.severity != "note" or f.name in NOTES_THAT_MATTER
    ]
    for ticker, f in sorted(listed, key=lambda pair: -SEVERITIES.index(pair[1].severity)):
        console.print(f"{f.severity:7} {ticker}: {f.name}: {f.text} [{f.done}]", soft_wrap=True)
        for day, reason in zip(f.rows, f.why, strict=False):
            console.print(f"why     {ticker}: {day}: {reason}", soft_wrap=True)
    sys.stdout.flush()


def _print_remedies(console: Console, findings: list[Finding]) -> None:
    """What to do about each kind of finding beyond a note, once."""
    from s2squant.prices.checks.every import REMEDIES

    names = dict.fromkeys(f.name for f in findings if f.severity != "note")
    for name in names:
        if name in REMEDIES:
            console.print(f"remedy  {name}: {REMEDIES[name]}", soft_wrap=True)
    if any(f.why for f in findings):
        console.print("look    at a day: s2squant prices show TICKER --around DATE [--source SPEC]")
