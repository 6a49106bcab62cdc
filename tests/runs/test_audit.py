"""The audit of a run and its command: honest runs pass, leaks are named, nothing is left behind."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import s2squant.runs.audit as auditing
from s2squant.cli import leak_audit
from s2squant.cli.app import main
from s2squant.forecasters.catalog import make
from s2squant.runs import jobs as work
from s2squant.series.forecast import Forecast
from s2squant.study import backtest
from tests.worlds.runs import FEW, TINY, experiment, few, options, stock_days, write_prices


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "prices"
    for seed, ticker in enumerate("ABC"):
        write_prices(folder, ticker, stock_days(), seed)
    return folder


@dataclass(frozen=True)
class Peeking:
    """A forecaster that adds a millionth of the next return."""

    inner: object
    name: str = "random_walk"

    def fit(self, panel, rows, *, horizon, seed):
        return replace(self, inner=self.inner.fit(panel, rows, horizon=horizon, seed=seed))

    def predict(self, panel, rows):
        honest = self.inner.predict(panel, rows)
        ahead = np.minimum(rows + 1, len(panel.log_price) - 1)
        shift = 1e-6 * (panel.log_price[ahead] - panel.log_price[rows])
        return Forecast(self.name, rows, honest.quantiles_NHQ + shift[:, None, None], honest.mean_NH)

    def state(self):
        return self.inner.state()


def peeker():
    from s2squant.config.baselines import RandomWalkSpec
    from s2squant.forecasters.baselines.random_walk import RandomWalk

    return Peeking(RandomWalk(RandomWalkSpec()), "mine")


def columns(panel):
    r = np.diff(panel.log_price, prepend=panel.log_price[:1])
    return {"last": r, "next": np.r_[r[1:], 0.0]}


def broken(panel):
    raise ZeroDivisionError("no such thing")


def test_an_honest_run_passes_in_every_report(tmp_path, prices):
    kinds = ["historical_simulation", "garch_t", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend"]
    forecasters = TINY["forecasters"] | {"models": kinds}
    wanted = experiment(prices, "A", "B", forecasters=forecasters)
    folder, study = backtest(wanted, tmp_path / "run", workers=0)
    table = study.audit
    assert list(table.columns) == list(auditing.COLUMNS)
    models = list(wanted.forecasters.models)
    assert table["model"].tolist() == [*models, "probe", ""]
    assert table["check"].tolist() == ["truncation"] * len(models) + ["planted leak", "placebo"]
    assert table["outcome"].tolist() == ["passed"] * (len(models) + 1) + ["not run"], table.to_string()
    assert table["figure"].tolist()[: len(models)] == [0.0] * len(models)
    assert table["figure"].iloc[-2] > 0.2  # the planted leak's skill
    assert study.provenance["timings"]["audit"] < 60
    assert (folder / "tables" / "audit.parquet").exists()


def test_fits_are_made_again_as_workers_make_them(tmp_path, prices, monkeypatch):
    """One thread, whatever the process has: a GARCH of hours ended in another optimum with two."""
    seen = set()

    def watched(*given):
        seen.update(library["num_threads"] for library in threadpool_info())
        return make(*given)

    monkeypatch.setattr(auditing, "make", watched)
    with threadpool_limits(2):
        backtest(experiment(prices), tmp_path / "run", workers=0)
        assert 2 in {library["num_threads"] for library in threadpool_info()}, "put back"
    assert seen == {1}


@pytest.mark.slow
def test_a_baseline_that_was_fitted_on_the_future_is_named(tmp_path, prices, monkeypatch):
    """What it learned from later bars reads nothing ahead when it forecasts: only fitting it again tells."""
    models = ["historical_simulation", "garch_t", "ridge"]
    changes = {"forecasters": {"models": models}, "verdict": {"recommended": "garch_t"}}
    wanted = experiment(prices, "A", "B", **changes)
    honest = backtest(wanted, tmp_path / "honest", workers=0)[1].audit.set_index("model")
    assert honest["outcome"].tolist() == ["passed"] * 4 + ["not run"]
    assert honest.loc["ridge", "sentence"].endswith("fitted again up to the fit date it forecasts as in the run")

    class Whole(work.Panel):
        """A panel that forgets to end at the fit date."""

        def until(self, day):
            return self

    real = work._fits
    monkeypatch.setattr(
        work, "_fits", lambda i, j, panel, fold, failing: real(i, j, Whole(panel.histories), fold, failing)
    )
    leaky = backtest(wanted, tmp_path / "leaky", workers=0)[1].audit.set_index("model")
    assert leaky.loc[["garch_t"], "outcome"].tolist() == ["failed"]
    assert "than when it is fitted on no bar after the fit date: by " in leaky.loc["garch_t", "sentence"]


def test_a_leaky_model_of_a_run_is_named(tmp_path, prices, monkeypatch):
    make = auditing.make
    monkeypatch.setattr(
        auditing, "make", lambda name, using: Peeking(make(name, using)) if name == "random_walk" else make(name, using)
    )
    table = backtest(few(prices), tmp_path / "run", workers=0)[1].audit.set_index("model")
    assert table["outcome"].tolist() == ["passed", "failed", "passed", "not run"]
    assert "The random walk reads past its cutoff: its forecast of " in table.loc["random_walk", "sentence"]


@pytest.mark.slow
def test_an_audit_that_cannot_be_carried_out_does_not_fail_the_run(tmp_path, prices, monkeypatch):
    monkeypatch.setattr(auditing, "make", lambda name, using: 1 / 0)
    study = backtest(few(prices), tmp_path / "run", workers=0)[1]
    assert study.status == "done"
    again = backtest(few(prices), tmp_path / "again", workers=0)[1].audit
    assert again.equals(study.audit)  # the cutoffs are random, but not by the clock
    assert study.audit["outcome"].tolist() == ["not run", "not run", "passed", "not run"]
    assert "division by zero" in study.audit["sentence"].iloc[0]


@pytest.fixture
def in_process(monkeypatch, tmp_path):
    """The command without worker processes, its temporary folders below `tmp_path`, and no ledger to write."""
    run = leak_audit.carry_out
    monkeypatch.setattr(leak_audit, "carry_out", lambda wanted, out, workers: run(wanted, out, 0))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("S2SQUANT_TRIALS", str(tmp_path / "trials.sqlite"))
    return tmp_path


@pytest.mark.slow
def test_the_command_says_sound_and_leaves_nothing_behind(prices, capsys, in_process):
    assert main(["audit", "--source", f"csv:{prices}", *options(FEW)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "audit: sound: 4 checks passed"
    assert [line.split()[0] for line in out[:-1]] == ["passed"] * 4
    assert "on random walks the verdict is 'no evidence'" in out[3]
    assert list(in_process.iterdir()) == []  # neither a folder nor a trial


@pytest.mark.slow
def test_the_command_names_a_users_leaks(prices, capsys, in_process):
    mine = ["--forecaster", f"{__name__}:peeker", "--feature", f"{__name__}:columns", "--feature", f"{__name__}:broken"]
    assert main(["audit", "--source", f"csv:{prices}", *options(FEW), *mine, "--no-placebo", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    outcome = {c["model"].removeprefix(f"{__name__}:"): c for c in found["checks"]}
    assert found["sound"] is False
    assert outcome["random_walk"]["outcome"] == outcome["columns.last"]["outcome"] == "passed"
    for name, words in {
        "peeker": "peeker reads past its cutoff: its forecast of ",
        "columns.next": "column next of",
        "broken": "raised ZeroDivisionError: no such thing",
    }.items():
        assert outcome[name]["outcome"] == "failed"
        assert words in outcome[name]["sentence"]
    assert outcome[""]["outcome"] == "not run"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--forecaster", "nowhere"], "nowhere: write it as package.module:function"),
        (["--forecaster", "nowhere.at.all:f"], "nowhere.at.all:f: cannot be loaded (ModuleNotFoundError"),
        (["--feature", "math:pi"], "math:pi: is float, not a function"),
        (["--source", "csv:/does/not/exist"], "/does/not/exist"),
    ],
)
def test_mistakes_are_one_line(given, complaint, capsys):
    assert main(["audit", *given]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1


def test_installed_plugins_are_found(prices, capsys, in_process, monkeypatch):
    from importlib.metadata import EntryPoint

    from s2squant.config import own

    mine = EntryPoint("momentum", f"{__name__}:columns", own.FEATURES)
    monkeypatch.setattr(own, "entry_points", lambda group: [mine] if group == own.FEATURES else [])
    assert main(["audit", "--source", f"csv:{prices}", "--tickers", "A", *options(FEW), "--no-placebo"]) == 3
    assert "column next of momentum reads ahead" in capsys.readouterr().out


def test_the_help_says_what_the_exit_status_means(capsys):
    assert main(["audit", "--help"]) == 0
    assert "3 a leak was found" in capsys.readouterr().out
