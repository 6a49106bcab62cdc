"""s2squant ledger export FILE: the record of a nightly, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2squant.errors import ConfigError
from s2squant.nightly_specs import Nightly

FORMS = (".parquet", ".csv")

app = typer.Typer(help="The forecast ledger.", no_args_is_help=True)


@app.callback()
def _front() -> None:
    """The forecast ledger: every forecast issued, every one that is missing, and what became of each."""


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .parquet or .csv file; an older one is replaced.")],
    nightly: Annotated[str, typer.Option(metavar="NAME", help="Whose record.")] = Nightly.model_fields[
        "name"
    ].get_default(),
    everything: Annotated[
        bool, typer.Option("--all", help="With the forecasts that were issued again and never entered the record.")
    ] = False,
) -> int:
    """Write every live forecast of a nightly with its newest outcome: one row a model, ticker, cutoff and step.

    Exit status: 0; 2 a mistake in what was asked; 1 the ledger cannot be read.
    """
    if file.suffix.lower() not in FORMS:
        raise ConfigError(f"{file}: a record is written to a {' or '.join(FORMS)} file")
    from s2squant.atomic import write_atomic  # pandas and SQLAlchemy: seconds that --help need not wait for
    from s2squant.ledger import Ledger

    ledger = Ledger()
    record = ledger.record(nightly, live=not everything)
    if record.empty:
        raise ConfigError(f"the ledger {ledger.name} holds no forecast of {nightly!r}; --nightly names another")
    try:
        if file.suffix.lower() == ".csv":
            write_atomic(file, lambda path: record.to_csv(path, index=False))
        else:
            write_atomic(file, lambda path: record.to_parquet(path, index=False, compression="zstd"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); choose another place") from None
    corrected = int((record["correction"] > 0).sum())
    told = f"{record['y'].notna().sum()} with an outcome" + (f" ({corrected} corrected)" if corrected else "")
    print(f"{len(record)} rows of {nightly}, {told}: {file}")
    return 0
