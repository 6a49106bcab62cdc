"""What is odd in a history: every check, each finding with its severity, its rows and what was done."""

from s2squant.prices.checks.every import NAMES, check, quarantine, reason_of

__all__ = ["NAMES", "check", "quarantine", "reason_of"]
