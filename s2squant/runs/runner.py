"""Jobs and how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SEQUENTIAL = ("anchor", "pooled")


@dataclass(frozen=True)
class JobResult:
    """How a job ended; `kept` was found finished from an earlier, killed run."""

    key: str
    status: Literal["done", "kept", "failed"]
    reason: str
    seconds: float
