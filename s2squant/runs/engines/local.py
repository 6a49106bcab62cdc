"""Worker processes of this machine: one torch thread each, which get the run's inputs when they start.

On Linux they are forked from a server that has imported what jobs need, in .01 s each; elsewhere they import it anew.
Results do not depend on the number of workers: a job reads its inputs and stored models only, and seeds itself by name.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.forkserver import ensure_running
from queue import LifoQueue
from typing import Any, Generic, TypeVar

from s2squant.errors import S2squantError
from s2squant.runs.engines.main_guard import UNGUARDED, leave_if_run_again, refuse_daemonic, refuse_unguarded, unguarded
from s2squant.runs.engines.time_limit import TimeLimit, job_seconds, over_the_limit
from s2squant.runs.engines.worker import (
    ATTEMPTS,
    ENDED,
    KILLED,
    SERVED,
    I,
    J,
    as_a_worker,
    attempt,
    interrupts_blocked,
    keep_freed_memory,
    one_thread,
    reason_of,
)
from s2squant.runs.memory import give_memory_back

R = TypeVar("R")
MOST = 8
"""Processes of `map_jobs` at a time: each holds a torch of its own."""
REAPED = 5.0
"""Seconds at most until a process that has ended tells how."""
LOOKED_AT = 0.25
"""Seconds between two looks whether the parent is there, where its end of the pipe does not tell."""

PRELOADED = ["s2squant.runs.engines.preloaded"]
"""What the server of workers imports before it forks any, ready for a run's jobs; a process has one such server."""

_servers: set[int] = set()
"""Processes that have started such a server: this one, or one that it was forked from."""
_given: list[tuple[Callable[[Any, Any], Any], Any]] = []
"""In a worker: what it does, and with which inputs."""


class InlinePool(Generic[I, J]):
    """No pool at all: jobs run one after the other in this process, which computes as a worker meanwhile."""

    def __init__(self, inputs: I, perform: Callable[[I, J], None]) -> None:
        self._inputs, self._perform = inputs, perform
        self._lock = threading.Lock()
        self._closed = False

    def perform(self, job: J) -> str:
        """Carry out a job; returns why it failed, or an empty text."""
        with self._lock:
            if self._closed:
                return ENDED
            with as_a_worker():
                return attempt(self._perform, self._inputs, job)

    def close(self, *, cancel: bool = False) -> None:  # noqa: ARG002 (a job under way cannot be ended)
        """Wait for the job under way; no other is carried out."""
        with self._lock:
            self._closed = True


class WorkerPool(Generic[I, J]):
    """Processes, each in a lane of its own: one that is killed takes one job with it, which is tried once more.

    A job that takes longer than `limit` says is ended with its worker, and not tried again: what hangs, hangs twice.
    Raises ConfigError where a worker would run the caller's script again, which lacks its guard, and in a daemonic
    process, which may have no children.
    """

    def __init__(self, inputs: I, workers: int, perform: Callable[[I, J], Any], limit: TimeLimit | None = None) -> None:
        leave_if_run_again()
        refuse_unguarded()
        refuse_daemonic()
        seconds = job_seconds()
        self._given, self._limit = (perform, inputs), limit or (lambda: seconds)
        self._free: LifoQueue[ProcessPoolExecutor | None] = LifoQueue()
        for _ in range(workers):
            self._free.put(None)
        self._lock = threading.Lock()
        self._started: set[ProcessPoolExecutor] = set()
        self._closed = False

    def perform(self, job: J) -> str:
        """Carry out a job and wait; returns why it failed, or an empty text."""
        return self.call(job)[0]

    def call(self, job: J) -> tuple[str, Any]:
        """Carry out a job and wait; returns why it failed, or an empty text, and what it gave."""
        lane = self._free.get()
        try:
            for _ in range(ATTEMPTS):
                lane = lane or self._start_lane()
                if lane is None:
                    return ENDED, None
                seconds = self._limit()
                try:
                    return _submit(lane, _perform, job).result(seconds)
                except BrokenProcessPool:
                    if self._drop(lane):
                        raise unguarded() from None
                    lane = None
                except TimeoutError:
                    self._drop(lane, kill=True)
                    lane = None
                    return over_the_limit(seconds), None
                except RuntimeError:  # a lane refuses what comes after its end
                    return ENDED, None
            return KILLED, None
        finally:
            self._free.put(lane)

    def close(self, *, cancel: bool = False) -> None:
        """End the workers, after the jobs under way or at once; no job is carried out any more."""
        with self._lock:
            self._closed = True
            lanes, self._started = self._started, set()
        for lane in lanes:
            processes = list((lane._processes or {}).values()) if cancel else []
            lane.shutdown(wait=not cancel, cancel_futures=cancel)
            for process in processes:
                process.kill()

    def _start_lane(self) -> ProcessPoolExecutor | None:
        """A lane whose worker gets the run's inputs; None once the pool is closed."""
        until = time.monotonic() + REAPED
        while True:
            with self._lock:
                if self._closed:
                    return None
                lane = ProcessPoolExecutor(
                    1,
                    mp_context=worker_context(),
                    initializer=_start,
                    initargs=(os.getpid(), dict(os.environ)),
                )
                self._started.add(lane)
            try:
                _submit(lane, _take, self._given)
            except RuntimeError:  # closed meanwhile
                return None
            except (OSError, EOFError):  # its server was killed a moment ago, and still counts as running
                self._drop(lane)
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
            else:
                return lane

    def _drop(self, broken: ProcessPoolExecutor, *, kill: bool = False) -> bool:
        """Give a lane up; whether its worker left because it was about to start workers of its own."""
        with self._lock:
            self._started.discard(broken)
        processes = list((broken._processes or {}).values())
        for process in processes if kill else ():
            process.kill()
        broken.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + REAPED
        while time.monotonic() < until and any(process.exitcode is None for process in processes):
            time.sleep(0.01)
        return any(process.exitcode == UNGUARDED for process in processes)


