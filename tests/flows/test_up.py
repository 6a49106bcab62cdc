"""`s2squant up` as a person runs it: schedules appear, nothing goes beyond this machine, a stop is clean."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s2squant.cli.child import Child
from s2squant.cli.commands.up import surroundings
from s2squant.errors import ConfigError
from s2squant.files import locked
from s2squant.nightly.operation.server import EXPECTED, NOTED, PrefectApi
from tests.flows.conftest import free_port
from tests.flows.stand_ins import wait_until

LOOPBACK = re.compile(r"127\.|::1$|::ffff:127\.")
NIGHTLY = 'name = "offline"\n[experiment.universe]\nsource = "csv:absent"\ntickers = ["A"]\n'


def clean_environment(**more: str) -> dict[str, str]:
    names = ("PREFECT_", "S2SQUANT_", "HTTP", "http")
    return {k: v for k, v in os.environ.items() if not k.startswith(names)} | more


@contextmanager
def up(folder: Path, port: int, *arguments: str, before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """`s2squant up` in a folder, ended at the end however it goes."""
    (folder / "offline.toml").write_text(NIGHTLY)
    command = [*before, str(Path(sys.executable).parent / "s2squant"), "up", "--port", str(port), *arguments]
    with (folder / "up.log").open("w") as log:
        # A proxy that leads nowhere: whatever asks the outside, or ourselves by way of it, fails.
        environment = clean_environment(HTTP_PROXY="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9")
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, text=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()


def tree(root: int) -> set[int]:
    """A process and all below it, also those with a session of their own."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def addresses(processes: set[int]) -> set[tuple[str, str]]:
    """(local, remote) address of every TCP socket of the processes, from /proc/net/tcp and tcp6."""
    inodes = set()
    for number in processes:
        for link in Path(f"/proc/{number}/fd").glob("*"):
            try:
                inodes.add(str(link.readlink()))
            except OSError:
                continue
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        path = Path(f"/proc/net/{table}")
        for row in path.read_text().splitlines()[1:] if path.exists() else ():
            columns = row.split()
            if f"socket:[{columns[9]}]" in inodes:
                found.add((_address(columns[1], family), _address(columns[2], family)))
    return found


def _address(text: str, family: socket.AddressFamily) -> str:
    raw = bytes.fromhex(text.partition(":")[0])
    words = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return socket.inet_ntop(family, words)


