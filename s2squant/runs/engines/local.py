"""Worker processes of this machine: one torch thread each, the run's inputs handed over once.

Results do not depend on the number of workers: a job reads its inputs and stored models only, and seeds itself by name.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from queue import LifoQueue
from typing import Any, Generic

from s2squant.runs.engines.main_guard import UNGUARDED, leave_if_run_again, refuse_unguarded, unguarded
from s2squant.runs.engines.worker import (
    ATTEMPTS,
    ENDED,
    KILLED,
    I,
    J,
    attempt,
    keep_freed_memory,
    one_at_a_time,
    one_thread,
)

REAPED = 5.0
"""Seconds at most until a process that has ended tells how."""

_held: list[tuple[Callable[[Any, Any], None], Any]] = []
"""In a worker: what it does, and with which inputs."""


class InlinePool(Generic[I, J]):
    """No pool at all: jobs run one after the other in this process, in torch's present number of threads."""

    def __init__(self, inputs: I, perform: Callable[[I, J], None]) -> None:
        self._inputs, self._perform = inputs, perform
        self._lock = threading.Lock()
        self._closed = False

    def perform(self, job: J) -> str:
        """Carry out a job; returns why it failed, or an empty text."""
        with self._lock:
            if self._closed:
                return ENDED
            with one_at_a_time:  # other pools of this process seed the same generators
                return attempt(self._perform, self._inputs, job)

    def close(self, *, cancel: bool = False) -> None:  # noqa: ARG002 (a job under way cannot be ended)
        """Wait for the job under way; no other is carried out."""
        with self._lock:
            self._closed = True


class WorkerPool(Generic[I, J]):
    """Processes, each in a lane of its own: one that is killed takes one job with it, which is tried once more.

    Raises ConfigError where a worker would run the caller's script again, which lacks its guard.
    """

    def __init__(self, inputs: I, workers: int, perform: Callable[[I, J], None]) -> None:
        leave_if_run_again()
        refuse_unguarded()
        self._inputs, self._perform = inputs, perform
        self._free: LifoQueue[ProcessPoolExecutor | None] = LifoQueue()
        for _ in range(workers):
            self._free.put(None)
        self._lock = threading.Lock()
        self._started: set[ProcessPoolExecutor] = set()
        self._closed = False

    def perform(self, job: J) -> str:
        """Carry out a job and wait; returns why it failed, or an empty text."""
        lane = self._free.get()
        try:
            for _ in range(ATTEMPTS):
                lane = lane or self._start_lane()
                if lane is None:
                    return ENDED
                try:
                    return _submit(lane, job).result()
                except BrokenProcessPool:
                    if self._drop(lane):
                        raise unguarded() from None
                    lane = None
                except RuntimeError:  # a lane refuses what comes after its end
                    return ENDED
            return KILLED
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
        with self._lock:
            if self._closed:
                return None
            lane = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._perform, self._inputs, os.getpid()),
            )
            self._started.add(lane)
            return lane

    def _drop(self, broken: ProcessPoolExecutor) -> bool:
        """Give a lane up; whether its worker left because it was about to start workers of its own."""
        with self._lock:
            self._started.discard(broken)
        processes = list((broken._processes or {}).values())
        broken.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + REAPED
        while time.monotonic() < until and any(process.exitcode is None for process in processes):
            time.sleep(0.01)
        return any(process.exitcode == UNGUARDED for process in processes)


def local_pool(inputs: I, workers: int, perform: Callable[[I, J], None]) -> InlinePool[I, J] | WorkerPool[I, J]:
    """So many worker processes; none but this one when 0."""
    return WorkerPool(inputs, workers, perform) if workers else InlinePool(inputs, perform)


def _submit(lane: ProcessPoolExecutor, job: Any) -> Future[str]:
    """Hand a job over; a worker that this starts is deaf to Ctrl-C, which is for the run to act on.

    Were it to die half started, the run would wait for ever on a pipe that it holds open itself.
    """
    resource_tracker.ensure_running()  # it would unblock the signal again if it were first started below
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by a worker started here
    try:
        return lane.submit(_perform, job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(perform: Callable[[Any, Any], None], inputs: Any, parent: int) -> None:
    one_thread()
    keep_freed_memory()
    _held[:] = [(perform, inputs)]
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this worker when the run that started it is gone, killed or not."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _perform(job: Any) -> str:
    perform, inputs = _held[0]
    return attempt(perform, inputs, job)
