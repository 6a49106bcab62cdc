"""`map` over worker processes of this machine, for work that this process can do as well."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from s2squant.errors import ConfigError
from s2squant.runs.engines.local import WorkerPool

J = TypeVar("J")
R = TypeVar("R")

AHEAD = 8
"""Jobs of a worker that are waiting, under way, or done and not yet read: no more results than that are in memory."""


def spread_map(work: Callable[[J], R], jobs: Iterable[J], *, workers: int) -> Iterator[R]:
    """`work`, which pickles, done on every job by worker processes; results in the order of the jobs.

    Jobs are taken from their iterator as workers need them. What fails in a worker, or with it, is done here, where its
    error is raised as it is: a lost worker loses nothing. Closing the iterator ends the workers.
    """
    try:
        pool = WorkerPool(work, workers, _call)
    except ConfigError:  # no process may be started from here
        yield from map(work, jobs)
        return
    threads = ThreadPoolExecutor(workers)  # they only wait
    waiting: deque[tuple[J, Future[tuple[str, R]]]] = deque()
    try:
        for job in jobs:
            waiting.append((job, threads.submit(pool.call, job)))
            if len(waiting) == AHEAD * workers:
                yield _result(pool, work, *waiting.popleft())
        while waiting:
            yield _result(pool, work, *waiting.popleft())
    finally:  # nothing is under way at its end but where it is left before: Ctrl-C, an error, a closed iterator
        pool.close(cancel=True)
        threads.shutdown(wait=False, cancel_futures=True)


def _result(pool: WorkerPool[Any, J], work: Callable[[J], R], job: J, future: Future[tuple[str, R]]) -> R:
    try:
        reason, result = future.result()
    except (ConfigError, OSError, EOFError):  # a worker could not be started, and the next could not either
        pool.close(cancel=True)
        return work(job)
    return work(job) if reason else result


def _call(work: Callable[[Any], R], job: Any) -> R:
    return work(job)
