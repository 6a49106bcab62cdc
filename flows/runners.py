"""Task runner and temporary server of a flow: threads that wait, a server that a Ctrl-C does not kill."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, cast

import httpx
from prefect.futures import PrefectFuture
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
    temporary_settings,
)
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


@contextmanager
def with_server() -> Iterator[None]:
    """Within it Prefect has a server: the one that is named, else a temporary one of this process, where one may be."""
    if PREFECT_API_URL.value() or not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        yield
    else:
        with temporary_settings({PREFECT_API_URL: _temporary_server()}):
            yield


@cache
def _temporary_server() -> str:
    """Start a server that ends with this process, deaf to Ctrl-C: it has to record the interruption. Returns its API.

    Prefect would start the same, and first import all of a server into this process: 60 MB, 1.5 s.
    """
    until = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    process, address = _start()
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"{address}/health").is_success:
                break
        if time.monotonic() > until:
            _stop(process)
            raise RuntimeError("Prefect's temporary server did not start; name one by PREFECT_API_URL")
        if process.poll() is not None:  # another process has taken its port
            process, address = _start()
        time.sleep(0.1)
    atexit.register(_stop, process)  # after what Prefect registers later, which has events to send
    return address


def _start() -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    quiet = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", *options],
            env={**os.environ, **quiet, **settings},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process, f"http://127.0.0.1:{port}/api"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
