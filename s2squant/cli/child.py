"""A child process of a command: started in a session of its own, restarted with pauses, ended whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

STOP_SECONDS = 20.0
BACKOFF = (1.0, 60.0)
"""Seconds before a child that died is started again: at first, doubled each time, and at most."""
LIVED = 300.0
"""A child that lived so long is not failing."""
LOG_BYTES = 10_000_000
"""A longer log is put aside when a child starts."""


@dataclass
class Child:
    """A child process that is restarted when it dies."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    ending: int = signal.SIGTERM
    """The signal that ends it in order."""
    log: Path | None = None
    """Where what it says goes; None: to the terminal."""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0
    """When it may be started again."""

    def start(self) -> None:
        """Start it in a session of its own: a Ctrl-C is ours to pass on, in order."""
        into = None
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
                self.log.replace(self.log.with_suffix(".old.log"))
            into = self.log.open("ab")
        try:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdout=into, stderr=into, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        finally:
            if into is not None:
                into.close()
        self.started = time.monotonic()

    def died(self) -> int | None:
        """Its exit status once it has ended and nobody restarted it; None while it runs or waits for its turn."""
        return None if self.process is None else self.process.poll()

    def rest(self) -> float:
        """Note the death and say in how many seconds it is started again."""
        self.failures = 0 if time.monotonic() - self.started > LIVED else self.failures + 1
        pause = min(BACKOFF[1], BACKOFF[0] * 2.0 ** max(0, self.failures - 1))
        self.due, self.process = time.monotonic() + pause, None
        return pause

    def stop(self) -> None:
        """Ask it to end, wait, and end it and whatever it started."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(self.ending)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"{self.name} does not stop; it is killed")
        for ending in (signal.SIGTERM, signal.SIGKILL):
            if not _signal_group(self.process.pid, ending):
                break
            time.sleep(2.0 if ending == signal.SIGTERM else 0.0)
        self.process.wait()
        self.process = None


def _signal_group(group: int, number: int) -> bool:
    """Signal what is left of a child's own session; whether there was anything."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def say(line: str) -> None:
    """Print a line with the time of day."""
    print(f"{datetime.now(UTC).astimezone():%H:%M:%S} {line}", flush=True)
