"""What can go wrong, as a tree.

S2squantError                 anything this package says on purpose
├── CallerError               the caller's mistake: one line (what, where, the remedy), exit status 2
│   ├── ConfigError           an experiment that cannot be run as written
│   ├── SourceError           a price source that does not exist or does not hold what was asked of it
│   └── RunError              a run folder that cannot be used as asked
├── PriceError                one ticker's prices cannot be used; the others go on
│   ├── UnknownTickerError    the source does not know it
│   ├── DelistedError         the source no longer knows it, or says it is not traded any more
│   ├── BadPricesError        what the source gives cannot be right
│   └── TemporaryPriceError   worth another try later: no answer, or none that can be read
│       └── RateLimitError    the source limits how often it is asked
├── CheckpointError           a stored model that is damaged or of another kind
└── LedgerError               the forecast ledger cannot be read or written
"""

from __future__ import annotations

from s2squant.findings import Finding


def one_line(text: str) -> str:
    """The text on one line, whatever cannot be printed (control characters, halves of a character) written out."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


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
    """One ticker's prices cannot be used; `ticker` names it, the text says why, `findings` what the checks found."""

    def __init__(self, ticker: str, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        reason = one_line(reason)  # it may quote a file or another's server
        super().__init__(f"{one_line(ticker)}: {reason}")
        self.ticker = ticker
        self.reason = reason
        self.findings = findings

    def __reduce__(self) -> tuple[type[PriceError], tuple[str, str, tuple[Finding, ...]]]:
        return type(self), (self.ticker, self.reason, self.findings)


class UnknownTickerError(PriceError):
    """The source says that it does not know the ticker."""


class DelistedError(PriceError):
    """The source knew the ticker once; no further bars are to be expected."""


class BadPricesError(PriceError):
    """What the source gives contradicts itself or what is stored; nothing of it was kept."""


class TemporaryPriceError(PriceError):
    """The source did not answer properly; the same request may succeed later."""


class RateLimitError(TemporaryPriceError):
    """The source limits the rate of requests, and did so longer than we were ready to wait."""


class CheckpointError(S2squantError):
    """A stored model that is damaged, truncated, or of another kind than asked for."""


class LedgerError(S2squantError):
    """The forecast ledger cannot be read or written; what was entered before stands."""
