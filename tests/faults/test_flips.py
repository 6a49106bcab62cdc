"""A flipped bit in any kind of file that the product writes is refused or without effect: none is silent.

`S2SQUANT_FAULTS=all pytest -m slow -s tests/faults` makes the counts of docs/operation/promises.md; else it is few.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from s2squant.cli.app import main
from s2squant.errors import S2squantError
from s2squant.estimator import PriceForecaster
from s2squant.evaluation.strategy.trial_ledger import Trial, record
from s2squant.files import embedded
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.night import open_night
from s2squant.prices.calendars.exchanges import exchange_sessions
from s2squant.prices.store.price_store import PriceStore
from s2squant.runs.engines.run_inputs import read_inputs, write_inputs
from s2squant.runs.folder import RunFolder
from s2squant.runs.run_list import list_runs
from s2squant.series.states import load_state
from s2squant.study import backtest, open_run
from s2squant.tuning.study import check_study, looks_of, note_facts, note_looks, open_study
from tests.faults.harness import OF_FLIPS, flips, tell, times
from tests.worlds import postgres
from tests.worlds.ledgers import AT, NIGHTLY, a_run, an_issue, an_outcome
from tests.worlds.nightly_sim import HASTY, Clock, at_close, at_yahoo, cheap, tiny
from tests.worlds.runs import experiment, few, stock_days, write_prices

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
WITH_COVARIATES = {
    "covariates": [
        {"name": "mood", "column": "Mood"},
        {"name": "weekday", "calendar": "weekday"},
        {"name": "sector", "values": {"AAA": "bank", "BBB": "oil"}},
    ]
}


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    for seed, ticker in enumerate(("AAA", "BBB")):
        write_prices(folder, ticker, stock_days(), seed)
        frame = pd.read_csv(folder / f"{ticker}.csv")
        frame.assign(Mood=np.random.default_rng(seed).normal(size=len(frame))).to_csv(folder / f"{ticker}.csv")
    return folder


def test_a_finished_run(prices, tmp_path):
    run, _ = backtest(experiment(prices, **WITH_COVARIATES), tmp_path / "run", workers=0)
    files = [p for p in run.rglob("*") if p.is_file() and not p.is_symlink()]

    def read(path: Path) -> object:
        name = path.relative_to(run).as_posix()
        match path.suffix:
            case ".safetensors":
                return state_of(path)
            case ".parquet":
                return RunFolder(run).read_table(name).to_json()
            case ".json":
                return RunFolder(run).read_json(name, after="manifest.json")
        return RunFolder(run).read_text(name)  # pages too, as `s2squant open` reads them

    tell("finished run", flips(files, read, times(250, 12)), *OF_FLIPS)


def test_a_run_s_report_is_the_same_or_none(prices, tmp_path):
    """As a person meets it: the command's exit status, and its pages."""
    run, _ = backtest(few(prices), tmp_path / "run", workers=0)
    files = [p for p in run.rglob("*") if p.is_file() and p.suffix in (".parquet", ".json")]

    def pages(_: Path) -> object:
        out = tmp_path / "again"
        shutil.rmtree(out, ignore_errors=True)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
            status = main(["report", str(run), "--out", str(out)])
        if status == 2:
            raise S2squantError(told.getvalue().removesuffix("\n"))
        assert status == 0, told.getvalue()
        return sorted((p.name, p.read_bytes()) for p in out.rglob("*") if p.is_file())

    pages(files[0])  # the first makes the list of runs, which the others link to
    tell("report of a run", flips(files, pages, times(60, 4)), *OF_FLIPS)


