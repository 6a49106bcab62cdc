"""s2squant up: a Prefect server and `flows.serve` on this machine alone, kept running until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from s2squant.config.defaults import SERVER_PORT
from s2squant.errors import ConfigError, S2squantError

if TYPE_CHECKING:
    from s2squant.nightly.operation.server import PrefectApi

HOST = "127.0.0.1"
READY_SECONDS = 180.0
"""How long a server may take to answer: the first start builds its database."""
STOP_SECONDS = 20.0
BACKOFF = (1.0, 60.0)
"""Seconds before a child that died is started again: at first, doubled each time, and at most."""
LIVED = 300.0
"""A child that lived so long is not failing."""
LOG_BYTES = 10_000_000
"""A longer log is put aside when a child starts."""
GIVEN_UP = 2
"""The exit status of a child that says a mistake was made: starting it again would not help."""


@dataclass
class Child:
    """A process of ours, restarted when it dies."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    ending: int = signal.SIGTERM
    """The signal that ends it in order."""
    log: Path | None = None
    """Where what it says goes; None: to the terminal."""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0
    """When it may be started again."""

    def start(self) -> None:
        """Start it in a session of its own: a Ctrl-C is ours to pass on, in order."""
        into = None
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
                self.log.replace(self.log.with_suffix(".old.log"))
            into = self.log.open("ab")
        try:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdout=into, stderr=into, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        finally:
            if into is not None:
                into.close()
        self.started = time.monotonic()

    def died(self) -> int | None:
        """Its exit status once it has ended and nobody restarted it; None while it runs or waits for its turn."""
        return None if self.process is None else self.process.poll()

    def rest(self) -> float:
        """Note the death and say in how many seconds it is started again."""
        self.failures = 0 if time.monotonic() - self.started > LIVED else self.failures + 1
        pause = min(BACKOFF[1], BACKOFF[0] * 2.0 ** max(0, self.failures - 1))
        self.due, self.process = time.monotonic() + pause, None
        return pause

    def stop(self) -> None:
        """Ask it to end, wait, and end it and whatever it started."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(self.ending)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                _say(f"{self.name} does not stop; it is killed")
        for ending in (signal.SIGTERM, signal.SIGKILL):
            if not _signal_group(self.process.pid, ending):
                break
            time.sleep(2.0 if ending == signal.SIGTERM else 0.0)
        self.process.wait()
        self.process = None


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

    Exit status: 0 stopped; 2 a mistake in what was asked (one line says which); 1 a fault of s2squant itself.
    """
    from s2squant.config.files import read_nightly
    from s2squant.nightly.operation.server import NOTED, PrefectApi, home

    if os.environ.get("PREFECT_API_URL"):
        raise ConfigError("PREFECT_API_URL names a server already; run `python -m flows.serve` beside it, or unset it")
    for file in nightly or ():
        read_nightly(file)  # a mistake in it is said before anything starts
    _free(port)
    folder = home()
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
    with _told_to_stop() as stop, PrefectApi(api_url) as api:
        try:
            _say(f"starting a Prefect server, {READY_SECONDS:.0f} s at most (log: {_short(server.log)})")
            server.start()
            if not _wait_for(api, server, stop):
                return 0 if stop.is_set() else 1
            (folder / NOTED).write_text(api_url + "\n", encoding="utf-8")
            serving.start()
            if _wait_for_deployments(api, serving, stop):
                _greet(api, api_url, port)
                if now:
                    _start_all(api)
            return _keep((server, serving), api, stop)
        finally:
            serving.stop()
            server.stop()
            (folder / NOTED).unlink(missing_ok=True)
            _say("stopped; what falls due meanwhile is run when it is up again, and the ledger says what was missed")


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
                _say(f"{child.name} ended with status {status}; started again in {child.rest():.0f} s")
            elif child.process is None and time.monotonic() >= child.due and (child is children[0] or api.healthy()):
                child.start()
                _say(f"{child.name} is started again")
    return 0


def _wait_for(api: PrefectApi, server: Child, stop: threading.Event) -> bool:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and not stop.wait(0.3):
        if server.died() is not None:
            _say(f"the server ended with status {server.died()}; {_short(server.log)} says why")
            return False
        if api.healthy():
            return True
    if not stop.is_set():
        _say(f"the server did not answer within {READY_SECONDS:.0f} s; {_short(server.log)} says why")
    return False


def _wait_for_deployments(api: PrefectApi, serving: Child, stop: threading.Event) -> bool:
    """Until serve has brought its deployments in and the scheduler has laid out their runs."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and not stop.wait(0.5):
        if serving.died() is not None:
            return False
        try:
            known = api.deployments()
        except S2squantError:
            continue
        if known and all(deployed.next_run for deployed in known if deployed.schedules):
            return True
    return False


def _greet(api: PrefectApi, api_url: str, port: int) -> None:
    _say(f"up: http://{HOST}:{port} shows the runs; reports are written to reports/; Ctrl-C stops")
    for deployed in api.deployments():
        when = f"next {_local(deployed.next_run)}" if deployed.next_run else "on demand"
        _say(f"  {deployed.name}: {when}{'; ' + ', '.join(deployed.schedules) if deployed.schedules else ''}")
    _say(f"for the prefect command: export PREFECT_API_URL={api_url}")


def _start_all(api: PrefectApi) -> None:
    for deployed in api.deployments():
        if deployed.name.startswith("forecast/"):
            _say(f"asked for a run of {deployed.name} now: {api.start(deployed.id)}")


def _free(port: int) -> None:
    """Raise ConfigError where something listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ConfigError(f"port {port} of this machine is taken; stop what listens there or give --port") from None


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
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


def _signal_group(group: int, number: int) -> bool:
    """Signal what is left of a child's own session; whether there was anything."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _local(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%a %Y-%m-%d %H:%M %Z}"


def _short(path: Path | None) -> str:
    if path is None:
        return ""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _say(line: str) -> None:
    print(f"{datetime.now(UTC).astimezone():%H:%M:%S} {line}", flush=True)
