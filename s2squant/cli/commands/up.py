"""s2squant up: a Prefect server and `flows.serve` on this machine alone, kept running until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.cli.child import Child, say
from s2squant.cli.tables import local_time
from s2squant.config.defaults import SERVER_PORT
from s2squant.errors import ConfigError, S2squantError

if TYPE_CHECKING:
    from s2squant.nightly.operation.server import PrefectApi

HOST = "127.0.0.1"
LOCK = "up.lock"
"""Held while `up` runs, in Prefect's folder."""
READY_SECONDS = 180.0
"""How long a server may take to answer: the first start builds its database."""
GIVEN_UP = 2
"""The exit status of a child that says a mistake was made: starting it again would not help."""


def up(
    nightly: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A nightly's .toml or .json. Repeatable. Left out: nightly-us and nightly-de, examples.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=1, max=65535, help="The server's port, on 127.0.0.1.")
    ] = SERVER_PORT,
    now: Annotated[bool, typer.Option("--now", help="Run the nightlies once right away, too.")] = False,
) -> int:
    """Start a Prefect server and everything scheduled, on this machine alone, and keep both running until Ctrl-C.

    Nothing listens beyond 127.0.0.1. Prefect's files are in data/prefect (PREFECT_HOME changes that), prices, ledger
    and weights in data/, reports in reports/, all below the folder this is started in.

    Example: s2squant up --nightly mine.toml --now

    Exit status: 0 stopped; 2 a mistake in what was asked (one line says which); 1 a fault of s2squant itself.
    """
    from s2squant.config.files import read_nightly

    if os.environ.get("PREFECT_API_URL"):
        raise ConfigError("PREFECT_API_URL names a server already; run `python -m flows.serve` beside it, or unset it")
    for file in nightly or ():
        read_nightly(file)  # a mistake in it is said before anything starts

    from s2squant.files import is_utf8, locked
    from s2squant.nightly.operation.server import NOTED, PrefectApi, home

    folder = home()
    if not is_utf8(folder):
        raise ConfigError(f"{str(folder)!a} is not UTF-8; rename the folder, or set PREFECT_HOME")
    _refuse_second(folder)
    _free(port)
    folder.mkdir(parents=True, exist_ok=True)
    api_url = f"http://{HOST}:{port}/api"
    environment = surroundings(os.environ, folder, port)
    server = Child(
        "the server",
        [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)],
        environment,
        log=folder / "server.log",
    )
    files = [part for file in nightly or () for part in ("--nightly", str(file))]
    serving = Child("serve", [sys.executable, "-m", "flows.serve", *files], environment, ending=signal.SIGINT)
    with locked(folder / LOCK, wait=False) as mine, _stopping() as stop, PrefectApi(api_url) as api:
        if not mine:
            _refuse_second(folder)
        try:
            say(f"starting a Prefect server, {READY_SECONDS:.0f} s at most (log: {_short(server.log)})")
            server.start()
            if not _answers(api, server, stop):
                return 0 if stop.is_set() else 1
            (folder / NOTED).write_text(api_url + "\n", encoding="utf-8")
            serving.start()
            if _wait(lambda: _scheduled(api), serving, stop):
                _greet(api, api_url, port)
                _note_expected(api, folder)
                if now:
                    _start_all(api)
            return _keep((server, serving), api, stop)
        finally:
            serving.stop()
            server.stop()
            (folder / NOTED).unlink(missing_ok=True)
            say("stopped; what falls due meanwhile is run when it is up again, and the ledger says what was missed")


def surroundings(given: Mapping[str, str], folder: Path, port: int) -> dict[str, str]:
    """The children's environment: all of it on loopback, nothing told to anybody, no proxy on the way to ourselves."""
    bypass = ",".join(filter(None, (HOST, "localhost", given.get("NO_PROXY") or given.get("no_proxy"))))
    quiet = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_CLIENT_METRICS_ENABLED": "false",
        "PREFECT_RUNNER_SERVER_ENABLE": "false",
        "PREFECT_RUNNER_SERVER_HOST": HOST,
        "PREFECT_WORKER_WEBSERVER_HOST": HOST,
        "DO_NOT_TRACK": "1",
        "NO_PROXY": bypass,
        "no_proxy": bypass,
    }
    wished = {"PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "600", "PREFECT_LOGGING_EXTRA_LOGGERS": "s2squant"}
    return {**wished, **given, **quiet}


def _keep(children: tuple[Child, ...], api: PrefectApi, stop: threading.Event) -> int:
    """Restart what dies until told to stop."""
    while not stop.wait(0.5):
        for child in children:
            status = child.died()
            if status == GIVEN_UP:
                return GIVEN_UP
            if status is not None:
                say(f"{child.name} ended with status {status}; started again in {child.rest():.0f} s")
            elif child.process is None and time.monotonic() >= child.due and (child is children[0] or api.healthy()):
                child.start()
                say(f"{child.name} is started again")
    return 0


def _answers(api: PrefectApi, server: Child, stop: threading.Event) -> bool:
    """Wait for the server; says why where it does not answer."""
    if _wait(api.healthy, server, stop):
        return True
    if server.died() is not None:
        say(f"the server ended with status {server.died()}; {_short(server.log)} says why")
    elif not stop.is_set():
        say(f"the server did not answer within {READY_SECONDS:.0f} s; {_short(server.log)} says why")
    return False


def _scheduled(api: PrefectApi) -> bool:
    """Whether serve has brought its deployments in and the scheduler has laid out their runs."""
    try:
        known = api.deployments()
    except S2squantError:
        return False
    return bool(known) and all(deployed.next_run for deployed in known if deployed.schedules)


def _wait(until: Callable[[], bool], child: Child, stop: threading.Event) -> bool:
    """Wait until something holds; False where the child ends, a stop is asked for or the time runs out before."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and not stop.wait(0.3):
        if child.died() is not None:
            return False
        if until():
            return True
    return False


def _greet(api: PrefectApi, api_url: str, port: int) -> None:
    say(f"up: http://{HOST}:{port} shows the runs; reports are written to reports/; Ctrl-C stops")
    for deployed in api.deployments():
        when = f"next {local_time(deployed.next_run)}" if deployed.next_run else "on demand"
        say(f"  {deployed.name}: {when}{'; ' + ', '.join(deployed.schedules) if deployed.schedules else ''}")
    say(f"for the prefect command: export PREFECT_API_URL={api_url}")


def _start_all(api: PrefectApi) -> None:
    for deployed in api.deployments():
        if deployed.name.startswith("forecast/"):
            say(f"asked for a run of {deployed.name} now: {api.start(deployed.id)}")


def _refuse_second(folder: Path) -> None:
    """Raise ConfigError where another `up` keeps this folder: its server and its address are not touched."""
    from s2squant.files import locked

    if not (folder / LOCK).is_file():
        return
    with locked(folder / LOCK, wait=False) as free:
        if not free:
            raise ConfigError(f"another `s2squant up` already runs in {Path.cwd()}; stop it first")


def _note_expected(api: PrefectApi, folder: Path) -> None:
    """Note what is scheduled here, for status to miss it when it is not."""
    from s2squant.files import write_atomic
    from s2squant.nightly.operation.server import EXPECTED

    names = [deployed.name for deployed in api.deployments() if deployed.schedules]
    write_atomic(folder / EXPECTED, json.dumps({"scheduled": names}) + "\n")


def _free(port: int) -> None:
    """Raise ConfigError where something listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ConfigError(f"port {port} of this machine is taken; stop what listens there or give --port") from None


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one raises KeyboardInterrupt."""
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _short(path: Path | None) -> str:
    if path is None:
        return ""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
