"""s2squant maintain: old runs, weights and price versions go, and runs that died are said to be dead."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2squant.cli.options import AsJson
from s2squant.config.defaults import DEAD_AFTER, MODEL_DAYS, PRICE_DAYS, RUN_DAYS

if TYPE_CHECKING:
    from s2squant.nightly.operation.upkeep import Item, Upkeep

IN_PART = 3
"""Exit status where something could not be read or removed."""


def maintain(
    nightly: Annotated[
        Path | None, typer.Argument(metavar="NIGHTLY", help="A .toml or .json file. Left out: the defaults.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    runs: Annotated[
        int, typer.Option(metavar="DAYS", min=1, help="Keep folders of nightly runs and backtests.")
    ] = RUN_DAYS,
    models: Annotated[
        int, typer.Option(metavar="DAYS", min=1, help="Keep what is needed to replay forecasts: weights and prices.")
    ] = MODEL_DAYS,
    prices: Annotated[
        int, typer.Option(metavar="DAYS", min=1, help="Keep versions of prices that no longer stand.")
    ] = PRICE_DAYS,
    dead_after: Annotated[
        float, typer.Option(metavar="HOURS", min=0.01, help="A run that counts as running for longer is dead.")
    ] = DEAD_AFTER,
    as_json: AsJson = False,
) -> int:
    """Remove what was kept long enough, and mark runs that died. Rows of the ledger are never removed.

    Example: s2squant maintain --dry-run

    Exit status: 0; 3 where something could not be read or removed (each named, with the reason);
    2 a mistake in what was asked.
    """
    from s2squant.config.files import read_nightly
    from s2squant.config.nightly import Retention

    spec = read_nightly(nightly)  # a mistake in it is said before pandas and SQLAlchemy are imported

    from s2squant.nightly.operation.upkeep import maintain as upkeep

    keep = Retention(runs=runs, models=models, prices=prices, dead_after=dead_after)
    done = upkeep(spec, keep, dry_run=dry_run, on_listed=None if as_json else _print_listed)
    if as_json:
        print(json.dumps(as_plain(done), indent=1))
    else:
        print(summary(done))
        for failure in done.failures:
            print(f"not done: {failure}", file=sys.stderr)
    return IN_PART if done.failures else 0


def summary(done: Upkeep) -> str:
    """One line: how much was listed or removed."""
    items = done.listed if done.dry_run else done.removed
    what = {"dead": "dead run", "runs": "folder of a run", "studies": "search left alone"}
    what |= {"models": "file of weights", "prices": "ticker's old prices"}
    counts = [(name, sum(item.part == part for item in items)) for part, name in what.items()]
    counted = ", ".join(f"{count} x {name}" for name, count in counts if count) or "nothing"
    size = sum(item.size for item in items)
    return f"{counted}; {megabytes(size)} {'would be freed' if done.dry_run else 'freed'}"


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:,.1f} MB"


def as_plain(done: Upkeep) -> dict[str, Any]:
    """The outcome as plain values."""
    return {
        "dry_run": done.dry_run,
        "freed_bytes": done.freed,
        "listed": [_plain(item) for item in done.listed],
        "removed": [_plain(item) for item in done.removed],
        "failures": list(done.failures),
    }


def _plain(item: Item) -> dict[str, Any]:
    return {key: value for key, value in asdict(item).items() if key != "spent"}


def _print_listed(items: tuple[Item, ...]) -> None:
    for item in items:
        print(f"{item.part:7} {item.name}: {item.why}" + (f", {megabytes(item.size)}" if item.size else ""), flush=True)
