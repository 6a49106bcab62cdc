"""`map` over worker processes of this machine, for work that this process can do as well."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from s2squant.runs.engines.background import Background

J = TypeVar("J")
R = TypeVar("R")

AHEAD = 8
"""Jobs of a worker that are waiting, under way, or done and not yet read: no more results than that are in memory."""


def spread_map(work: Callable[[J], R], jobs: Iterable[J], *, workers: int) -> Iterator[R]:
    """`work`, which pickles, done on every job by worker processes; results in the order of the jobs.

    Jobs are taken from their iterator as workers need them. What fails in a worker, or with it, is done here, where its
    error is raised as it is: a lost worker loses nothing. Closing the iterator ends the workers.
    """
    waiting: deque[Callable[[], R]] = deque()
    with Background(work, workers) as background:
        for job in jobs:
            waiting.append(background.start(partial(_call, job)))
            if len(waiting) == AHEAD * workers:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


def _call(job: J, work: Callable[[J], R]) -> R:
    return work(job)
