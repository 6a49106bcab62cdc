"""The members of an experiment, several at a time: spawned processes of one torch thread each.

A member's result does not depend on how many run beside it, as long as it seeds itself.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import torch

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")
MOST = 8
"""Processes at a time: each holds a torch of its own."""


def side_by_side(
    work: Callable[[Job], Outcome],
    jobs: Sequence[Job],
    *,
    workers: int | None,
    on_done: Callable[[int], None],
) -> list[Outcome]:
    """`work` done on every job, results in the order of the jobs; `on_done` hears the place of each that is done.

    One process a core when `workers` is None; with one worker everything happens here. `work` is a module's function.
    """
    count = min(len(jobs), MOST, multiprocessing.cpu_count() if workers is None else workers)
    if count <= 1:
        return _here(work, jobs, on_done)
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_start)
    try:
        place_of = {pool.submit(work, job): place for place, job in enumerate(jobs)}
        for future in as_completed(place_of):
            future.result()
            on_done(place_of[future])
    except BaseException:  # Ctrl-C too: what is under way is not waited for
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    pool.shutdown()
    return [future.result() for future in place_of]


def _here(work: Callable[[Job], Outcome], jobs: Sequence[Job], on_done: Callable[[int], None]) -> list[Outcome]:
    outcomes, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)  # sums of several threads have other last bits
    try:
        for place, job in enumerate(jobs):
            outcomes.append(work(job))
            on_done(place)
    finally:
        torch.set_num_threads(threads)
    return outcomes


def _start() -> None:
    """One thread, deaf to Ctrl-C, which is for the parent to act on, and gone when the parent is."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        signal.raise_signal(signal.SIGKILL)
