"""Processes apart from this one, forked from a server that has imported what is heavy: 0.1 s each instead of 3 s."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from typing import TypeVar

from s2squant.runs.engines.local import PRELOADED

HEAVY = (
    *PRELOADED,
    "pytest",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "yfinance.data",
    "curl_cffi.requests",
    "tests.worlds.fetching",
    "tests.worlds.ledgers",
    "s2squant.nets.search",
    "s2squant.forecasters.scenarios",
    "s2squant.series.states",
)
"""One list for all, runs' workers too: a process has one such server, which imports what it was first told to."""

T = TypeVar("T")


def forkserver(*more: str) -> ForkServerContext:
    """A context whose processes share nothing with this one but files and their arguments; `more` is imported too."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*HEAVY, *more])
    return context


def in_another_process(function: Callable[..., T], *given: object, seconds: float = 120) -> T:
    """What a module's function returns, or raises, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=forkserver()) as pool:
        return pool.submit(function, *given).result(timeout=seconds)
