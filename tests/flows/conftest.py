"""One Prefect server for every flow test, whole: with the services that schedule runs and carry out automations."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

from s2squant.nightly.operation.server import PrefectApi

READY_SECONDS = 180


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(home: Path, **environment: str) -> Iterator[str]:
    """A server with its data below `home`, reached by Prefect's client until the block ends; its address.

    Without heartbeats a flow ends a second sooner.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    told = os.environ | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", **environment}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = home / "server.log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=told, stdout=said, stderr=said, start_new_session=True)
    try:
        end = time.monotonic() + READY_SECONDS
        with PrefectApi(url) as api:
            while not api.healthy():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, f"no server after {READY_SECONDS} s\n{log.read_text()}"
                time.sleep(0.2)
        settings = {
            PREFECT_API_URL: url,
            PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        }
        with temporary_settings(settings):
            yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address."""
    with serving(tmp_path_factory.mktemp("prefect")) as url:
        yield url
