"""kill -9, thirty times over fifteen sessions: of the night, of its flow, of the server that the flow reports to.

The process that serves deployments is killed in test_up, pool workers in test_engines.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import pytest

from s2squant.config.models import RECALIBRATED
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.operation.server import PrefectApi
from s2squant.nightly.replay import replay
from tests.flows.conftest import READY_SECONDS, free_port
from tests.local_yahoo import LocalYahoo
from tests.worlds.night_process import TICKERS, night, night_flow
from tests.worlds.nightly_sim import sessions, tiny
from tests.worlds.processes import forkserver

KILLS, SESSIONS = 30, 15


def check_all(root: Path, days: list[str], ledger: Ledger) -> None:
    """Every forecast of every session once, no gap, no half-written file, all of it recomputable."""
    spec = tiny(root, *TICKERS)
    rows = ledger.record(spec.name, live=False)
    models = {*spec.experiment.forecasters.models, spec.experiment.verdict.recommended + RECALIBRATED}
    assert (rows["reissue"] == 0).all(), "nothing twice"
    assert not rows.duplicated(["model", "unique_id", "cutoff", "step"]).any()
    found = rows.groupby(["unique_id", rows["cutoff"].astype(str).str[:10]]).size()
    wanted = pd.MultiIndex.from_product([TICKERS, days])
    assert set(found.index) == set(wanted), "nothing lost"
    assert (found == len(models) * 5).all()
    assert ledger.gaps(spec.name).empty
    ripe = rows[rows["ds"].astype(str).str[:10] <= days[-1]]
    assert ripe["y"].notna().all(), "everything that is over has been scored"
    assert not [p for p in (root / "prices").rglob("*.tmp") if p.stat().st_mtime < time.time() - 3600]
    runs = [run for run in ledger.runs(spec.name) if run.status == "done"]
    assert len(runs) == len(days)
    for run in runs[:: len(runs) // 3]:
        assert replay(run.run_id, ledger).identical, "torn weights or prices would show here"
    for run in runs:
        assert (Path(root / run.folder) / "manifest.json").exists()
        assert not (Path(root / run.folder) / "work").exists()


class Kills:
    """Nights that are started, killed at a random moment, and started again until they end by themselves."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self.root, self.environment, self.hit = root, environment, 0
        self._random, self._took = random.Random(5), {"night": 2.5, "night_flow": 5.0}
        self._context = forkserver("s2squant.nightly.night", "tests.worlds.night_process", "tests.local_yahoo")

    def start(self, day: str, work: Callable[..., None]) -> BaseProcess:
        """A night in a process of its own, forked from one that has imported everything."""
        process = self._context.Process(target=work, args=(str(self.root), day, self.environment))
        process.start()
        return process

    def kill(self, day: str, work: Callable[..., None]) -> None:
        """Let it run for a part of its time, and no further."""
        process = self.start(day, work)
        time.sleep(self._random.uniform(0.05, 0.95) * self._took[work.__name__])
        self.hit += process.is_alive()
        process.kill()
        process.join()

    def let_end(self, day: str, work: Callable[..., None]) -> None:
        """Run it to its end."""
        began = time.monotonic()
        process = self.start(day, work)
        process.join(300)
        assert process.exitcode == 0, (self.root / "nights.log").read_text()[-3000:]
        name = work.__name__
        self._took[name] = 0.5 * self._took[name] + 0.5 * (time.monotonic() - began)


@pytest.mark.slow
@pytest.mark.prefect
def test_killed_thirty_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"S2SQUANT_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    monkeypatch.setenv("S2SQUANT_LEDGER", place["S2SQUANT_LEDGER"])
    monkeypatch.chdir(tmp_path)
    days = [str(day) for day in sessions("2025-11-12", SESSIONS)]
    with LocalYahoo(today=days[0], years=4) as yahoo, Server(tmp_path) as server:
        kills = Kills(tmp_path, place | {"S2SQUANT_YAHOO_URL": yahoo.url} | server.environment)
        for day in days[:-2]:
            yahoo.fixed_today = day
            kills.kill(day, night)
            kills.kill(day, night)
            kills.let_end(day, night)
        for day in days[-2:]:  # under Prefect: the flow is killed, then the server that it reports to
            yahoo.fixed_today = day
            kills.kill(day, night_flow)
            left = kills.start(day, night_flow)
            time.sleep(1.0)
            server.kill()
            left.kill()
            left.join()
            kills.hit += 1
            server.start()
            kills.let_end(day, night_flow)
    assert kills.hit >= 0.8 * KILLS, f"only {kills.hit} of {KILLS} hit a process that was still at work"
    check_all(tmp_path, days, Ledger())


class Server:
    """A Prefect server of the test's own, to be killed and started again."""

    def __init__(self, root: Path) -> None:
        self._root, self._port = root, free_port()
        self.environment = {
            "PREFECT_HOME": str(root / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self._port}/api",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        with (self._root / "server.log").open("ab") as said:
            self._process = subprocess.Popen(
                command, env={**os.environ, **self.environment}, stdout=said, stderr=said, start_new_session=True
            )
        end = time.monotonic() + READY_SECONDS
        with PrefectApi(self.environment["PREFECT_API_URL"]) as api:
            while not api.healthy():
                assert self._process.poll() is None, (self._root / "server.log").read_text()
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.2)

    def kill(self) -> None:
        """End it as a power failure would, its children too."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
