"""s2squant prices show TICKER, s2squant prices check [DIR]: what the bars look like, and what is odd in them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from s2squant.cli.exits import complain
from s2squant.cli.tables import plain_console, plain_table
from s2squant.config import defaults
from s2squant.errors import SEVERITIES, Finding, PriceError, SourceError, worst

if TYPE_CHECKING:
    from s2squant.prices.port import Source
    from s2squant.series.arrays import Floats
    from s2squant.series.history import PriceHistory

KEPT_OUT = 3
"""Exit status where the prices of some ticker cannot be used."""
STORE = Path(defaults.STORE)

app = typer.Typer(help="Look at prices, and check them.", no_args_is_help=True)


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
) -> int:
    """Show one ticker's prices: where they come from, a plot, the last bars, and every finding.

    Exit status: 0; 3 where its prices cannot be used; 2 a mistake in what was asked.
    """
    from s2squant.config.experiment import Universe  # with pandas: seconds that --help need not wait for
    from s2squant.prices.universe import inspect_ticker, open_source

    if start and end and start > end:
        raise SourceError(f"--start {start.date()} is after --end {end.date()}; give the earlier first")
    day = start.date() if start and start == end else None
    universe = Universe() if day else Universe(start=start.date() if start else None, end=end.date() if end else None)
    opened = open_source(source, universe) if source else _source_of(ticker)
    opened.check([ticker])
    console = plain_console()
    try:
        history = inspect_ticker(opened, ticker, universe)
        if day:
            return _show_day(console, history, str(day))
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
        Path | None,
        typer.Argument(
            metavar="DIR", help="A folder of CSV or parquet files, or a price store. Left out: the price store."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Instead of DIR: sample, csv:DIR, parquet:DIR or store:DIR.")
    ] = None,
    notes: Annotated[bool, typer.Option("--notes", help="List notes too, not only warnings and errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write every finding for programs to standard output.")
    ] = False,
) -> int:
    """Check every ticker of a folder, and say what was found, repaired, and kept out.

    Exit status: 0; 3 where the prices of some ticker cannot be used; 2 a mistake in what was asked.
    """
    from s2squant.config.experiment import Universe
    from s2squant.prices.universe import inspect_ticker, open_source

    if folder is not None and source is not None:
        raise SourceError(f"name DIR or --source, not both: {folder}, {source}")
    opened = open_source(source) if source else _source_at(folder or STORE)
    histories: dict[str, PriceHistory] = {}
    refused: dict[str, PriceError] = {}
    for ticker in opened.tickers() or opened.default_universe():
        try:
            histories[ticker] = inspect_ticker(opened, ticker, Universe())
        except PriceError as error:
            refused[ticker] = error
    findings = {t: h.findings for t, h in histories.items()} | {t: e.findings for t, e in refused.items()}
    bad = [t for t in findings if t in refused or worst(findings[t]) == "error"]
    if as_json:
        print(json.dumps({t: _as_json(histories.get(t), refused.get(t), f) for t, f in findings.items()}, indent=1))
        return KEPT_OUT if bad else 0
    console = plain_console()
    console.print(overview(histories, refused))
    _print_findings(console, findings, notes=notes)
    for refusal in refused.values():
        if not refusal.findings:
            console.print(f"error   {refusal}", soft_wrap=True)
    console.print(f"{len(findings) - len(bad)} of {len(findings)} tickers can be used")
    return KEPT_OUT if bad else 0


def _show_day(console: Console, history: PriceHistory, day: str) -> int:
    """One bar of a history, and the findings that name its day; raises PriceError where there is none."""
    import numpy as np

    row = int(np.searchsorted(history.dates, np.datetime64(day)))
    if row == len(history) or str(history.dates[row]) != day:
        near = " and ".join(str(d) for d in history.dates[max(0, row - 1) : row + 1])
        raise PriceError(history.ticker, f"no bar on {day}; the nearest are of {near}")
    findings = tuple(f for f in history.findings if day in f.rows)
    console.print(facts(history))
    console.print(bars_of(history, range(row, row + 1)))
    _print_findings(console, {history.ticker: findings}, notes=True)
    if not findings:
        console.print(f"on {day} nothing was repaired, and nothing looks odd")
    return KEPT_OUT if worst(findings) == "error" else 0


def _source_of(ticker: str) -> Source:
    """The price store where it holds the ticker, else the sample."""
    from s2squant.prices.store.price_store import PriceStore
    from s2squant.prices.universe import open_source

    return open_source(f"store:{STORE}" if ticker in PriceStore(STORE).tickers() else "sample")


def _source_at(folder: Path) -> Source:
    """A folder as the source it looks like: a price store, CSV files, or parquet files."""
    from s2squant.prices.store.price_store import PriceStore
    from s2squant.prices.universe import open_source

    if folder == STORE or PriceStore(folder).tickers():
        return open_source(f"store:{folder}")
    forms = {path.suffix.lower() for path in folder.iterdir()} if folder.is_dir() else set()
    if {".csv", ".parquet"} <= forms:
        print(f"{folder} holds parquet files too, not checked here: --source parquet:{folder}", file=sys.stderr)
    return open_source(f"parquet:{folder}" if ".parquet" in forms and ".csv" not in forms else f"csv:{folder}")


def facts(history: PriceHistory) -> Table:
    """Where the prices come from, their span, and how they moved."""
    from s2squant.prices.calendars.exchanges import next_sessions

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    upcoming = ", ".join(map(str, next_sessions(history.calendar, history.dates[-1], 3)))
    for name, value in (
        ("ticker", history.ticker),
        ("source", history.source + (f", {history.fetched_at}" if history.fetched_at else "")),
        ("calendar", f"{history.calendar}; next sessions {upcoming}"),
        ("bars", f"{len(history)}, {history.dates[0]} to {history.dates[-1]}"),
        ("fields", ", ".join(["adj close", *history.bars])),
        ("last", f"{history.adj_close[-1]:,.6g}"),
        ("moves", _moves(history)),
        ("sha256", history.sha256[:16]),
    ):
        table.add_row(name, value)
    return table


def _moves(history: PriceHistory) -> str:
    import numpy as np

    if (history.adj_close <= 0).any():
        return "not computed: a price is not above zero"
    returns = np.expm1(np.diff(history.log_price))
    low, high = int(returns.argmin()), int(returns.argmax())
    extremes = f"{returns[low]:+.1%} on {history.dates[low + 1]}, {returns[high]:+.1%} on {history.dates[high + 1]}"
    return f"standard deviation {returns.std():.2%} a bar; extremes {extremes}"


def plot(history: PriceHistory, width: int, height: int = 10) -> str:
    """The adjusted close as a line of braille dots, at most `width` columns wide."""
    import numpy as np
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height, figure.with_colors = max(20, width - 20), height, False
    figure.x_label, figure.y_label, figure.origin = "", "adj close", False
    figure.x_ticks_fkt = lambda low, _high: f"{low:%Y-%m}"
    figure.y_ticks_fkt = lambda low, _high: f"{low:10.5g}"
    prices: Floats = history.adj_close
    pad = 0.02 * float(np.ptp(prices)) or abs(float(prices[0])) or 1.0
    days = history.dates.astype("datetime64[s]").tolist()
    figure.set_x_limits(days[0], days[-1])
    figure.set_y_limits(float(prices.min()) - pad, float(prices.max()) + pad)
    figure.plot(days, prices.tolist())
    return "\n".join(line.rstrip() for line in str(figure.show()).splitlines())


def bars_of(history: PriceHistory, rows: range) -> Table:
    """Bars as stored."""
    table = plain_table("date", *(f">{name}" for name in history.bars), ">adj close")
    for i in rows:
        bars = [
            f"{values[i]:,.0f}" if name == "volume" else f"{values[i]:,.6g}" for name, values in history.bars.items()
        ]
        table.add_row(str(history.dates[i]), *bars, f"{history.adj_close[i]:,.6g}")
    return table


def overview(histories: dict[str, PriceHistory], refused: dict[str, PriceError]) -> Table:
    """One row a ticker: calendar, bars, span, and how many findings of each severity."""
    table = plain_table("ticker", "calendar", "first", "last", ">bars", ">notes", ">warnings", ">errors")
    for ticker, h in histories.items():
        counts = Counter(f.severity for f in h.findings)
        span = (h.calendar, str(h.dates[0]), str(h.dates[-1]), str(len(h)))
        table.add_row(ticker, *span, *(str(counts[severity] or "") for severity in SEVERITIES))
    for ticker in refused:
        table.add_row(ticker, "-", "-", "-", "-", "", "", "1")
    return table


def _print_findings(console: Console, findings: dict[str, tuple[Finding, ...]], *, notes: bool) -> None:
    """One line a finding, the gravest first."""
    listed = [(ticker, f) for ticker, some in findings.items() for f in some if notes or f.severity != "note"]
    for ticker, f in sorted(listed, key=lambda pair: -SEVERITIES.index(pair[1].severity)):
        console.print(f"{f.severity:7} {ticker}: {f.name}: {f.text} [{f.done}]", soft_wrap=True)
    sys.stdout.flush()


def _as_json(history: PriceHistory | None, error: PriceError | None, findings: tuple[Finding, ...]) -> dict[str, Any]:
    about: dict[str, Any] = {"calendar": history.calendar if history else None}
    if history is not None:
        about |= {"bars": len(history), "first": str(history.dates[0]), "last": str(history.dates[-1])}
    return about | {
        "worst": worst(findings),
        "refused": error.reason if error else None,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "findings": [asdict(finding) for finding in findings],
    }
