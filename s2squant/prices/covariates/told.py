"""Findings of a covariate: values that were missing, and values carried on from earlier sessions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import Finding, Severity
from s2squant.prices.checks.marks import runs
from s2squant.series.arrays import Dates, Floats, Ints

MUCH = 0.05
"""Share of missing values from which it is a warning; so is a last bar without one."""
RECENT, USUAL = 500, 0.95
"""A value is late if it is older than were this share of those of so many bars."""


def missing_and_carried(name: str, dates: Dates, values_T: Floats, age_T: Ints) -> tuple[Finding, ...]:
    """What a past covariate lacks: share, longest run and first bars of missing values and of carried ones."""
    carried = age_T > 0
    if not carried.any():
        return missing(name, dates, values_T)
    text = f"{name} is carried on over"
    return (*missing(name, dates, values_T), _finding("covariate carried on", "note", text, carried, dates, "kept"))


def missing(name: str, dates: Dates, values: Floats) -> tuple[Finding, ...]:
    """Share, longest run and first days of missing values."""
    lacking = ~np.isfinite(values)
    if not lacking.any():
        return ()
    grave: Severity = "warning" if lacking.mean() >= MUCH or lacking[-1] else "note"
    return (_finding("covariate missing", grave, f"{name} is missing on", lacking, dates, "masked"),)


def lateness(values_T: Floats, age_T: Ints) -> str:
    """How the last bar's value is late: missing, or older than usual; empty where it is neither."""
    if not np.isfinite(values_T[-1]):
        return "missing"
    recent = age_T[-RECENT:]
    if age_T[-1] <= np.quantile(recent[recent >= 0], USUAL):
        return ""
    return f"{age_T[-1]} session{'s' if age_T[-1] > 1 else ''} old"


def missing_static(name: str) -> Finding:
    """The finding of a ticker without a static value."""
    return Finding("covariate missing", "warning", 1, (), "masked", f"{name} is not given for it")


def _finding(name: str, severity: Severity, what: str, bad: NDArray[np.bool_], dates: Dates, done: str) -> Finding:
    starts, lengths = runs(bad.astype(np.float64))
    starts, lengths = starts[bad[starts]], lengths[bad[starts]]
    longest = int(np.argmax(lengths))
    share = f"{bad.sum()} of {len(bad)} ({100 * bad.mean():.1f} %)"
    text = f"{what} {share}, at most {lengths[longest]} in a row, from {dates[starts[longest]]}"
    return Finding(name, severity, int(bad.sum()), tuple(map(str, dates[starts])), done, text)
