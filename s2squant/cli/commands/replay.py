"""s2squant replay: any past night again, compared with what was issued."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from s2squant.cli.options import AsJson
from s2squant.errors import ConfigError

DIFFERENT = 3
"""Exit status where a row came out otherwise, or could not be recomputed."""
SHOWN = 20


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A nightly run's id, as in its report or in status.")],
    as_json: AsJson = False,
) -> int:
    """Recompute a past night from its stored prices, weights and settings, and compare with the ledger bit by bit.

    Example: s2squant replay 20261126T213000Z-1a2b3c

    Exit status: 0 every forecast came out the same; 3 some did not, or could not be recomputed (named);
    2 there is no such run.
    """
    from s2squant.nightly.ledger.ledger import (
        existing_ledger,  # pandas and torch: seconds that --help need not wait for
    )
    from s2squant.nightly.replay import replay as recompute

    ledger = existing_ledger()
    if ledger is None:
        raise ConfigError(f"{run}: no such run, and no ledger yet; s2squant forecast makes it with its first night")
    result = recompute(run, ledger)
    if as_json:
        summary = {"run": run, "rows": result.rows, "identical": result.identical}
        print(json.dumps(summary | {"different": result.different, "problems": result.problems}, indent=1))
    else:
        for line in (*result.problems, *result.different[:SHOWN]):
            print(line)
        if len(result.different) > SHOWN:
            print(f"and {len(result.different) - SHOWN} more")
        word = "identical, bit by bit" if result.identical else f"{len(result.different)} differ"
        print(f"{run}: {result.rows} forecasts recomputed; {word}")
    return 0 if result.identical else DIFFERENT
