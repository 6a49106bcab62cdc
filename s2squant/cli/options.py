"""The options that every command about an experiment shares, and the experiment they come to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.config.defaults import Engine
from s2squant.errors import ConfigError

if TYPE_CHECKING:
    from s2squant.config.experiment import Experiment

ExperimentFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="EXPERIMENT",
        help="A .toml or .json file; an earlier run's experiment.json will do. Left out: the defaults.",
    ),
]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one setting, as in walk.horizon=10. Repeatable; applied last."
    ),
]

SourceSpec = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="Prices from: sample, sample:hourly, yfinance, store:DIR, csv:DIR, parquet:DIR."),
]

TickerList = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="Which tickers. Left out: all of the source's.")
]

BarInterval = Annotated[
    str | None,
    typer.Option(
        "--interval",
        metavar="INTERVAL",
        help="1d, 1h, 30m, 15m, 5m, 1m, 1wk or 1mo; coarser bars are made of finer ones. Left out: the files' own.",
    ),
]

FirstDate = Annotated[str | None, typer.Option(metavar="DATE", help="First date used, as in 2010-01-31.")]

LastDate = Annotated[str | None, typer.Option(metavar="DATE", help="Last date used, inclusive.")]

Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of everything random.")]

Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="Processes that train. Left out: one a core.")]

EngineName = Annotated[
    Engine,
    typer.Option(
        "--engine",
        metavar="local|dask|ray",
        help="Who starts those processes; the numbers are the same. dask and ray are extras of the package.",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Write the outcome for programs to standard output.")]


def experiment_of(
    file: Path | None,
    settings: list[str] | None,
    *,
    source: str | None,
    tickers: str | None,
    start: str | None,
    end: str | None,
    seed: int | None,
    interval: str | None = None,
) -> Experiment:
    """The experiment that a command asks for: its file, under the options that name a setting, under `--set`."""
    from s2squant.config.files import build_experiment

    look_in(file)
    named = as_settings(source=source, tickers=tickers, start=start, end=end, seed=seed, interval=interval)
    return build_experiment(file, [*named, *(settings or ())])


def look_in(file: Path | None) -> None:
    """Let own models and features be imported from the folder in which a file of settings lies."""
    if file is not None and (folder := str(file.absolute().parent)) not in sys.path:
        sys.path.append(folder)


def as_settings(
    *,
    source: str | None,
    tickers: str | None,
    start: str | None,
    end: str | None,
    seed: int | None,
    interval: str | None = None,
) -> list[str]:
    """The options that name a setting, as settings; raises ConfigError for a list of tickers without one."""
    names = None if tickers is None else [name.strip() for name in tickers.split(",") if name.strip()]
    if names == []:
        raise ConfigError("--tickers names no ticker; write --tickers AAPL,MSFT or leave it out")
    universe = {"source": source, "tickers": names, "interval": interval, "start": start, "end": end}
    given = {"seed": seed, **{f"universe.{key}": value for key, value in universe.items()}}
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
