"""Task runner and temporary server of a flow: threads that wait, a server that a Ctrl-C does not kill."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner


def waiting_threads(workers: int | None) -> TaskRunner[PrefectFuture[Any]]:
    """Threads for tasks that only wait; training happens in the run's own processes."""
    runner: Any = ThreadPoolTaskRunner(max_workers=workers or os.cpu_count() or 1)
    return cast("TaskRunner[PrefectFuture[Any]]", runner)


def silence_prefect() -> None:
    """Where Prefect's log is off (a run by hand), keep its last error lines off the terminal too."""
    if not logging.getLogger("prefect").isEnabledFor(logging.INFO):
        for name in ("prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def start_server() -> None:
    """Start Prefect's temporary server, where one is needed, deaf to Ctrl-C: it has to record the interruption."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True):
            pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
