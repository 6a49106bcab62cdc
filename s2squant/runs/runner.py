"""The job runner of a backtest, a cross-validation and a night: jobs stage by stage, failures by ticker and market."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Literal, Protocol, Self, TypeVar

from s2squant.runs.engines.worker import Pool
from s2squant.runs.folder import RunFolder


class Runnable(Protocol):
    """What the runner must know of a job."""

    @property
    def key(self) -> str:
        """Its name in files and logs."""

    @property
    def label(self) -> str:
        """Its name for people."""

    @property
    def market(self) -> str: ...

    @property
    def ticker(self) -> str:
        """Empty for a job of a whole market."""

    @property
    def shared(self) -> str:
        """What the rest of its market cannot do without, as a failure names it; empty for a ticker's own job."""


AnyJob = TypeVar("AnyJob", bound=Runnable)


@dataclass(frozen=True)
class JobResult:
    """How a job ended; `kept` was found finished from an earlier, killed run."""

    key: str
    status: Literal["done", "kept", "failed"]
    reason: str
    seconds: float


class JobRunner(Generic[AnyJob]):
    """Carries out the jobs of a claimed folder in a pool of processes; its `with` ends the pool and unlocks the folder.

    `start_pool` is called with the number of worker processes: as many as there are processors when `workers` is None,
    no more than jobs, none but this one when 0.
    """

    def __init__(
        self,
        folder: RunFolder,
        stages: Sequence[tuple[AnyJob, ...]],
        workers: int | None,
        start_pool: Callable[[int], Pool[AnyJob]],
    ) -> None:
        self.folder = folder.path
        self.stages = tuple(stages)
        jobs = sum(len(stage) for stage in self.stages)
        self.workers = 1 if workers == 0 else max(1, min(workers or os.cpu_count() or 1, jobs))
        self._parts = folder
        self._pool = start_pool(0 if workers == 0 else self.workers)
        self._failed: dict[str, str] = {}  # by ticker
        self._failed_markets: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=kind is not None)
        self._parts.release()

    def close(self, *, cancel: bool = False) -> None:
        """End the worker processes, after the jobs under way or at once."""
        self._pool.close(cancel=cancel)

    def execute(self, job: AnyJob) -> JobResult:
        """Carry out one job in a worker process; a failure is a result, not an exception."""
        if self._parts.is_done(job.key):
            return JobResult(job.key, "kept", "", 0.0)
        if job.market in self._failed_markets:
            return self._fail(job, self._failed_markets[job.market], 0.0)
        started = time.perf_counter()
        reason = self._pool.perform(job)
        seconds = time.perf_counter() - started
        return self._fail(job, reason, seconds) if reason else JobResult(job.key, "done", "", seconds)

    def execute_all(self, stage: Sequence[AnyJob]) -> Iterator[JobResult]:
        """Carry out the jobs of one stage side by side; results come as they end."""
        threads = ThreadPoolExecutor(self.workers)  # they only wait; the worker processes work
        try:
            for done in as_completed([threads.submit(self.execute, job) for job in stage]):
                yield done.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def execute_stages(self) -> Iterator[JobResult]:
        """Carry out all jobs, one stage after the other; results come as they end."""
        for stage in self.stages:
            yield from self.execute_all(stage)

    def failure(self, ticker: str, market: str) -> str:
        """Why a ticker has no result, a failure of its whole market first; empty where nothing failed."""
        return self._failed_markets.get(market) or self._failed.get(ticker, "")

    @property
    def first_failure(self) -> str:
        """The first reason of a market, else of a ticker; empty where nothing failed."""
        return next(iter((*self._failed_markets.values(), *self._failed.values())), "")

    def finished_jobs(self) -> Iterator[AnyJob]:
        """The jobs whose parts count, in order: neither their ticker nor their market failed."""
        for stage in self.stages:
            yield from (job for job in stage if not self.failure(job.ticker, job.market))

    def _fail(self, job: AnyJob, reason: str, seconds: float) -> JobResult:
        if job.shared:
            self._failed_markets.setdefault(job.market, f"{job.shared} failed: {reason}")
        else:
            self._failed[job.ticker] = reason
        return JobResult(job.key, "failed", reason, seconds)
