"""What workers of any engine are given to do in tests: a chore that succeeds, fails, or kills its own process."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from s2squant.runs.engines.worker import JobSpec


@dataclass(frozen=True)
class Chore:
    """`kills`: how often its process dies under it; `seconds`: how long it takes."""

    name: str
    kills: int = 0
    seconds: float = 0.0
    error: str = ""


def load(folder: Path, version: str) -> Path:
    """The chores' folder; every load leaves a line."""
    if version == "refused":
        raise ValueError("not the version of this run")
    with (folder / "loads").open("a") as log:
        log.write(f"{os.getpid()}\n")
    return folder


def perform(folder: Path, chore: Chore) -> None:
    """Leave a line for each attempt, then do as the chore says."""
    import torch

    with (folder / chore.name).open("a") as log:
        log.write(f"{os.getpid()} {torch.get_num_threads()} {threading.active_count()}\n")
    if len((folder / chore.name).read_text().splitlines()) <= chore.kills:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(chore.seconds)
    if chore.error:
        raise ValueError(chore.error)


def job_spec(folder: Path, version: str = "1") -> JobSpec[Path, Chore]:
    """The spec of the chores of a folder."""
    (folder / "work").mkdir(exist_ok=True)
    return JobSpec(folder, version, load, perform)
