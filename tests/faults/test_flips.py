"""A flipped bit in any kind of file that the product writes is refused or without effect: none is silent.

`pytest -m slow -s tests/faults` prints the counts; they stand in docs/operation/promises.md.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.cli.app import main
from s2squant.errors import S2squantError
from s2squant.estimator import PriceForecaster
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.prices.store.price_store import PriceStore
from s2squant.runs.folder import RunFolder
from s2squant.runs.study_files import load_study
from s2squant.series.states import load_state
from s2squant.study import backtest
from tests.worlds.ledgers import AT, NIGHTLY, a_run, an_issue, an_outcome
from tests.worlds.runs import experiment, few, stock_days, write_prices

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
FLIPS = 200
"""Of each kind."""


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    for seed, ticker in enumerate(("AAA", "BBB")):
        write_prices(folder, ticker, stock_days(), seed)
    return folder


def flips(files: list[Path], read: Callable[[Path], object], whole: Callable[[Path], object]) -> Counter[str]:
    """Flip bits one at a time, in files drawn at random: `read` refuses, or says the same as of whole files."""
    rng, said = np.random.default_rng(0), Counter[str]()
    wanted = {path: whole(path) for path in files}
    for _ in range(FLIPS):
        path = files[rng.integers(len(files))]
        good = path.read_bytes()
        damaged = bytearray(good)
        place = rng.integers(len(good))
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            said["without effect" if read(path) == wanted[path] else f"silent: {path.name} at {place}"] += 1
        except S2squantError as error:
            said["refused" if str(error).count("\n") == 0 else f"not one line: {error}"] += 1
        finally:
            path.write_bytes(good)
    return said


def told(kind: str, said: Counter[str]) -> None:
    print(f"\n{kind}: {dict(said)}")
    assert said["refused"] + said["without effect"] == FLIPS, said


def test_a_finished_run(prices, tmp_path):
    run, _ = backtest(experiment(prices), tmp_path / "run", workers=0)
    files = [p for p in run.rglob("*") if p.is_file() and p.suffix != ".html" and "assets" not in p.parts]

    def read(path: Path) -> object:
        name = path.relative_to(run).as_posix()
        match path.suffix:
            case ".safetensors":
                state = load_state(path)
                return sorted((name, array.tobytes()) for name, array in state.arrays.items()), dict(state.meta)
            case ".parquet":
                load_study(run)
                return RunFolder(run).read_table(name).to_json()
        load_study(run)
        if path.suffix == ".csv":
            return RunFolder(run).read_text(name)
        return RunFolder(run).read_json(name, after="manifest.json")

    told("finished run", flips(files, read, read))


def test_a_run_s_report_is_the_same_or_none(prices, tmp_path, monkeypatch, capsys):
    """As a person meets it: the command's exit status, and its pages."""
    run, _ = backtest(few(prices), tmp_path / "run", workers=0)
    files = [p for p in run.rglob("*") if p.is_file() and p.suffix in (".parquet", ".json")]
    monkeypatch.setattr("tests.faults.test_flips.FLIPS", 60)

    def pages(path: Path) -> object:
        out = tmp_path / "again"
        shutil.rmtree(out, ignore_errors=True)
        status = main(["report", str(run), "--out", str(out)])
        if status == 2:
            raise S2squantError("refused")
        assert status == 0
        return sorted((p.name, p.read_bytes()) for p in out.rglob("*") if p.is_file())

    pages(files[0])  # the first makes the list of runs, which the others link to
    said = flips(files, pages, pages)
    with capsys.disabled():
        print(f"\nreport of a run: {dict(said)}")
    assert said["refused"] + said["without effect"] == 60, said


def test_the_price_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ticker in ("AAPL", "EURUSD"):
        assert main(["fetch", ticker, "--source", "sample", "--store", "store", "--quiet"]) == 0
    store = PriceStore(tmp_path / "store")
    files = [p for p in (tmp_path / "store").rglob("*") if p.suffix in (".json", ".parquet")]

    def read(path: Path) -> object:
        ticker = "AAPL" if path.parent.name.startswith("AAPL") else "EURUSD"
        other = "EURUSD" if ticker == "AAPL" else "AAPL"
        assert len(store.read(other).bars) > 1000, "the other is there all the same"
        stored = store.read(ticker)
        return stored.manifest, stored.bars.sha256

    told("price store", flips(files, read, read))


def test_the_ledger(tmp_path):
    url = make_sqlite_url(tmp_path / "ledger.sqlite")
    ledger = Ledger(url)
    ledger.start_run(a_run())
    for seed, ticker in enumerate(("AAA", "BBB", "CCC")):
        ledger.issue(NIGHTLY, "run-1", [an_issue(ticker, "anchor", seed=seed), an_issue(ticker, "blend")], at=AT)
    ledger.score([an_outcome(key) for key in range(1, 11)], "run-1", at=AT)
    ledger.end_run("run-1", "done", "", at=AT)
    file = sqlite3.connect(tmp_path / "ledger.sqlite")
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()

    def read(path: Path) -> object:
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        opened = Ledger(url)
        if changed := opened.verify()[0]:
            raise S2squantError(changed[0])
        return opened.record(NIGHTLY).to_json(), opened.runs()

    told("ledger (SQLite)", flips([tmp_path / "ledger.sqlite"], read, read))


def test_a_saved_estimator(prices, tmp_path):
    frames = [pd.read_csv(p, parse_dates=["Date"]).assign(unique_id=p.stem) for p in sorted(prices.glob("*.csv"))]
    frame = pd.concat(frames).rename(columns={"Date": "ds", "Close": "y"})[["unique_id", "ds", "y"]]
    PriceForecaster(["random_walk", "ewma_t", "garch_t"], horizon=3).fit(frame).save(tmp_path / "saved")
    files = [p for p in (tmp_path / "saved").rglob("*") if p.is_file()]

    def read(path: Path) -> object:
        model = PriceForecaster.load(tmp_path / "saved")
        return model.predict(level=80).to_json(), str(model.get_params())

    told("saved estimator", flips(files, read, read))
