"""Settings of requests to a live price source: rates, retries, pauses."""

from __future__ import annotations

from pydantic import Field

from s2squant.config.defaults import PER_SECOND, TOGETHER
from s2squant.config.part import Part


class Fetching(Part):
    """Rates and retries of requests to a live source; no part of an experiment, as they decide no number."""

    together: int = Field(TOGETHER, ge=1, le=100, description="requests under way at once")
    per_second: float = Field(PER_SECOND, gt=0, le=100_000, description="requests a second, all threads together")
    tries: int = Field(4, ge=1, le=100, description="tries of one ticker where the source fails for a passing reason")
    pause: float = Field(
        2.0, ge=0, le=86_400, description="seconds before the second try, doubled before each later one"
    )
    limited_tries: int = Field(6, ge=0, le=100, description="times one request is sent again after HTTP 429")
    limited_pause: float = Field(
        15.0, ge=0, le=86_400, description="seconds all wait after a 429 that names no time, doubled"
    )
    longest_pause: float = Field(
        300.0, ge=0, le=86_400, description="seconds; asked to wait longer, the rest is given up"
    )
    connect: float = Field(5.0, gt=0, le=1e8, description="seconds to wait for a connection")
    timeout: float = Field(20.0, gt=0, le=1e8, description="seconds to wait for an answer")
    give_up_after: int = Field(
        5, ge=1, le=10_000, description="passing failures in a row after which nobody is asked any more"
    )
    overlap: int = Field(
        20, ge=1, le=10_000, description="stored bars that are asked for again, to see what was revised"
    )


QUICK = Fetching(tries=1, limited_tries=0, connect=3.0, timeout=10.0, give_up_after=1)
"""For somebody who waits: one try, and where the source cannot be reached nobody else is asked for."""
