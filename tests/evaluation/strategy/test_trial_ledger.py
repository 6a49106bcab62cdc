"""The trial ledger: what counts once, what counts twice, many writers at once, and files that cannot be used."""

import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.config.files import make_experiment
from s2squant.evaluation.strategy import trial_ledger as trials
from s2squant.evaluation.strategy.trial_ledger import Trial, ledger_path, record
from s2squant.prices.fetch import FetchRequest, side_by_side
from s2squant.study import backtest
from tests.worlds.runs import BARS, TINY, stock_days, write_prices

ROOT = Path(__file__).parents[3]


def trial(seed=0, *, source="sample", tickers=("AAPL", "MSFT"), name="backtest", ratio=0.05, **walk):
    experiment = make_experiment({"name": name, "seed": seed, "universe": {"source": source}, "walk": walk})
    days = pd.bdate_range("2020-01-01", periods=4)
    returns = pd.Series([0.001, -0.002, 0.0, ratio], index=days)
    return Trial(
        experiment, tickers, f"run{seed}", f"2026-01-{seed + 1:02}T00:00:00Z", "no evidence", {"all": ratio}, returns
    )


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "data" / "trials.sqlite"


def test_a_configuration_counts_once_with_its_newest_figures(ledger):
    assert record(trial(), ledger).count == 1
    assert record(trial(1, ratio=0.01), ledger).count == 2
    again = record(trial(ratio=0.09), ledger)
    assert (again.count, again.note) == (2, "")
    assert sorted(again.ratios["all"]) == [0.01, 0.09]
    assert again.returns.shape == (4, 2)
    assert again.returns.iloc[-1].tolist() == [0.01, 0.09] or again.returns.iloc[-1].tolist() == [0.09, 0.01]
    with sqlite3.connect(ledger) as database:
        assert database.execute("select runs, first_run, last_run from trials order by runs").fetchall() == [
            (1, "run1", "run1"),
            (2, "run0", "run0"),
        ]


def test_returns_within_the_day_are_kept_as_sums_of_days(ledger):
    bars = pd.to_datetime(["2024-03-01 14:30", "2024-03-01 20:30", "2024-03-04 14:30"])
    hours = replace(trial(), returns=pd.Series([0.01, -0.002, 0.004], index=bars))
    kept = record(hours, ledger).returns.iloc[:, 0]
    assert kept.to_dict() == {pd.Timestamp("2024-03-01"): 0.008, pd.Timestamp("2024-03-04"): 0.004}


def test_what_is_another_configuration_and_what_another_universe(ledger):
    record(trial(), ledger)
    assert record(trial(name="another name"), ledger).count == 1
    assert record(trial(horizon=10), ledger).count == 2  # any setting is another look
    assert record(trial(tickers=("MSFT", "AAPL")), ledger).count == 1 + 1  # in whatever order
    assert record(trial(tickers=("AAPL",)), ledger).count == 1
    assert record(trial(source="yfinance"), ledger).count == 1
    early, late = (make_experiment({"universe": {"start": day}}) for day in ("2010-01-01", "2015-01-01"))
    one, other = (Trial(e, ("A",), "r", "", "", {}, trial().returns) for e in (early, late))
    assert one.universe == other.universe
    assert one.configuration != other.configuration  # choosing the dates is choosing too


def test_hours_are_another_universe_than_days():
    def universe(interval):
        return replace(trial(), experiment=make_experiment({"universe": {"interval": interval}})).universe

    assert universe("") == universe("1d") == trial().universe
    assert len({universe(interval) for interval in ("1d", "1h", "15m", "1wk")}) == 4


def test_the_moment_a_run_notes_is_no_setting_and_one_that_somebody_gives_is():
    def configuration(**universe):
        found = make_experiment({"universe": {"source": "yfinance", **universe}})
        return Trial(found, ("A",), "r", "", "", {}, trial().returns).configuration

    early, late = "2026-01-02T00:00:00Z", "2026-02-03T00:00:00Z"
    plain = configuration()
    assert configuration(as_of=early, pinned=early) == configuration(as_of=late, pinned=late) == plain
    assert configuration(store="elsewhere/prices") == plain
    assert len({plain, configuration(as_of=early), configuration(as_of=late)}) == 3
    assert configuration(as_of=late, pinned=early) == configuration(as_of=late)  # given over one that was noted


