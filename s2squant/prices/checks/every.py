"""All checks of one history, and quarantine where a finding is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from s2squant.errors import Finding, PriceError
from s2squant.prices.checks.bars import inconsistent, magnitudes, no_volume, non_positive
from s2squant.prices.checks.factors import bad_factors
from s2squant.prices.checks.flats import flats
from s2squant.prices.checks.jumps import jumps
from s2squant.prices.checks.spans import future, gaps, sessions, too_short
from s2squant.series.history import PriceHistory

NAMES = (
    *("100x unit jump", "reverting outlier", "recycled ticker", "unadjusted split", "unexplained jump", "large move"),
    *("missing session", "extra session", "filled day", "shifted dates", "gap"),
    *("date in the future", "short history", "unfinished bar", "unknown calendar", "unknown heading"),
    *("time of day", "Sunday bar"),
    *("non-positive price", "implausible price", "impossible value", "OHLC inconsistent"),
    *("zero volume", "move without volume", "constant series", "placeholder before listing"),
    *("placeholder after the end", "stale run", "copied bars", "pegged series"),
    *("bad adjustment factor", "dividend mismatch", "missing price", "duplicate", "order", "conflicting rows"),
)
"""Every finding of the checks, and of reading a table."""
NEVER_ACCEPTED = ("non-positive price", "implausible price", "date in the future", "conflicting rows")
"""Errors that no one can wave through: nothing could be computed from such prices."""


def check(history: PriceHistory, now: datetime | None = None) -> tuple[Finding, ...]:
    """Every finding in a history, nothing changed in it; `now` (with its zone) tells which dates lie in the future.

    The findings of reading (order, duplicates, rows without a price) stand in `history.findings` and are not repeated.
    """
    with np.errstate(all="ignore"):  # nonsense prices overflow, and are found all the same
        return (
            *non_positive(history),
            *magnitudes(history),
            *(future(history, now) if now is not None else ()),
            *jumps(history),
            *bad_factors(history),
            *flats(history),
            *inconsistent(history),
            *no_volume(history),
            *sessions(history),
            *gaps(history),
            *too_short(history),
        )


def quarantine(history: PriceHistory, accept: Sequence[str] = ()) -> PriceHistory:
    """The history itself where no finding is an error; raises PriceError with the findings where one is.

    `accept` names errors that are to be taken as warnings; "all" names every one that can be.
    """
    findings = tuple(_accepted(finding, accept) for finding in history.findings)
    if any(f.severity == "error" for f in findings):
        raise PriceError(history.ticker, reason_of(findings), findings)
    return replace(history, findings=findings) if findings != history.findings else history


def reason_of(findings: Sequence[Finding]) -> str:
    """The reason of a quarantine, in one line: the gravest findings, and how to take them all the same."""
    errors = [f for f in findings if f.severity == "error"]
    waved = [f.name for f in errors if f.name not in NEVER_ACCEPTED]
    final = len(waved) < len(errors)
    shown = [f.text for f in errors if not final or f.name in NEVER_ACCEPTED]
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(waved))
    remedy = "" if final else f"; correct them, or take them as they are with universe.accept=[{names}]"
    return "; ".join(shown) + remedy


def _accepted(finding: Finding, accept: Sequence[str]) -> Finding:
    waved = ("all" in accept or finding.name in accept) and finding.name not in NEVER_ACCEPTED
    if finding.severity != "error" or not waved:
        return finding
    return replace(finding, severity="warning", done="accepted")
