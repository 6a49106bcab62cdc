"""A worker process: it loads the run's inputs once, then carries out job after job; a failure is a text, not an error.

A job is handed to other processes by reference: the run's folder, and functions that a module holds by name. No array
travels, so a worker on another machine needs the run's folder on storage that it shares, and the same package.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from s2squant.runs.memory import give_memory_back

I = TypeVar("I")  # noqa: E741 (the inputs that all jobs of a run share)
J = TypeVar("J")
J_contra = TypeVar("J_contra", contravariant=True)

ATTEMPTS = 2
"""How often a job is tried whose process was killed under it."""
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries read as they are loaded."""
SERVED = "S2SQUANT_WORKERS_OF"
"""In the environment of a server of workers while it starts: the process that starts it."""
KILLED = "its process was killed twice (out of memory?)"
ENDED = "the run was ended"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names in glibc's malloc.h."""
FREED_BYTES = 1 << 30


class Pool(Protocol[J_contra]):
    """Who carries out the jobs of a run, in this process or in others."""

    def perform(self, job: J_contra) -> str:
        """Carry out a job and wait; returns why it failed, or an empty text. Safe from several threads."""
        ...

    def close(self, *, cancel: bool = False) -> None:
        """End, after the jobs under way or at once; no job is carried out any more."""
        ...


@dataclass(frozen=True)
class JobSpec(Generic[I, J]):
    """Where the inputs of a run lie, how they are read, and what is done with them for each job."""

    folder: Path
    """The run's folder, absolute."""
    version: str
    """Names the content of the inputs; `load` refuses another."""
    load: Callable[[Path, str], I]
    perform: Callable[[I, J], None]


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Within it, processes that are started are deaf to Ctrl-C, which is for the run to act on.

    Were one to die half started, the run would wait for ever on a pipe that it holds open itself.
    """
    resource_tracker.ensure_running()  # it would unblock the signal again if it were first started within
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by what is started
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


one_at_a_time = threading.RLock()
"""Held while models are fitted: a fit seeds torch's global generator, one for the process, and puts it back."""
_loaded_last: list[tuple[Path, str, Any]] = []
"""Folder, version and content of the inputs that this process loaded last."""


def carry_out(spec: JobSpec[I, J], job: J) -> str:
    """Carry out a job in a worker process; returns why it failed, or an empty text.

    One at a time: seeds are global to a process, and a worker of a cluster may have several threads.
    """
    with one_at_a_time:
        one_thread()
        keep_freed_memory()
        try:
            inputs = _loaded(spec)
        except Exception as error:
            return reason_of(error)
        return attempt(spec.perform, inputs, job)


def attempt(perform: Callable[[I, J], None], inputs: I, job: J) -> str:
    """Carry out a job in this process; a failure is a result: it is named in the report, and the run goes on."""
    try:
        perform(inputs, job)
    except Exception as error:
        return reason_of(error)
    finally:
        give_memory_back()
    return ""


def reason_of(error: Exception) -> str:
    """An error as one line of a report."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


def short(error: Exception) -> str:
    """What an error says, in one line of at most 160 characters."""
    return " ".join(str(error).split())[:160]


def one_thread() -> None:
    """Hold torch and the linear algebra of numpy and scipy to one thread: sums in several come out differently."""
    import threadpoolctl
    import torch

    os.environ.update(dict.fromkeys(THREADS, "1"))  # for what a model imports later
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


@contextmanager
def as_a_worker() -> Iterator[None]:
    """Within it this process computes as a worker does, whatever its own settings are; they are put back after.

    One thread, single precision, the CPU, gradients; and one at a time: torch's seeds are those of the process.
    """
    import torch
    from threadpoolctl import ThreadpoolController, threadpool_limits

    with one_at_a_time, ExitStack() as stack:
        threads, precision = torch.get_num_threads(), torch.get_default_dtype()
        given = {name: os.environ.get(name) for name in THREADS}
        known = {library.filepath for library in ThreadpoolController().lib_controllers}
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.is_autocast_enabled("cpu"):
            stack.enter_context(torch.autocast("cpu", enabled=False))
        stack.enter_context(threadpool_limits(1))
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
        os.environ.update(dict.fromkeys(THREADS, "1"))
        try:
            yield
        finally:
            torch.set_default_dtype(precision)
            torch.set_num_threads(threads)
            for name, value in given.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            usual = next((int(value) for value in given.values() if value and value.isdigit()), os.cpu_count() or 1)
            for library in ThreadpoolController().lib_controllers:
                if library.filepath not in known:  # a model imported it here, and it took one thread for its own
                    library.set_num_threads(usual)


def keep_freed_memory() -> None:
    """Let glibc keep what this process frees, rather than give it back and have the kernel clear it again.

    A training step takes and frees the same large tensors every time; the page faults were up to a third of its time.
    Where there is no glibc, nothing happens.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            libc.mallopt(name, FREED_BYTES)
    except (OSError, AttributeError):
        return


def _loaded(spec: JobSpec[I, J]) -> I:
    key = (spec.folder, spec.version)
    if not _loaded_last or _loaded_last[0][:2] != key:
        _loaded_last.clear()  # before the next is read, so that memory holds one
        _loaded_last.append((*key, spec.load(*key)))
    inputs: I = _loaded_last[0][2]
    return inputs
