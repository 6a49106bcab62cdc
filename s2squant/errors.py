"""Exceptions of the package as one tree, and findings about prices.

S2squantError                 anything this package says on purpose
├── CallerError               the caller's mistake: one line (what, where, the remedy), exit status 2
│   ├── ConfigError           an experiment that cannot be run as written
│   ├── SourceError           a price source that does not exist or does not hold what was asked of it
│   ├── RunError              a run folder that cannot be used as asked
│   └── ServerError           no Prefect server answers, or not as one does
├── PriceError                one ticker's prices cannot be used; the others go on
│   ├── UnknownTickerError    the source does not know it
│   ├── DelistedError         the source no longer knows it, or says it is not traded any more
│   ├── BadPricesError        what the source gives cannot be right
│   └── TemporaryPriceError   worth another try later: no answer, or none that can be read
│       └── RateLimitError    the source limits how often it is asked
├── CheckpointError           a stored model that is damaged or of another kind
├── LedgerError               the forecast ledger cannot be read or written
└── TrialError                a configuration that a search could not fit or score
"""

from __future__ import annotations

from collections.abc import Sequence
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
    why: tuple[str, ...] = ()
    """What was seen on each of the first rows, where a finding weighs evidence."""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")
        if self.count < 1:
            raise ValueError(f"{self.name}: a finding counts at least one, not {self.count}")


def worst(findings: tuple[Finding, ...]) -> Severity | None:
    """The gravest severity among them, None without any."""
    return max((f.severity for f in findings), key=SEVERITIES.index, default=None)


def one_line(text: str) -> str:
    """The text on one line, whatever cannot be printed (control characters, halves of a character) written out."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def shorten(text: str, most: int) -> str:
    """At most so many characters of a name, an ellipsis last where it has more."""
    return text if len(text) <= most else text[: most - 1] + "…"


def first_of(items: Sequence[str], most: int, *, between: str = ", ") -> str:
    """The first `most` of them on one line, and how many more there are."""
    rest = len(items) - most
    return between.join(items[:most]) + (f"{';' if between == '; ' else ''} and {rest} more" if rest > 0 else "")


class S2squantError(Exception):
    """Anything this package says on purpose; the text is one line for people."""

    exit_status = 1


class CallerError(S2squantError):
    """The caller's mistake: what, where, and the remedy."""

    exit_status = 2

    def __init__(self, text: str = "") -> None:
        super().__init__(one_line(text))  # it may quote a file's or a caller's names


class ConfigError(CallerError):
    """An experiment that cannot be run as written."""


class SourceError(CallerError):
    """A price source that does not exist, or that lacks what was asked of it."""


class RunError(CallerError):
    """A run folder that cannot be used as asked."""


class ServerError(CallerError):
    """No Prefect server answers, or not as one does; the text says where."""


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


class TrialError(S2squantError):
    """A configuration that could not be fitted or scored; the search goes on without it."""
