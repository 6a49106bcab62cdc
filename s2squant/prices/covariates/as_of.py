"""As-of join: each session's value is the newest that was known at its close, and no later one.

Shape legend: K observations of a covariate, S scheduled sessions of a ticker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2squant.config.covariates import Transform
from s2squant.series.arrays import Dates, Floats, Ints

Moments = NDArray[np.datetime64]
"""UTC, datetime64[s]."""


@dataclass(frozen=True)
class Observations:
    """Values of a covariate, each with the day it is of and the moment from which it was known."""

    days_K: Dates
    known_K: Moments
    values_K: Floats

    def superseding(self) -> Observations:
        """Those that replaced what was known before, in the order in which they became known; missing ones left out.

        A later value of the same day is a revision of it; one of an earlier day that comes late replaces nothing.
        """
        order = np.lexsort((self.days_K, self.known_K))
        order = order[np.isfinite(self.values_K[order])]
        days = self.days_K[order]
        kept = order[days == np.maximum.accumulate(days)] if len(order) else order
        return Observations(self.days_K[kept], self.known_K[kept], self.values_K[kept])


@dataclass(frozen=True)
class Joined:
    """Values by scheduled session, NaN where none is known, and for how many sessions each has been carried on."""

    values_S: Floats
    age_S: Ints
    """0 on the first session at whose close it was known; -1 where none is."""


def transformed(seen: Observations, transform: Transform) -> Observations:
    """Superseding observations under a transform; a difference or return is on the newest value of an earlier day."""
    x = seen.values_K
    before = np.searchsorted(seen.days_K, seen.days_K, side="left") - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        match transform:
            case "level" | "rank":
                changed = x
            case "log":
                changed = np.where(x > 0, np.log(x), np.nan)
            case "variance":
                changed = x**2
            case "difference":
                changed = np.where(before >= 0, x - x[before], np.nan)
            case "return":
                changed = np.where((before >= 0) & (x > 0) & (x[before] > 0), np.log(x) - np.log(x[before]), np.nan)
    return Observations(seen.days_K, seen.known_K, changed)


def joined(seen: Observations, closes_S: Moments, *, lag: int, carry: int) -> Joined:
    """Join superseding observations to sessions that end at `closes_S`, `lag` sessions late.

    A value is used from the first session at whose close it was known, and carried on over `carry` sessions more; then
    it is missing.
    """
    place = np.searchsorted(seen.known_K, closes_S, side="right") - 1
    born = np.searchsorted(closes_S, seen.known_K, side="left")
    sessions = np.arange(len(closes_S))
    values, age = np.full(len(closes_S), np.nan), np.full(len(closes_S), -1, np.intp)
    at = place >= 0
    values[at], age[at] = seen.values_K[place[at]], sessions[at] - born[place[at]]
    if lag:
        late = min(lag, len(closes_S))
        values = np.concatenate([np.full(late, np.nan), values[: len(values) - late]])
        age = np.concatenate([np.full(late, -1), age[: len(age) - late]])
    gone = (age < 0) | (age > carry) | ~np.isfinite(values)
    return Joined(np.where(gone, np.nan, values), np.where(gone, -1, age))
