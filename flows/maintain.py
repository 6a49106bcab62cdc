"""Upkeep as one Prefect flow: what is kept too long goes, and runs that died are said to be dead.

`python flows/maintain.py [NIGHTLY ...] [--dry-run]` by hand; `s2squant maintain` does the same without Prefect.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from flows.environment import prefect_settings

os.environ.update(prefect_settings(by_hand=__name__ == "__main__"))

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, Failed

from flows.reaping import reap
from flows.runners import silence_prefect
from flows.tasks import keep_up
from s2squant.cli.commands.maintain import as_plain, summary
from s2squant.cli.exits import complain
from s2squant.config.files import read_nightly
from s2squant.config.nightly import Nightly, Retention
from s2squant.errors import S2squantError, first_of

DEFAULTS = Retention()
EVERY = [Nightly()]


@flow(persist_result=False)
def maintain(
    nightlies: list[Nightly] = EVERY, retention: Retention = DEFAULTS, dry_run: bool = False
) -> State[dict[str, Any]]:
    """Remove old runs, weights and price versions; mark runs that died. Ledger rows are never removed.

    Args:
        nightlies: Whose runs, weights and prices.
        retention: What is kept, in days, and after how many hours a run that still counts as running is dead.
        dry_run: Only list what would go.
    """
    log = get_run_logger()
    dead = () if dry_run else reap(timedelta(hours=retention.dead_after))
    for name in dead:
        log.warning("%s: no sign of life; taken for dead", name)
    outcome: dict[str, Any] = {"dead_on_server": list(dead)}
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    failures: list[str] = []
    try:
        for nightly in nightlies:
            done = keep_up(nightly, retention, dry_run, nightlies)
            outcome[nightly.name] = as_plain(done)
            lines.append(f"{nightly.name}: {summary(done)}")
            rows += [{"nightly": nightly.name, "part": i.part, "name": i.name, "why": i.why} for i in done.listed]
            failures += done.failures
    except S2squantError as error:
        return Failed(message=str(error), data=error)
    for failure in failures:
        log.warning("not done: %s", failure)
    create_table_artifact(key="upkeep", table=rows, description="; ".join(lines))
    message = first_of([*lines, *failures], len(lines) + 5, between="; ")
    return Completed(name="PartiallyFailed" if failures else "Completed", message=message, data=outcome)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it once, by hand."""
    parser = argparse.ArgumentParser(prog="python flows/maintain.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("nightlies", type=Path, nargs="*", metavar="NIGHTLY", help="a nightly's .toml or .json")
    parser.add_argument("--dry-run", action="store_true", help="only list what would go")
    options = parser.parse_args(argv)
    silence_prefect()
    try:
        specs = [read_nightly(path) for path in options.nightlies] or EVERY
        state: State[Any] = maintain(specs, dry_run=options.dry_run, return_state=True)
        state.result()
    except S2squantError as error:
        complain(str(error))
        return error.exit_status
    print(state.message)
    return 0 if state.name == "Completed" else 3


if __name__ == "__main__":
    sys.exit(main())
