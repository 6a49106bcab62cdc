"""Functions that worker processes of this machine carry out while this process goes on with something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from s2squant.errors import ConfigError
from s2squant.runs.engines.local import WorkerPool

I = TypeVar("I")  # noqa: E741 (the inputs that all work shares)
R = TypeVar("R")


class Background(Generic[I]):
    """A pool of worker processes that share `inputs`, for work that this process can do as well; its `with` ends them.

    With no worker, or where no process may be started, work is done here, when its result is asked for. So is what
    fails in a worker, or with it, and its error is raised as it is: a lost worker loses nothing.
    """

    def __init__(self, inputs: I, workers: int) -> None:
        self._inputs = inputs
        self._pool = _pool(inputs, workers) if workers else None
        self._threads = ThreadPoolExecutor(max(1, workers))  # they only wait
        self.seconds: dict[str, float] = {}
        """What work took, by its name, once its result has been asked for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:  # something is under way where it is left before: Ctrl-C, an error
            self._pool.close(cancel=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def start(self, work: Callable[[I], R], name: str = "") -> Callable[[], R]:
        """Begin work, which pickles, on the inputs; what comes back waits for its result when it is called, once."""
        started = None if self._pool is None else self._threads.submit(self._pool.call, work)
        return partial(self._result, work, started, name)

    def _result(self, work: Callable[[I], R], started: Future[tuple[str, Any]] | None, name: str) -> R:
        done: tuple[float, R] | None = None
        try:
            if started is not None:
                done = started.result()[1]  # nothing where it failed there
        except (ConfigError, OSError, EOFError):  # a worker could not be started, and the next could not either
            if self._pool is not None:
                self._pool.close(cancel=True)
        seconds, result = done or _timed(self._inputs, work)
        self.seconds[name] = round(seconds, 3)
        return result


def _pool(inputs: I, workers: int) -> WorkerPool[I, Callable[[I], Any]] | None:
    try:
        return WorkerPool(inputs, workers, _timed)
    except ConfigError:  # no process may be started from here
        return None


def _timed(inputs: I, work: Callable[[I], R]) -> tuple[float, R]:
    """What work gives, after the seconds that it took."""
    started = time.perf_counter()
    value = work(inputs)
    return time.perf_counter() - started, value
