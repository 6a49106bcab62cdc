"""A pool over a cluster's futures: what Dask and Ray have in common."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Generic

from s2squant.runs.engines.worker import ENDED, I, J, JobSpec, reason_of


class ClusterPool(ABC, Generic[I, J]):
    """Jobs as futures of a cluster, each waited for by the thread that asks for it."""

    def __init__(self, spec: JobSpec[I, J], cluster: str, grace: float) -> None:
        """`cluster` is its name for people, `grace` the seconds that cancelled jobs may take to end."""
        self._spec, self._name, self._grace = spec, cluster, grace
        self._closed = False
        self._lock = threading.Condition()
        self._under_way: set[Any] = set()

    def perform(self, job: J) -> str:
        """Carry out a job and wait; returns why it failed, or an empty text."""
        with self._lock:
            if self._closed:
                return ENDED
            future = self._submit(job)
            self._under_way.add(future)
        try:
            return self._result(future)
        except Exception as error:  # the cluster's own, and whatever its end leaves behind
            return ENDED if self._closed else f"the {self._name} cluster was lost: {reason_of(error)}"
        finally:
            with self._lock:
                self._under_way.discard(future)
                self._lock.notify_all()

    def close(self, *, cancel: bool = False) -> None:
        """End the workers, after the jobs under way or at once; no job is carried out any more."""
        with self._lock:
            closed, self._closed = self._closed, True
            under_way = list(self._under_way)
        if closed:
            return
        # What ends the run is told, and not how its cluster took it.
        calm: AbstractContextManager[None] = suppress(Exception) if cancel else nullcontext()
        if cancel:
            with calm:
                self._cancel(under_way)
        with self._lock:  # whoever waits for a job should have its answer before the cluster is gone
            self._lock.wait_for(lambda: not self._under_way, self._grace if cancel else None)
        with calm:
            self._end()

    @abstractmethod
    def _submit(self, job: J) -> Any:
        """Hand a job to the cluster; returns its future."""

    @abstractmethod
    def _result(self, future: Any) -> str:
        """Wait for a job; returns why it failed, or an empty text, and raises what befell the cluster."""

    @abstractmethod
    def _cancel(self, futures: Sequence[Any]) -> None:
        """End jobs under way."""

    @abstractmethod
    def _end(self) -> None:
        """End the workers, or leave a cluster of somebody else's."""
