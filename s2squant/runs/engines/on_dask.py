"""Workers under Dask: a cluster of this machine, on loopback and encrypted, or the one that S2SQUANT_DASK names."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from s2squant.errors import CallerError
from s2squant.runs.engines.cluster import ClusterPool
from s2squant.runs.engines.main_guard import refuse_daemonic
from s2squant.runs.engines.worker import ATTEMPTS, KILLED, I, J, JobSpec, carry_out, interrupts_blocked, short
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


class DaskPool(ClusterPool[I, J]):
    """Dask's workers: one that is killed takes one job with it, which is tried once more.

    Raises CallerError when the scheduler that the environment names does not answer.
    """

    def __init__(self, spec: JobSpec[I, J], workers: int) -> None:
        import dask
        from distributed import Client
        from distributed.security import Security

        super().__init__(spec, "Dask", grace=0)
        self._cluster: LocalCluster | None = None
        address = os.environ.get(ADDRESS, "")
        for name in ("distributed", "distributed.client", "distributed.nanny", "distributed.scheduler"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if address:
            try:
                self._client = Client(address, timeout=PATIENCE, set_as_default=False)
            except (OSError, ValueError) as error:
                raise CallerError(f"{ADDRESS}={address}: no Dask scheduler answers ({short(error)})") from None
            return
        refuse_daemonic()
        with interrupts_blocked():
            with dask.config.set(CALM):
                self._cluster = _start(workers, Security.temporary())
            self._client = Client(self._cluster, set_as_default=False)

    def _submit(self, job: J) -> Any:
        return self._client.submit(_counted, self._spec, job, uuid4().hex, pure=False)

    def _result(self, future: Any) -> str:
        from distributed import KilledWorker

        try:
            reason: str = future.result()
        except KilledWorker:
            return LOST
        return reason

    def _cancel(self, futures: Sequence[Any]) -> None:
        """Nothing: its worker is killed in a moment."""

    def _end(self) -> None:
        self._client.close(timeout=5)
        if self._cluster is not None:
            for nanny in self._cluster.workers.values():  # seconds faster than asking them to go
                nanny.auto_restart = False
                with suppress(ProcessLookupError, TypeError):  # it has just ended, or has not begun
                    os.kill(nanny.pid, signal.SIGKILL)
            self._cluster.close(timeout=5)


def _counted(spec: JobSpec[I, J], job: J, ticket: str) -> str:
    """Carry out a job unless it was started often enough; Dask would blame every job that waits at a killed worker."""
    return carry_out(spec, job) if RunFolder(spec.folder).started(ticket) <= ATTEMPTS else KILLED


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
