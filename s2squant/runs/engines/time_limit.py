"""How long a job may take in a worker process of this machine: one that hangs costs its ticker, not the run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from s2squant.config.defaults import JOB_HOURS
from s2squant.errors import ConfigError

LIMIT = "S2SQUANT_JOB_HOURS"
"""Environment variable that holds the hours that a job may take."""
LEAST = 60.0
"""Seconds that a job has however near a deadline is."""

TimeLimit = Callable[[], float]
"""Seconds that a job which begins now may take."""


def job_seconds() -> float:
    """Seconds that a job may take; raises ConfigError where the environment names no number of hours."""
    text = os.environ.get(LIMIT, "") or str(JOB_HOURS)
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 24 * 365:
        raise ConfigError(f"{LIMIT}={text!r}: not hours above 0 and up to 8760; write {LIMIT}={JOB_HOURS:g}")
    return hours * 3600


def half_of(seconds: float) -> TimeLimit:
    """Of the time from now to a deadline half of what is left, so that a job that hangs leaves time for the others."""
    until, most = time.monotonic() + seconds, job_seconds()
    return lambda: min(most, max(LEAST, (until - time.monotonic()) / 2))


def over_the_limit(seconds: float) -> str:
    """Why a job failed that took longer."""
    took = (
        f"{seconds:g} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
    )
    return f"it hung: no end after {took}, so its process was ended ({LIMIT} allows more)"
