"""Workers under Dask: a cluster of this machine, on loopback and encrypted, or the one that S2SQUANT_DASK names."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, Generic
from uuid import uuid4

from s2squant.errors import CallerError
from s2squant.runs.engines.worker import ATTEMPTS, ENDED, KILLED, Errand, I, J, carry_out, reason_of
from s2squant.runs.folder import RunFolder

if TYPE_CHECKING:  # an extra: missing where nobody asked for it
    from distributed import LocalCluster

ADDRESS = "S2SQUANT_DASK"
"""Names a running scheduler, as in tcp://10.0.0.5:8786."""
PATIENCE = 20
"""Seconds to wait for a scheduler that is said to run."""
PATIENT = 20
"""How many workers may die that a job waits at or is carried out by; more than `ATTEMPTS` by far."""
LOST = "its workers were killed one after the other (out of memory?)"
CALM: dict[str, Any] = {
    "distributed.comm.timeouts.connect": "120s",  # a crowded machine starts its workers slowly
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 65536,
    "logging.distributed": "critical",
}


class DaskPool(Generic[I, J]):
    """Dask's workers: one that is killed takes one job with it, which is tried once more.

    Raises CallerError when the scheduler that the environment names does not answer.
    """

    def __init__(self, errand: Errand[I, J], workers: int) -> None:
        import dask
        from distributed import Client
        from distributed.security import Security

        self._errand = errand
        self._closed = False
        self._lock = threading.Condition()
        self._under_way: set[Any] = set()
        self._cluster: LocalCluster | None = None
        address = os.environ.get(ADDRESS, "")
        for name in ("distributed", "distributed.client", "distributed.nanny", "distributed.scheduler"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if address:
            try:
                self._client = Client(address, timeout=PATIENCE, set_as_default=False)
            except (OSError, ValueError) as error:
                why = " ".join(str(error).split())[:160]
                raise CallerError(f"{ADDRESS}={address}: no Dask scheduler answers ({why})") from None
            return
        resource_tracker.ensure_running()  # it would unblock the signal again if it were first started below
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for the run to act on
        try:
            with dask.config.set(CALM):
                self._cluster = _start(workers, Security.temporary())
            self._client = Client(self._cluster, set_as_default=False)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def perform(self, job: J) -> str:
        """Carry out a job and wait; returns why it failed, or an empty text."""
        from distributed import KilledWorker

        with self._lock:
            if self._closed:
                return ENDED
            future = self._client.submit(_counted, self._errand, job, uuid4().hex, pure=False)
            self._under_way.add(future)
        try:
            reason: str = future.result()
        except KilledWorker:
            return LOST
        except Exception as error:  # Dask's own, and whatever its end leaves behind
            return ENDED if self._closed else f"the Dask cluster was lost: {reason_of(error)}"
        finally:
            with self._lock:
                self._under_way.discard(future)
                self._lock.notify_all()
        return reason

    def close(self, *, cancel: bool = False) -> None:
        """End the workers, after the jobs under way or at once; no job is carried out any more."""
        with self._lock:
            closed, self._closed = self._closed, True
            if closed:
                return
            if not cancel:
                self._lock.wait_for(lambda: not self._under_way)
        self._client.close(timeout=5)
        if self._cluster is not None:
            for nanny in self._cluster.workers.values():  # seconds faster than asking them to go
                nanny.auto_restart = False
                with suppress(ProcessLookupError, TypeError):  # it has just ended, or has not begun
                    os.kill(nanny.pid, signal.SIGKILL)
            self._cluster.close(timeout=5)


def _counted(errand: Errand[I, J], job: J, ticket: str) -> str:
    """Carry out a job unless it was started often enough; Dask would blame every job that waits at a killed worker."""
    return carry_out(errand, job) if RunFolder(errand.folder).started(ticket) <= ATTEMPTS else KILLED


def _start(workers: int, security: Any) -> LocalCluster:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"allowed_failures": PATIENT, "dashboard": False},
        security=security,
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    )
