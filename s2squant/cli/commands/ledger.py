"""s2squant ledger export FILE, verify: the record for other programs, and whether it is what was entered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.errors import ConfigError, LedgerError, first_of

if TYPE_CHECKING:
    import pandas as pd

    from s2squant.nightly.ledger.ledger import Ledger

FORMS = (".parquet", ".csv")
NOT_AS_ENTERED = 3
"""Exit status where a row is not what was entered."""

app = typer.Typer()


@app.callback(invoke_without_command=True)
def _front(ctx: typer.Context) -> None:
    """The forecast ledger: every forecast issued, every one that is missing, and what became of each.

    Example: s2squant ledger export record.csv
    """
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        place = "the one that S2SQUANT_LEDGER names" if os.environ.get("S2SQUANT_LEDGER") else "data/ledger.sqlite"
        print(f"The ledger here is {place}; `s2squant status` says what it holds and lacks.")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .parquet or .csv file; an older one is replaced.")],
    nightly: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose record; may be left out where the ledger has one.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With the forecasts that were issued again and never entered the record.")
    ] = False,
    prices: Annotated[
        bool,
        typer.Option(
            "--prices/--log-returns", help="Mean, outcome and quantiles as prices, or as the ledger keeps them."
        ),
    ] = True,
) -> int:
    """Write every live forecast of a nightly with its newest outcome: one row a model, ticker, cutoff and step.

    Example: s2squant ledger export record.csv

    In a .csv, a text that a spreadsheet would run as a formula has an apostrophe before it.

    Exit status: 0; 2 a mistake in what was asked; 1 the ledger cannot be read, or is not what was entered.
    """
    if file.suffix.lower() not in FORMS:
        raise ConfigError(f"{file}: a record is written to a {' or '.join(FORMS)} file")
    from s2squant.files import plain_cell, write_atomic  # pandas and SQLAlchemy: seconds that --help need not wait for
    from s2squant.nightly.ledger.ledger import existing_ledger

    ledger = existing_ledger()
    if ledger is None:
        raise ConfigError("there is no ledger yet; s2squant forecast makes it with its first night")
    nightly = nightly or _only(ledger)
    if changed := ledger.verify()[0]:
        raise LedgerError(
            f"the ledger {ledger.name} is not what was entered ({first_of(changed, 1, between='; ')}); nothing is "
            "written, `s2squant ledger verify` says more"
        )
    record = ledger.record(nightly, live=not everything)
    if record.empty:
        raise ConfigError(f"the ledger {ledger.name} holds no forecast of {nightly!r}; --nightly names another")
    if prices:
        record = in_prices(record)
    try:
        if file.suffix.lower() == ".csv":
            texts = record.select_dtypes(["object", "string"]).columns
            plain = record.assign(**{name: record[name].map(plain_cell) for name in texts})
            write_atomic(file, lambda path: plain.to_csv(path, index=False))
        else:
            write_atomic(file, lambda path: record.to_parquet(path, index=False, compression="zstd"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); choose another place") from None
    corrected = int((record["correction"] > 0).sum())
    outcomes = f"{record['y'].notna().sum()} with an outcome" + (f" ({corrected} corrected)" if corrected else "")
    print(f"{len(record)} rows of {nightly}, {outcomes}: {file}")
    return 0


def in_prices(record: pd.DataFrame) -> pd.DataFrame:
    """The record with mean, outcome and quantiles as prices: the close at issue times the exponential of the return."""
    import numpy as np

    moves = ["mean", "y", *(name for name in record.columns if name.startswith("q0."))]
    prices = np.exp(record[moves].to_numpy(dtype=float)) * record["close"].to_numpy(dtype=float)[:, None]
    return record.assign(**{name: prices[:, place] for place, name in enumerate(moves)})


@app.command()
def verify(
    noted: Annotated[
        str, typer.Option(metavar="SHA256", help="What it printed before, kept elsewhere: that entry must be there.")
    ] = "",
) -> int:
    """Check that every row of the ledger is what was entered, and that none was taken out or added past it.

    Example: s2squant ledger verify

    Exit status: 0 all is as entered; 3 something is not; 2 a mistake in what was asked; 1 the ledger cannot be read.
    """
    from s2squant.nightly.ledger.ledger import existing_ledger

    ledger = existing_ledger()
    if ledger is None:
        raise ConfigError("there is no ledger yet; s2squant forecast makes it with its first night")
    changed, entries, sha256 = ledger.verify(noted=noted)
    for line in changed:
        print(f"CHANGED {line}")
    if not changed:
        print(f"the ledger {ledger.name} is what was entered: {entries} entries, the last {sha256}")
    return NOT_AS_ENTERED if changed else 0


def _only(ledger: Ledger) -> str:
    """The one nightly of the ledger; raises ConfigError where there are none or several."""
    names = ledger.nightlies()
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(f"the ledger {ledger.name} holds no forecast yet")
    raise ConfigError(f"the ledger {ledger.name} has several nightlies; add --nightly and one of {', '.join(names)}")
