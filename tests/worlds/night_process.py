"""One night as a process of its own, to be killed; nothing is faked but the clock, which is set and then runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

from tests.worlds.nightly_sim import HASTY, at_close, cheap, tiny

TICKERS = ("AAA", "BBB", "CCC")


class Running:
    """A clock that was set and runs."""

    def __init__(self, at: datetime) -> None:
        self._at, self._since = at, time.monotonic()

    def __call__(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._since)


def night(
    root: str,
    day: str,
    environment: Mapping[str, str],
    workers: int = 0,
    models: Sequence[str] = (),
    gate: Barrier | None = None,
) -> None:
    """The plain line, begun together with others at a gate; exit status 0 where it was done or had nothing to do."""
    from s2squant.nightly.night import forecast

    _settle(root, environment)
    spec, when = tiny(Path(root), *TICKERS), at_close(day)
    if gate is not None:
        gate.wait()
    found = forecast(
        cheap(spec, models) if models else spec, scheduled=when, clock=Running(when), workers=workers, fetching=HASTY
    )
    sys.exit(0 if found.status in ("done", "skipped") else 1)


def night_flow(root: str, day: str, environment: Mapping[str, str]) -> None:
    """The Prefect flow, on the server that PREFECT_API_URL in the environment names."""
    _settle(root, environment)
    from flows.forecast import forecast as flow
    from flows.forecast import simulated

    when = at_close(day)
    with simulated(Running(when), HASTY):
        state = flow(tiny(Path(root), *TICKERS), when, 0, return_state=True)
    sys.exit(0 if state.is_completed() else 1)


def _settle(root: str, environment: Mapping[str, str]) -> None:
    import torch

    os.environ.update(environment)
    os.chdir(root)
    torch.set_num_threads(1)
    log = os.open("nights.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
