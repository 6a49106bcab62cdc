"""All checks of one history, and quarantine where a finding is an error."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from s2squant.errors import ConfigError, Finding, PriceError
from s2squant.prices.checks.bars import inconsistent, magnitudes, no_volume, non_positive
from s2squant.prices.checks.factors import bad_factors
from s2squant.prices.checks.flats import flats
from s2squant.prices.checks.jumps import jumps
from s2squant.prices.checks.spans import future, gaps, long_ago, sessions, too_short
from s2squant.series.history import PriceHistory

NAMES = (
    *("100x unit jump", "reverting outlier", "recycled ticker", "unadjusted split", "unexplained jump", "large move"),
    *("missing session", "extra session", "filled day", "shifted dates", "gap"),
    *("date in the future", "date long ago", "short history", "unfinished bar", "unknown calendar", "unknown heading"),
    *("covariate missing", "covariate carried on"),
    *("time of day", "Sunday bar", "weekly or monthly"),
    *("interval", "outside hours", "missing bar"),
    *("non-positive price", "implausible price", "impossible value", "OHLC inconsistent"),
    *("zero volume", "move without volume", "constant series", "placeholder before listing"),
    *("placeholder after the end", "stale run", "copied bars", "pegged series"),
    *("bad adjustment factor", "dividend mismatch", "missing price", "duplicate", "order", "conflicting rows"),
)
"""Every finding of the checks, and of reading a table."""
NEVER_ACCEPTED = ("non-positive price", "implausible price", "date in the future", "conflicting rows")
"""Errors that no one can wave through: nothing could be computed from such prices."""
NOTES_THAT_MATTER = (
    "large move",
    "reverting outlier",
    "dividend mismatch",
    "time of day",
    "weekly or monthly",
    "interval",
)
"""Notes that a person should see unasked: moves and dividends that are kept as they are, and dates that are not."""
REMEDIES = {
    "unadjusted split": "give closes that are adjusted for it (Adj Close), or start=DATE after it",
    "unexplained jump": "look it up; adjust the closes before it for the event (a spin-off), or start=DATE",
    "100x unit jump": "bring all prices to one unit",
    "recycled ticker": "keep the bars of one company: start=DATE",
    "reverting outlier": "correct or delete the bar",
    "bad adjustment factor": "download Adj Close again, or leave it out where Close is adjusted",
    "dividend mismatch": "download Adj Close again; until then returns on those days are off by the dividend",
    "shifted dates": "stamp each bar with the exchange's own date of its close",
    "copied bars": "download those days again",
    "move without volume": "look it up: nothing was traded at that price",
    "filled day": "nothing; write only days on which the exchange was open",
    "gap": "download the days again; where there was no trading, start=DATE after it",
    "missing session": "download them again, or name the calendar in universe.calendars",
    "missing bar": "download them again; where there was no trade there is no bar",
    "outside hours": "nothing; or name the calendar in universe.calendars, the zone of the stamps in universe.zone",
    "extra session": "delete them, or name the calendar in universe.calendars",
    "stale run": "look whether it was traded then; start=DATE leaves the beginning out",
    "non-positive price": "correct it; a real one (WTI on 2020-04-20) has no logarithm: start=DATE after it",
    "OHLC inconsistent": "download those days again; ranges are not used on them",
}
"""What to do about a finding, in one line; `universe.accept` takes errors as they are."""


def check(history: PriceHistory, now: datetime | None = None) -> tuple[Finding, ...]:
    """Every finding in a history, nothing changed in it; `now` (with its zone) tells which dates lie in the future.

    The findings of reading (order, duplicates, rows without a price) stand in `history.findings` and are not repeated.
    """
    with np.errstate(all="ignore"):  # nonsense prices overflow, and are found all the same
        return (
            *non_positive(history),
            *magnitudes(history),
            *(future(history, now) if now is not None else ()),
            *long_ago(history),
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


def check_accepted(names: Sequence[object], *, where: str) -> None:
    """Raise ConfigError for the first name that no finding has, with the nearest; `where` is what an error begins with.

    "all" is every finding that can be accepted.
    """
    known = (*NAMES, "all")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{where}: no finding is called {ascii(name)[:60]}; {hint}")


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
