"""What can go wrong, as a tree.

S2squantError                 anything this package says on purpose
├── CallerError               the caller's mistake: one line (what, where, the remedy), exit status 2
│   ├── ConfigError           an experiment that cannot be run as written
│   ├── SourceError           a price source that does not exist or does not hold what was asked of it
│   └── RunError              a run folder that cannot be used as asked
├── PriceError                one ticker's prices cannot be used; the others go on
│   └── TemporaryPriceError   worth another try later (network, rate limit)
└── CheckpointError           a stored model that is damaged or of another kind
"""

from __future__ import annotations


class S2squantError(Exception):
    """Anything this package says on purpose; the text is one line for people."""

    exit_status = 1


class CallerError(S2squantError):
    """The caller's mistake: what, where, and the remedy."""

    exit_status = 2


class ConfigError(CallerError):
    """An experiment that cannot be run as written."""


class SourceError(CallerError):
    """A price source that does not exist, or that lacks what was asked of it."""


class RunError(CallerError):
    """A run folder that cannot be used as asked."""


class PriceError(S2squantError):
    """One ticker's prices cannot be used; `ticker` names it, the text says why."""

    def __init__(self, ticker: str, reason: str) -> None:
        super().__init__(f"{ticker}: {reason}")
        self.ticker = ticker
        self.reason = reason

    def __reduce__(self) -> tuple[type[PriceError], tuple[str, str]]:
        return type(self), (self.ticker, self.reason)


class TemporaryPriceError(PriceError):
    """The source did not answer properly; the same request may succeed later."""


class CheckpointError(S2squantError):
    """A stored model that is damaged, truncated, or of another kind than asked for."""