def strangers(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Sockets that listen or speak beyond loopback; an unconnected one has the remote address 0."""
    nobody = {"0.0.0.0", "::"}
    return {(a, b) for a, b in found if not LOOPBACK.match(a) or (b not in nobody and not LOOPBACK.match(b))}


def test_a_socket_beyond_loopback_would_be_seen() -> None:
    with socket.socket() as near, socket.socket() as wide, socket.socket(socket.AF_INET6) as wide6:
        for listener, place in ((near, "127.0.0.1"), (wide, "0.0.0.0"), (wide6, "::")):
            listener.bind((place, 0))
            listener.listen()
        found = addresses({os.getpid()})
        assert {("0.0.0.0", "0.0.0.0"), ("::", "::")} <= strangers(found)
        assert ("127.0.0.1", "0.0.0.0") in found - strangers(found)


@pytest.mark.slow
@pytest.mark.prefect
def test_up_schedules_stays_on_this_machine_restarts_what_dies_and_stops_cleanly(tmp_path: Path) -> None:
    port = free_port()
    trace = tmp_path / "trace"
    strace = shutil.which("strace")
    before = (strace, "-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect", "-o", str(trace)) if strace else ()
    with up(tmp_path, port, "--nightly", "offline.toml", "--now", before=before) as process, \
         PrefectApi(f"http://127.0.0.1:{port}/api") as api:  # fmt: skip
        said = tmp_path / "up.log"
        wait_until(lambda: "asked for a run" in said.read_text() or process.poll() is not None, 240)
        assert process.poll() is None, said.read_text()
        wanted = {"forecast/offline", "maintain/weekly", "backtest/adhoc", "tune/adhoc"}
        wait_until(lambda: {deployed.name for deployed in api.deployments()} == wanted, 60)  # served one after another
        known = {deployed.name: deployed for deployed in api.deployments()}
        assert known["forecast/offline"].next_run is not None
        assert (tmp_path / "data/prefect" / NOTED).read_text().strip() == api.url

        ends = ("Failed", "Completed")
        runs = wait_until(lambda: [run for run in api.last_runs(api.deployments()) if run.state in ends], 240)
        assert runs[0].state == "Failed", "its prices are absent, and it says so in one line"
        assert "absent" in runs[0].message
        found = addresses(tree(process.pid))
        assert {a for a, _ in found}, "the server at least has a socket"
        assert strangers(found) == set()

        serving = [n for n in tree(process.pid) if b"flows.serve" in _command(n)]
        os.kill(min(serving), signal.SIGKILL)
        wait_until(lambda: "serve is started again" in said.read_text(), 120)

        family = tree(process.pid) - {process.pid}
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0, said.read_text()
        wait_until(lambda: not any(Path(f"/proc/{n}").exists() for n in family), 20)
        assert not (tmp_path / "data/prefect" / NOTED).exists()
        assert "forecast/offline" in (tmp_path / "data/prefect" / EXPECTED).read_text()
    if strace:
        asked = r"connect\(\d+, \{sa_family=AF_INET6?, .*?(?:inet_addr|inet_pton)\((?:AF_INET6, )?\"(.*?)\""
        places = re.findall(asked, trace.read_text())
        assert places, "it spoke to itself"
        assert {place for place in places if not LOOPBACK.match(place)} == set()


def test_a_mistake_is_said_before_anything_starts(tmp_path: Path) -> None:
    def told(*arguments: str, **more: str) -> str:
        command = [str(Path(sys.executable).parent / "s2squant"), "up", *arguments]
        ended = subprocess.run(
            command, cwd=tmp_path, env=clean_environment(**more), capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert ended.stderr.count("\n") == 1
        return ended.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} of this machine is taken" in told("--port", port)
    kept = tmp_path / "elsewhere"
    kept.mkdir()
    with locked(kept / "up.lock", wait=False):
        assert "another `s2squant up` already runs in" in told("--port", port, PREFECT_HOME=str(kept))
    (tmp_path / "wrong.toml").write_text("[retrainin]\nevery = 3\n")
    assert "did you mean 'retraining'?" in told("--nightly", "wrong.toml")
    assert "PREFECT_API_URL names a server already" in told(PREFECT_API_URL="http://127.0.0.1:1/api")
    assert not (tmp_path / "data").exists()


def test_the_children_are_told_to_stay_on_loopback_and_to_keep_quiet() -> None:
    given = {"NO_PROXY": "inside.example", "PREFECT_SERVER_API_HOST": "0.0.0.0", "PREFECT_LOGGING_LEVEL": "ERROR"}
    made = surroundings(given, Path("/somewhere"), 4711)
    assert [made[name] for name in made if name.endswith("_HOST")] == ["127.0.0.1"] * 3
    assert made["PREFECT_API_URL"] == "http://127.0.0.1:4711/api"
    assert (made["DO_NOT_TRACK"], made["PREFECT_SERVER_ANALYTICS_ENABLED"]) == ("1", "false")
    assert made["NO_PROXY"] == made["no_proxy"] == "127.0.0.1,localhost,inside.example"
    assert made["PREFECT_LOGGING_LEVEL"] == "ERROR", "what it does not need to decide is left as it was"


def test_a_child_that_dies_waits_longer_each_time_and_is_ended_with_all_it_started(tmp_path: Path) -> None:
    sleeper = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    )
    child = Child("sleeper", [sys.executable, "-c", f"{sleeper} print(p.pid, flush=True); time.sleep(60)"], os.environ,
                  log=tmp_path / "log")  # fmt: skip
    child.start()
    grandchild = int(wait_until(lambda: (tmp_path / "log").read_text(), 20))
    assert child.died() is None
    child.stop()
    wait_until(lambda: not Path(f"/proc/{grandchild}").exists() or "Z" in _state(grandchild), 10)
    assert [child.rest() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    child.started = time.monotonic() - 1e4
    assert child.rest() == 1, "it had lived long enough"


def _command(number: int) -> bytes:
    """Empty for a process that is gone."""
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


def _state(number: int) -> str:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_serve_runs_once_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.serve import alone, chosen

    with alone(tmp_path / "lock"), pytest.raises(ConfigError, match="already runs"), alone(tmp_path / "lock"):
        pass
    with alone(tmp_path / "lock"):
        pass
    (tmp_path / "one.toml").write_text(NIGHTLY)
    (tmp_path / "two.toml").write_text(NIGHTLY)
    with pytest.raises(ConfigError, match="two nightlies have one name"):
        chosen([tmp_path / "one.toml", tmp_path / "two.toml"])
    assert chosen([tmp_path / "one.toml"])[0].full_name == "forecast/offline"