def worker_context() -> BaseContext:
    """How worker processes are started: from a server that has imported what they need, or each by itself.

    Each by itself where system libraries do not bear a fork (macOS) or there is none (Windows), and in a process that
    was forked while it had a server, which it may not use.
    """
    if sys.platform != "linux" or not _servers <= {os.getpid()}:
        return multiprocessing.get_context("spawn")
    _servers.add(os.getpid())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with interrupts_blocked():
        os.environ[SERVED] = str(os.getpid())
        ensure_running()
        os.environ.pop(SERVED, None)
    return context


def local_pool(
    inputs: I, workers: int, perform: Callable[[I, J], None], limit: TimeLimit | None = None
) -> InlinePool[I, J] | WorkerPool[I, J]:
    """So many worker processes, whose jobs have a time limit; none but this one, which has none, when 0."""
    return WorkerPool(inputs, workers, perform, limit) if workers else InlinePool(inputs, perform)


def map_jobs(
    work: Callable[[J], R], jobs: Sequence[J], *, workers: int | None, on_done: Callable[[int], None]
) -> list[R]:
    """`work`, a module's function, done on every job; results in the order of the jobs.

    `on_done` is called with the place of each job that has ended. At most `workers` processes, as many as there are
    processors when None; with one everything happens here. Raises S2squantError, naming why, when a job fails there,
    and whatever it raises here. A result does not depend on how many run beside it, as long as a job seeds itself.
    """
    count = min(len(jobs), MOST, (os.cpu_count() or 1) if workers is None else workers)
    if count <= 1:
        return _here(work, jobs, on_done)
    results: dict[int, R] = {}
    pool = WorkerPool(work, count, _call)
    threads = ThreadPoolExecutor(count)  # they only wait
    try:
        place_of = {threads.submit(pool.call, job): place for place, job in enumerate(jobs)}
        for future in as_completed(place_of):
            reason, result = future.result()
            if reason:
                raise S2squantError(reason)
            results[place_of[future]] = result
            on_done(place_of[future])
    except BaseException:  # Ctrl-C too: what is under way is not waited for
        pool.close(cancel=True)
        raise
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    pool.close()
    return [results[place] for place in range(len(jobs))]


def _here(work: Callable[[J], R], jobs: Sequence[J], on_done: Callable[[int], None]) -> list[R]:
    results = []
    for place, job in enumerate(jobs):
        with as_a_worker():
            results.append(work(job))
        on_done(place)
    return results


def _call(work: Callable[[J], R], job: J) -> R:
    return work(job)


def _submit(lane: ProcessPoolExecutor, work: Callable[[Any], R], what: Any) -> Future[R]:
    """Hand something to a lane, whose worker may be started here."""
    with interrupts_blocked():
        return lane.submit(work, what)


def _start(parent: int, environment: Mapping[str, str]) -> None:
    """Begin the watch before the worker is given anything: what its job needs is imported then, for seconds.

    A server has the environment of the moment at which it was started, and hears Ctrl-C where others started it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    if os.environ != environment:
        os.environ.clear()
        os.environ.update(environment)


def _take(given: tuple[Callable[[Any, Any], Any], Any]) -> None:
    _given[:] = [given]
    one_thread()
    keep_freed_memory()


def _leave_with(parent: int) -> None:
    """End this worker when the run that started it is gone, killed or not, or the server that forked it.

    The end of a pipe tells at once, unless another process holds it too.
    """
    process, above = multiprocessing.parent_process(), os.getppid()
    ends: list[Any] = [] if process is None else [process.sentinel]
    if above != parent:  # forked by a server, or the run is gone
        if sys.platform != "linux":
            os._exit(1)
        try:
            ends.append(os.pidfd_open(parent))
        except ProcessLookupError:
            os._exit(1)
        except OSError:  # a kernel before 5.3, or one that does not allow it
            pass
    while os.getppid() == above and not wait(ends, LOOKED_AT):
        pass
    os._exit(1)


def _perform(job: Any) -> tuple[str, Any]:
    """Why the job failed, or an empty text, and what it returned."""
    perform, inputs = _given[0]
    try:
        return "", perform(inputs, job)
    except Exception as error:
        return reason_of(error), None
    finally:
        give_memory_back()
