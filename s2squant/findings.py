"""What a check of prices found: one frozen record each, for the terminal, the manifest and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")
"""From mild to grave. A note tells what was repaired or is worth knowing, a warning is doubtful but used as it is, an
error keeps the ticker out of a run (quarantine)."""


@dataclass(frozen=True)
class Finding:
    """One kind of oddity in one ticker's prices."""

    name: str
    """The check, in words: "unadjusted split", "stale run"."""
    severity: Severity
    count: int
    """How many bars, runs or jumps; what `text` says."""
    rows: tuple[str, ...]
    """The dates concerned, YYYY-MM-DD, oldest first; a run or a gap stands with its first bar."""
    done: str
    """What was done: "kept", "dropped", "sorted", "set aside" or "quarantined"."""
    text: str
    """One line for people, dates and figures included."""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")
        if self.count < 1:
            raise ValueError(f"{self.name}: a finding counts at least one, not {self.count}")


def worst(findings: tuple[Finding, ...]) -> Severity | None:
    """The gravest severity among them, None without any."""
    return max((f.severity for f in findings), key=SEVERITIES.index, default=None)
