"""One machine runs everything: `python -m flows.serve` keeps the deployments and starts their runs when they are due.

It needs a Prefect server (PREFECT_API_URL); `s2squant up` starts one and this. Stopped, it leaves the schedules on:
what falls due meanwhile runs late when it is back, about its own slot, and says in the ledger what was missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.environment import prefect_settings

os.environ.update(prefect_settings(ephemeral=False))

from prefect import serve
from prefect.settings import PREFECT_API_URL

from flows.deployments import Deployed, about_them, of_nightly, served, standing
from flows.reaping import take_up
from s2squant.cli.exits import complain
from s2squant.config.files import read_nightly
from s2squant.errors import CallerError, ConfigError
from s2squant.files import locked

TOGETHER = 2
"""Runs at once; those of one deployment wait for each other anyway."""
LOCK = Path("data/serve.lock")


def chosen(nightlies: Sequence[Path]) -> tuple[Deployed, ...]:
    """The standing deployments, or those of the nightlies in the files, each with what goes along."""
    if not nightlies:
        return standing()
    specs = [read_nightly(path) for path in nightlies]
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise ConfigError(f"two nightlies have one name ({', '.join(names)}); each has its own record: rename one")
    return (*map(of_nightly, specs), *about_them(*specs))


@contextmanager
def alone(lock: Path = LOCK) -> Iterator[None]:
    """Hold this folder's lock while serving; raises ConfigError where another serves already."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock, wait=False) as mine:
        if not mine:
            raise ConfigError(f"another serve already runs in {Path.cwd()}; stop it first")
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--nightly", type=Path, action="append", default=[], metavar="FILE", help="a nightly's .toml or .json"
    )
    options = parser.parse_args(argv)
    try:
        deployments = chosen(options.nightly)
        if not PREFECT_API_URL.value():
            raise ConfigError("PREFECT_API_URL is not set; s2squant up starts a server and this together")
        with alone():
            for name in take_up([deployed.full_name for deployed in deployments]):
                print(f"taken up again: {name}", flush=True)
            serve(*map(served, deployments), pause_on_shutdown=False, print_starting_message=False, limit=TOGETHER)
    except CallerError as error:
        complain(str(error))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
