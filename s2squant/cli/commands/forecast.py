"""s2squant forecast: tonight's forecasts, issued into the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.cli.exits import interrupted
from s2squant.cli.night_screen import EXIT_STATUS, NightScreen
from s2squant.cli.options import Settings, SourceSpec, TickerList, Workers, as_settings, look_in
from s2squant.cli.progress import Watcher, mode_of
from s2squant.errors import ConfigError

if TYPE_CHECKING:
    from s2squant.config.nightly import Nightly
    from s2squant.nightly.night import NightRun
    from s2squant.nightly.results import Night

NightlyFile = Annotated[
    Path | None,
    typer.Argument(metavar="NIGHTLY", help="A .toml or .json file. Left out: the defaults, with --tickers."),
]


@dataclass(frozen=True)
class NightRequest:
    """One night as asked for."""

    nightly: Nightly
    scheduled: datetime
    out: Path | None
    workers: int | None
    command: str


NightRunner = Callable[[NightRequest, Watcher["NightRun", "Night"]], None]
"""Carries a night out and tells the watcher."""


def plain_night(request: NightRequest, watcher: Watcher[NightRun, Night]) -> None:
    """Run the stages one after the other, without Prefect."""
    from s2squant.nightly.night import open_night  # torch and pandas: seconds that --help need not wait for

    with open_night(
        request.nightly,
        scheduled=request.scheduled,
        workers=request.workers,
        out=request.out,
        command=request.command,
    ) as run:
        watcher.opened(run)
        for result in run.execute_stages():
            watcher.finished(result)
        watcher.written(run.folder, run.finish())


def forecast(
    ctx: typer.Context,
    nightly: NightlyFile = None,
    source: SourceSpec = None,
    tickers: TickerList = None,
    moment: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="The scheduled time, as in 2026-11-20T17:30-05:00. Left out: now."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder. Left out: reports/NIGHTLY/RUN_ID.")
    ] = None,
    settings: Settings = None,
    workers: Workers = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what became of it and where the report is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a summary for programs to standard output.")] = False,
) -> int:
    """Issue the night's forecasts, on record: newest bars, retrain when due, ledger, score the matured ones, report.

    For every session, by hand or scheduled (`up`). A quick look without a record is `predict`.

    Example: s2squant forecast --tickers AAPL,MSFT --source yfinance

    Exit status: 0 done, or nothing was due; 3 some tickers have no forecast, or it came too late;
    2 a mistake in what was asked (one line says which); 1 no ticker could be forecast; 130 interrupted.
    """
    from s2squant.config.files import read_nightly

    look_in(nightly)
    scheduled = _scheduled(moment)
    named = as_settings(source=source, tickers=tickers, start=None, end=None, seed=None)
    wanted = read_nightly(nightly, [*(f"experiment.{setting}" for setting in named), *(settings or ())])
    runner: NightRunner = ctx.obj.nights or plain_night
    with NightScreen(mode_of(as_json=as_json, quiet=quiet)) as screen:
        try:
            runner(NightRequest(wanted, scheduled, out, workers, ctx.obj.command), screen)
        except KeyboardInterrupt:
            return interrupted("the same command goes on where it stopped")
    if screen.night is None:
        raise AssertionError("the runner came back without a night")
    return EXIT_STATUS[screen.night.status]


def _scheduled(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--at {text}: no time; write it as in 2026-11-20T17:30-05:00") from None
    if moment.tzinfo is None:
        raise ConfigError(f"--at {text}: has no time zone; write it as in 2026-11-20T17:30-05:00, or end it with Z")
    return moment
