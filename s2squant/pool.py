"""Worker processes: one torch thread each, the run's inputs handed over once.

Results do not depend on the number of workers: a job reads its inputs and stored models only, and seeds itself by name.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from queue import LifoQueue

from s2squant.work import Inputs, Job, perform

_inputs: list[Inputs] = []
ATTEMPTS = 2
"""How often a job is tried whose process was killed under it."""
ENDED = "the run was ended"


class InlinePool:
    """No pool at all: jobs run one after the other in this process, in torch's present number of threads."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._lock = threading.Lock()
        self._closed = False

    def perform(self, job: Job) -> str:
        """Carry out a job; returns why it failed, or an empty text."""
        with self._lock:
            return ENDED if self._closed else _attempt(self._inputs, job)

    def close(self, *, cancel: bool = False) -> None:  # noqa: ARG002 (a job under way cannot be ended)
        """Wait for the job under way; no other is carried out."""
        with self._lock:
            self._closed = True


class WorkerPool:
    """Processes, each in a lane of its own: one that is killed takes one job with it, which is tried once more."""

    def __init__(self, inputs: Inputs, workers: int) -> None:
        self._inputs = inputs
        self._free: LifoQueue[ProcessPoolExecutor | None] = LifoQueue()
        for _ in range(workers):
            self._free.put(None)
        self._lock = threading.Lock()
        self._started: set[ProcessPoolExecutor] = set()
        self._closed = False

    def perform(self, job: Job) -> str:
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
                    self._drop(lane)
                    lane = None
            return "its process was killed twice (out of memory?)"
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
                initargs=(self._inputs, os.getpid()),
            )
            self._started.add(lane)
            return lane

    def _drop(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            self._started.discard(broken)
        broken.shutdown(wait=False, cancel_futures=True)


def _submit(lane: ProcessPoolExecutor, job: Job) -> Future[str]:
    """Hand a job over; a worker that this starts is deaf to Ctrl-C, which is for the run to act on.

    Were it to die half started, the run would wait for ever on a pipe that it holds open itself.
    """
    resource_tracker.ensure_running()  # it would unblock the signal again if it were first started below
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by a worker started here
    try:
        return lane.submit(_perform, job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(inputs: Inputs, parent: int) -> None:
    import torch

    torch.set_num_threads(1)
    _inputs[:] = [inputs]
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this worker when the run that started it is gone, killed or not."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _perform(job: Job) -> str:
    return _attempt(_inputs[0], job)


def _attempt(inputs: Inputs, job: Job) -> str:
    try:
        perform(inputs, job)
    except Exception as error:  # a ticker's failure is a result: it is named in the report and the run goes on
        return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
    return ""
