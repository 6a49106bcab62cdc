"""kill -9 at any moment, of every command that writes: nothing lost, doubled or torn, and no process left behind.

`S2SQUANT_FAULTS=all` makes two hundred. The same command then goes on to what it would have had.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from s2squant.cli.app import main
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.prices.store.price_store import PriceStore
from s2squant.series.states import load_state
from s2squant.study import backtest
from tests.faults.harness import tell, times
from tests.local_yahoo import LocalYahoo
from tests.prices.conftest import Desk
from tests.prices.store.test_killed import kill_often
from tests.worlds import night_process
from tests.worlds.commands import begin
from tests.worlds.nightly_sim import sessions, tiny
from tests.worlds.processes import forkserver
from tests.worlds.runs import TINY, experiment, options, stock_days, write_prices

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
GONE = 10.0
"""Seconds in which what a killed process started has to be gone; at once where the machine is free."""


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended; the system's first process may take seconds to notice."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class Kills:
    """Processes killed within the time that one takes, which is learnt; whom they leave behind is counted."""

    def __init__(self, took: float) -> None:
        self.said, self._took, self._random = Counter[str](), took, random.Random(0)
        self._slowest = 0.0

    def one(self, start: Callable[[], BaseProcess]) -> bool:
        """Start one and kill it; False where it had ended by itself."""
        began, process = time.monotonic(), start()
        process.join(self._random.uniform(0, 1.2 * self._took))
        try:
            family = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        ended = process.exitcode is not None
        process.kill()
        process.join()
        if ended:
            assert process.exitcode == 0, "it ended badly by itself"
            self._took = 0.5 * (self._took + time.monotonic() - began)
        self.said["ended before" if ended else "killed with workers" if family else "killed"] += 1
        killed = time.monotonic()
        while (alive := [p for p in family if not is_gone(p)]) and time.monotonic() < killed + GONE:
            time.sleep(0.01)
        self.said["orphans"] += len(alive)
        self._slowest = max(self._slowest, time.monotonic() - killed) if family else self._slowest
        return not ended

    def tell(self, kind: str) -> None:
        print(f"\nwhom they left was gone within {self._slowest:.2f} s")
        tell(f"kills of {kind}", +self.said, "ended before", "killed", "killed with workers")


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    for seed, ticker in enumerate(("AAA", "BBB", "CCC")):
        write_prices(folder, ticker, stock_days(), seed)
    return folder


def test_a_backtest(prices, tmp_path, monkeypatch):
    monkeypatch.setenv("S2SQUANT_TRIALS", "")
    whole, _ = backtest(experiment(prices), tmp_path / "whole", workers=0)
    right = pd.read_parquet(whole / "forecasts.parquet")
    arguments = ["backtest", "--source", f"csv:{prices}", *options(TINY), "--workers", "2", "--out", "run"]
    kills, run = Kills(15), tmp_path / "run"

    def check() -> None:
        pd.testing.assert_frame_equal(pd.read_parquet(run / "forecasts.parquet"), right, check_exact=True)
        assert not (run / "work").exists()
        shutil.rmtree(run)

    for _ in range(times(45, 3)):
        kills.one(lambda: begin(tmp_path, arguments))
        if (run / "manifest.json").exists():
            shutil.rmtree(run / "work", ignore_errors=True)  # killed between its last two steps
            check()
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--quiet"]) == 0
    check()
    kills.tell("backtest")


def test_an_ablation(prices, tmp_path, monkeypatch):
    monkeypatch.setenv("S2SQUANT_TRIALS", "")
    monkeypatch.chdir(tmp_path)
    asked = TINY | {
        "universe": {"source": f"csv:{prices}"},
        "covariates": [{"name": "weekday", "calendar": "weekday"}],
        "forecasters": {"models": ["historical_simulation", "random_walk", "har_x"]},
        "verdict": {"recommended": "har_x", "reference": "historical_simulation", "rival": ""},
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    arguments = ["ablate", "asked.json", "--workers", "2", "--quiet", "--out"]
    assert main([*arguments, "whole"]) == 0
    right, kills = pd.read_parquet("whole/gains.parquet"), Kills(10)
    for _ in range(times(12, 1)):
        kills.one(lambda: begin(tmp_path, [*arguments, "run"]))
        if Path("run/manifest.json").exists():
            pd.testing.assert_frame_equal(pd.read_parquet("run/gains.parquet"), right, check_exact=True)
            shutil.rmtree("run")
    assert main([*arguments, "run"]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet("run/gains.parquet"), right, check_exact=True)
    kills.tell("ablate")


def test_a_night(tmp_path, monkeypatch):
    place = {"S2SQUANT_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    monkeypatch.setenv("S2SQUANT_LEDGER", place["S2SQUANT_LEDGER"])
    monkeypatch.chdir(tmp_path)
    context = forkserver("s2squant.nightly.night", "tests.worlds.night_process", "tests.local_yahoo")
    count = times(45, 2)
    days, kills = [str(day) for day in sessions("2025-10-01", 1 + count)], Kills(8)
    with LocalYahoo(today=days[0], years=4) as yahoo:

        def night(day: str) -> BaseProcess:
            given = (str(tmp_path), day, place | {"S2SQUANT_YAHOO_URL": yahoo.url}, 2)
            process = context.Process(target=night_process.night, args=given)
            process.start()
            return process

        done = 0
        for number in range(count):
            yahoo.fixed_today = days[done]
            went_on = kills.one(partial(night, days[done]))
            if not went_on or number % 3 == 2:
                last = night(days[done])
                last.join(300)
                assert last.exitcode == 0, (tmp_path / "nights.log").read_text()[-3000:]
                done += 1
                yahoo.fixed_today = days[done]
        last = night(days[done])
        last.join(300)
        assert last.exitcode == 0, (tmp_path / "nights.log").read_text()[-3000:]
    ledger, spec = Ledger(), tiny(tmp_path, *night_process.TICKERS)
    rows = ledger.record(spec.name, live=False)
    assert (rows["reissue"] == 0).all(), "nothing twice"
    assert not rows.duplicated(["model", "unique_id", "cutoff", "step"]).any()
    found = rows.groupby(["unique_id", rows["cutoff"].astype(str).str[:10]]).size()
    assert set(found.index) == {(t, day) for t in night_process.TICKERS for day in days[: done + 1]}, "nothing lost"
    assert found.nunique() == 1
    assert ledger.gaps(spec.name).empty
    assert not ledger.verify()[0]
    kills.tell("forecast")


def test_a_fetch(tmp_path, capsys):
    with LocalYahoo(today="2024-03-01", years=2) as yahoo:
        kill_often(Desk(yahoo, tmp_path / "prices"), times(50, 3))
    print(f"\nkills of fetch: {times(50, 3)}")


def test_a_quick_forecast(prices, tmp_path):
    """Its files are whole or not there."""
    arguments = ["predict", "--source", f"csv:{prices}", "--csv", "p.csv", "--html", "p.html"]
    whole = begin(tmp_path, arguments)
    whole.join(120)
    assert whole.exitcode == 0
    right, kills = {name: (tmp_path / name).read_bytes() for name in ("p.csv", "p.html")}, Kills(3)
    for _ in range(times(20, 2)):
        for name in right:
            (tmp_path / name).unlink(missing_ok=True)
        kills.one(lambda: begin(tmp_path, arguments))
        assert all(not (tmp_path / name).exists() or (tmp_path / name).read_bytes() == right[name] for name in right)
    kills.tell("predict")


@pytest.mark.skipif(not times(1, 0), reason="half a minute each time")
def test_pretraining(tmp_path):
    known = exchange_sessions("XNYS")
    write_prices(tmp_path / "prices", "AAA", known[known >= np.datetime64("2008-01-01")][:3000], 0)
    arguments = ["pretrain", "csv:prices", "--out"]
    whole = begin(tmp_path, [*arguments, "whole"])
    whole.join(300)
    assert whole.exitcode == 0
    right, kills = {p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()}, Kills(5)
    assert right
    for _ in range(6):
        if not kills.one(lambda: begin(tmp_path, [*arguments, "again"])):
            assert {p.name for p in (tmp_path / "again").glob("*.safetensors")} == set(right)
            shutil.rmtree(tmp_path / "again")
        for path in (tmp_path / "again").glob("*.safetensors"):
            load_state(path)
            assert path.read_bytes() == right[path.name]
    kills.tell("pretrain")


def test_a_repair(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tickers = ("AAPL", "MSFT", "IBM", "GOOG", "EURUSD", "EURGBP")
    assert main(["fetch", *tickers, "--source", "sample", "--store", "sound", "--quiet"]) == 0
    damaged, rng = tickers[::2], np.random.default_rng(0)
    for path in Path("sound").rglob("*.parquet"):
        if path.parent.name.startswith(damaged):
            content = bytearray(path.read_bytes())
            content[rng.integers(len(content))] ^= 1
            path.write_bytes(content)
    kills = Kills(0.4)

    def places() -> list[str]:
        return sorted(p.parent.name.removeprefix("1d-").split("-")[0] for p in Path("store").rglob("manifest.json"))

    def fresh() -> None:
        shutil.rmtree("store", ignore_errors=True)
        shutil.copytree("sound", "store")

    fresh()
    every = places()
    for _ in range(times(24, 2)):
        if not kills.one(lambda: begin(tmp_path, ["prices", "repair", "store"])):
            fresh()
        assert places() == every, "each is in the store or put aside, once"
    main(["prices", "repair", "store"])
    capsys.readouterr()
    store = PriceStore(Path("store"))
    assert set(store.tickers()) == set(tickers) - set(damaged)
    assert all(len(store.read(ticker).bars) for ticker in store.tickers())
    kills.tell("prices repair")
