"""Watchers of flow runs: the log of a scheduled run, and what a run by hand brings along instead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

from prefect import get_run_logger

from s2squant.config.fetching import Fetching
from s2squant.nightly.state import Clock
from s2squant.runs.runner import JobResult

Value = TypeVar("Value")
W = TypeVar("W")


class Logged:
    """The watcher of a scheduled run: one line a job in the flow run's log."""

    def __init__(self) -> None:
        self.log = get_run_logger()
        logging.getLogger("s2squant").setLevel(logging.INFO)  # or nothing of it reaches the run's log

    def finished(self, result: JobResult) -> None:
        """Log one job."""
        level = logging.WARNING if result.status == "failed" else logging.INFO
        self.log.log(level, "%s %s, %.1f s %s", result.key, result.status, result.seconds, result.reason)


@dataclass(frozen=True)
class Hand(Generic[W]):
    """What a run by hand or a simulation brings along that no parameter can: those are stored with the flow run."""

    watcher: W
    command: str
    clock: Clock | None = None
    """The time of a simulated night; None: the system's."""
    fetching: Fetching | None = None


@contextmanager
def lent(variable: ContextVar[Value | None], value: Value) -> Iterator[None]:
    """Set a context variable within the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
