"""Worker processes: one torch thread each, the run's inputs handed over once.

Results do not depend on the number of workers: a job reads its inputs and stored models only, and seeds itself by name.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from s2squant.work import Inputs, Job, perform

_inputs: list[Inputs] = []
ATTEMPTS = 2
"""How often a job is tried whose process was killed under it."""


class WorkerPool:
    """A pool that outlives a killed worker: the jobs that died with it are tried once more."""

    def __init__(self, inputs: Inputs, workers: int) -> None:
        self._shared, self._workers = inputs, workers
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def perform(self, job: Job) -> str:
        """Carry out a job and wait; returns why it failed, or an empty text."""
        for _ in range(ATTEMPTS):
            pool = self._running()
            try:
                return pool.submit(_perform, job).result()
            except BrokenProcessPool:
                self._drop(pool)
        return "its process was killed twice (out of memory?)"

    def close(self, *, cancel: bool = False) -> None:
        """End the workers, after the jobs under way or at once."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values()) if cancel else []
            pool.shutdown(wait=not cancel, cancel_futures=cancel)
            for process in processes:
                process.kill()

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._workers,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_start,
                    initargs=(self._shared, os.getpid()),
                )
            return self._pool

    def _drop(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is broken:
                self._pool = None
        broken.shutdown(wait=False, cancel_futures=True)


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
    try:
        perform(_inputs[0], job)
    except Exception as error:  # a ticker's failure is a result: it is named in the report and the run goes on
        return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
    return ""