def test_a_folder_is_the_same_universe_from_anywhere(tmp_path, monkeypatch):
    full = trial(source=f"csv:{tmp_path}/prices").universe
    monkeypatch.chdir(tmp_path)
    assert trial(source="csv:prices").universe == full
    assert trial(source="parquet:prices").universe != full


WRITER = """
import sys
from pathlib import Path
from tests.evaluation.strategy.test_trial_ledger import trial
from s2squant.evaluation.strategy.trial_ledger import record
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 5):
    for again in range(3):
        assert record(trial(seed), Path(sys.argv[1])).note == ""
"""


@pytest.mark.slow
def test_many_writers_at_once(ledger):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(ledger), str(first)], env=environment, cwd=ROOT)
        for first in (0, 3)  # some configurations are written by two of them
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert record(trial(0), ledger).count == 8
    with sqlite3.connect(ledger) as database:
        assert database.execute("select sum(runs) from trials").fetchone() == (2 * 15 + 1,)


def test_no_ledger_is_a_note(monkeypatch):
    alone = record(trial(), None)
    assert alone.count == 1
    assert "no trial ledger" in alone.note
    monkeypatch.setenv("S2SQUANT_TRIALS", "")
    assert ledger_path() is None
    monkeypatch.setenv("S2SQUANT_TRIALS", "/x/y")
    assert ledger_path() == Path("/x/y")
    monkeypatch.delenv("S2SQUANT_TRIALS")
    assert ledger_path() == Path("data/trials.sqlite")


def test_a_file_where_the_folder_should_be_is_a_note(tmp_path):
    (tmp_path / "data").write_text("in the way")
    found = record(trial(), tmp_path / "data" / "trials.sqlite")
    assert found.count == 1
    assert "could not be read" in found.note


def test_a_damaged_ledger_is_a_note_and_is_left_alone(ledger):
    ledger.parent.mkdir()
    ledger.write_bytes(b"not a database at all" * 100)
    found = record(trial(), ledger)
    assert (found.count, found.ratios) == (1, {"all": (0.05,)})
    assert "not a database" in found.note
    assert ledger.read_bytes().startswith(b"not a database")


def test_a_ledger_of_another_form_is_a_note(ledger):
    ledger.parent.mkdir()
    with sqlite3.connect(ledger) as database:
        database.execute("create table trials (something integer)")
    assert "could not be" in record(trial(), ledger).note


def test_a_ledger_that_cannot_be_written_still_counts(ledger, monkeypatch):
    record(trial(1), ledger)

    def refused(engine, entry):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(trials, "_write", refused)
    found = record(trial(2), ledger)
    assert found.count == 2
    assert "Read-only file system" in found.note
    assert "this run is not in it" in found.note


@pytest.mark.slow
def test_a_store_that_gained_bars_is_one_trial_and_the_previous_run_is_found(tmp_path, monkeypatch):
    """Each run notes another as_of; asked for, however, is the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2SQUANT_TRIALS", str(tmp_path / "trials.sqlite"))
    forecasters = TINY["forecasters"] | {"models": ["historical_simulation", "random_walk"]}
    asked = make_experiment(
        TINY
        | {"universe": {"source": "store:kept"}, "forecasters": forecasters, "verdict": {"recommended": "random_walk"}}
    )
    found = []
    for bars in (BARS - 10, BARS):
        for seed, ticker in enumerate("AB"):
            write_prices(tmp_path / "csv", ticker, stock_days(), seed, np.s_[:bars])
        side_by_side(FetchRequest(("A", "B"), Path("kept"), source="csv:csv"), lambda _: None)
        found.append(backtest(asked, workers=0)[1])
        time.sleep(1.1)  # a version of the store, and a run, is named by the second
    first, second = found
    assert first.experiment.universe.as_of != second.experiment.universe.as_of
    assert (first.previous, second.previous) == ("", first.run_id)
    assert len(second.changes) > 0
    assert set(second.performance["trials"]) == {1}
    given = asked.universe.model_copy(update={"as_of": first.experiment.universe.as_of})
    chosen = backtest(asked.model_copy(update={"universe": given}), workers=0)[1]
    assert chosen.previous == ""
    assert set(chosen.performance["trials"]) == {2}