def test_the_list_of_runs(prices, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("reports/backtest/one")
    backtest(few(prices), run, workers=0)

    def read(_: Path) -> object:
        (entry,) = list_runs()
        if entry.status == "damaged":
            raise S2squantError(entry.status)
        return entry.word, entry.skill, entry.sentence, entry.tickers

    tell("list of runs", flips([run / "manifest.json"], read, times(40, 4)), *OF_FLIPS)


def test_a_run_under_way(prices, tmp_path):
    """What is damaged is done again, or the folder refused; the forecasts are the same."""
    wanted, out = few(prices), tmp_path / "run"

    def read(_: Path) -> object:
        with open_run(wanted, out, workers=0) as run:
            for result in run.execute_stages():
                assert not result.reason
            keys = sorted({p.name.split(".")[0] for p in (out / "work").glob("*.done.json")})
            return keys, [pd.read_parquet(p).to_json() for p in sorted((out / "work").glob("*.parquet"))]

    read(out)
    files = [p for p in (out / "work").iterdir() if p.name != "lock"]
    tell("run under way", flips(files, read, times(100, 8)), *OF_FLIPS)


def test_inputs_handed_to_workers(prices, tmp_path):
    with open_run(few(prices, **WITH_COVARIATES), tmp_path / "run", workers=0) as run:
        spec = write_inputs(run.inputs)
        names = ("experiment.json", "inputs.json", "prices.parquet", "covariates.parquet")
        files = [spec.folder / "work" / name for name in names]

        def read(_: Path) -> object:
            got = read_inputs(spec.folder, spec.version)
            given = [h.covariates for panel in got.panels.values() for h in panel.histories]
            assert all(given)
            return got.experiment.to_json(), [(c.past_TP.tobytes(), c.future_SF.tobytes()) for c in given if c]

        tell("inputs of workers", flips(files, read, times(80, 6)), *OF_FLIPS)


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

    tell("price store", flips(files, read, times(150, 10)), *OF_FLIPS)


def fill(ledger: Ledger) -> None:
    ledger.start_run(a_run())
    for seed, ticker in enumerate(("AAA", "BBB", "CCC")):
        ledger.issue(NIGHTLY, "run-1", [an_issue(ticker, "anchor", seed=seed), an_issue(ticker, "blend")], at=AT)
    ledger.score([an_outcome(key) for key in range(1, 11)], "run-1", at=AT)
    ledger.end_run("run-1", "done", "", at=AT)


def content_of(ledger: Ledger) -> object:
    if changed := ledger.verify()[0]:
        raise S2squantError(changed[0])
    return ledger.record(NIGHTLY).to_json(), ledger.runs()


def test_the_ledger(tmp_path):
    url = make_sqlite_url(tmp_path / "ledger.sqlite")
    fill(Ledger(url))
    file = sqlite3.connect(tmp_path / "ledger.sqlite")
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()

    def read(path: Path) -> object:
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        return content_of(Ledger(url))

    tell("ledger (SQLite)", flips([tmp_path / "ledger.sqlite"], read, times(150, 15)), *OF_FLIPS)


def test_the_ledger_in_postgresql():
    """In the files of the ledger's own tables, of a server that was stopped."""
    with postgres.running() as server:
        url = server.url()
        ledger = Ledger(url)
        fill(ledger)
        ledger.engine.dispose()
        files = server.files_of(url, ["forecasts", "outcomes", "runs", "chain"])
        server.stop()

        def read(_: Path) -> object:
            server.start()
            again = Ledger(url)
            try:
                return content_of(again)
            finally:
                again.engine.dispose()
                server.stop()

        tell("ledger (PostgreSQL)", flips(files, read, times(50, 3)), *OF_FLIPS)


def test_a_saved_estimator(prices, tmp_path):
    frames = [pd.read_csv(p, parse_dates=["Date"]).assign(unique_id=p.stem) for p in sorted(prices.glob("*.csv"))]
    frame = pd.concat(frames).rename(columns={"Date": "ds", "Close": "y"})[["unique_id", "ds", "y", "Mood"]]
    model = PriceForecaster(["random_walk", "ewma_t", "har_x"], horizon=3, hist_exog=["Mood"])
    model.fit(frame).save(tmp_path / "saved")
    files = [p for p in (tmp_path / "saved").rglob("*") if p.is_file()]
    assert (tmp_path / "saved" / "covariates.parquet") in files

    def read(_: Path) -> object:
        model = PriceForecaster.load(tmp_path / "saved")
        return model.predict(level=80).to_json(), str(model.get_params())

    tell("saved estimator", flips(files, read, times(120, 10)), *OF_FLIPS)


def state_of(path: Path) -> object:
    state = load_state(path)
    return sorted((name, array.tobytes()) for name, array in state.arrays.items()), dict(state.meta)


def test_pretrained_weights(tmp_path):
    for path in embedded("weights").iterdir():
        if path.name.endswith(".safetensors"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    tell("weights", flips(sorted(tmp_path.iterdir()), state_of, times(60, 6)), *OF_FLIPS)


def test_the_trials(prices, tmp_path):
    """Each look at the ledger counts; a damaged one says so in a note."""
    days = pd.date_range("2020-01-01", periods=50, freq="B")

    def trial(wanted, number):
        returns = pd.Series(np.random.default_rng(number).normal(0, 0.01, len(days)), index=days)
        return Trial(wanted, ["AAA", "BBB"], f"run-{number}", "2026-01-01T00:00:00Z", "none", {"all": 0.1}, returns)

    asked = [few(prices, seed=seed) for seed in range(3)]
    for number, wanted in enumerate([*asked, few(prices.parent)]):
        record(trial(wanted, number), tmp_path / "trials.sqlite")

    def read(path: Path) -> object:
        trials = record(trial(asked[0], 0), path)
        if trials.note:
            raise S2squantError(trials.note)
        return trials.count, trials.ratios, trials.returns.to_json()

    tell("trials.sqlite", flips([tmp_path / "trials.sqlite"], read, times(100, 12)), *OF_FLIPS)


def test_a_search_under_way(tmp_path):
    place = tmp_path / "study.sqlite"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = open_study(place, "study", prune=False)
    for number in range(6):
        trial = study.ask({"lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)})
        note_facts(trial, {"ending": "done", "skills": [0.01 * number], "reason": "", "seconds": 1.0})
        study.tell(trial, 0.01 * number)
    note_looks(study, ['{"lr": 0.01}'])
    study._storage.remove_session()

    def read(path: Path) -> object:
        again = open_study(path, "study", prune=False)
        try:
            check_study(again)
            finished = again.get_trials(deepcopy=False)
            return looks_of(again), [(t.number, t.params, t.value, t.user_attrs) for t in finished]
        finally:
            again._storage.remove_session()

    tell("search under way", flips([place], read, times(60, 5)), *OF_FLIPS)


def test_sessions_of_exchanges(tmp_path, monkeypatch):
    monkeypatch.setenv("S2SQUANT_CACHE", str(tmp_path))
    exchange_sessions.cache_clear()
    right = exchange_sessions("XNYS")

    def read(_: Path) -> object:
        exchange_sessions.cache_clear()
        return exchange_sessions("XNYS").tobytes()

    (path,) = (tmp_path / "calendars").iterdir()
    said = flips([path], read, times(30, 5))
    exchange_sessions.cache_clear()
    assert read(path) == right.tobytes()
    tell("calendars", said, "without effect")


def test_a_night_that_goes_on(tmp_path, monkeypatch):
    """Anything that a killed night left, its prices, weights and ledger among it: refused, told, or the same record."""
    (tmp_path / "whole" / "data").mkdir(parents=True)
    with at_yahoo(tmp_path / "whole", monkeypatch, "2025-11-18") as yahoo:
        spec = cheap(tiny(Path(), "AAA", "BBB"), ["historical_simulation", "anchor"])

        def night(day: str, *, to_the_end: bool) -> str:
            yahoo.fixed_today = day
            with open_night(
                spec, scheduled=at_close(day), clock=Clock(at_close(day)), workers=0, fetching=HASTY
            ) as run:
                for _ in run.execute_stages():
                    if not to_the_end:
                        return "killed"
                done = run.finish()
                return done.message if done.status != "done" else ""

        root = tmp_path / "whole"
        monkeypatch.setenv("S2SQUANT_LEDGER", f"sqlite:///{root}/data/ledger.sqlite")
        night("2025-11-18", to_the_end=True)
        night("2025-11-19", to_the_end=False)
        for ledger in root.rglob("ledger.sqlite"):
            file = sqlite3.connect(ledger)
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            file.close()
        left = [
            p
            for p in sorted(root.rglob("*"))
            if p.is_file() and p.suffix not in (".html", ".js", ".css") and p.stat().st_size and "lock" not in p.name
        ]

        def read(_: Path) -> object:
            shutil.rmtree(tmp_path / "again", ignore_errors=True)
            shutil.copytree(root, tmp_path / "again", symlinks=True)
            monkeypatch.chdir(tmp_path / "again")
            monkeypatch.setenv("S2SQUANT_LEDGER", f"sqlite:///{tmp_path}/again/data/ledger.sqlite")
            if told := night("2025-11-19", to_the_end=True):
                raise S2squantError(told)
            record = Ledger().record(spec.name)
            if changed := Ledger().verify()[0]:
                raise S2squantError(changed[0])
            names = [name for name in record.columns if name not in ("issued_at", "scored_at", "entered_at")]
            return record[names].to_json()

        tell("night that goes on", flips(left, read, times(60, 3)), *OF_FLIPS)
