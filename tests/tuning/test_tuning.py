"""The search: an optimum is found, later prices change nothing, what was finished stays, spaces are refused early."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest

from s2squant.cli.app import main
from s2squant.config.files import make_experiment, validated
from s2squant.config.tuning import Tuning
from s2squant.errors import CallerError, ConfigError
from s2squant.runs.plan import make_plan
from s2squant.tuning.results import HeldOut, sentence_of
from s2squant.tuning.search import Search, open_search
from s2squant.tuning.space import candidate, models_behind, read_space, reduced, space_of
from s2squant.tuning.split import split
from tests.worlds.runs import COMMAND, environment, options, stock_days, write_prices

LR = "forecasters.seq2seq.pooled.lr"
HIDDEN = "forecasters.seq2seq.encoder.hidden"
CELL = "forecasters.seq2seq.encoder.cell"
WALK = {"horizon": 3, "cutoffs": 24, "every": 5, "refit_every": 40, "min_train": 600}
SMALL = {
    "anchor": {"steps": 3},
    "historical_simulation": {"paths": 128},
    "seq2seq": {
        "encoder": {"hidden": 4},
        "decoder": {"width": 4},
        "training": {"chunk": 60, "warm": 20, "positions": 4},
        "pooled": {"steps": 2, "batch": 2, "seeds": 1},
    },
}


def raw(prices, **changes):
    return {
        "universe": {"source": f"csv:{prices}"},
        "walk": WALK,
        "forecasters": SMALL | {"models": ["historical_simulation", "anchor", "seq2seq_pooled"]},
        "verdict": {"recommended": "seq2seq_pooled"},
        **changes,
    }


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning") / "prices"
    for seed, ticker in enumerate(["AAA", "BBB"]):
        write_prices(folder, ticker, stock_days(), seed)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2SQUANT_TRIALS", str(tmp_path / "trials.sqlite"))
    return tmp_path


def search_for(prices, place, *, trials=4, space=None, name="one", **more):
    tuning = Tuning(trials=trials, study=name, space=space or {LR: "log:1e-4:1e-1"}, **more)
    return open_search(make_experiment(raw(prices)), tuning, workers=0, studies=place / "studies")


def run(prices, place, **more):
    with search_for(prices, place, **more) as search:
        while search.step() is not None:
            pass
        return search.finished


def told(tried):
    return [(one.values, one.skills, one.ending) for one in tried]


@pytest.fixture
def stand_in(monkeypatch):
    """A trial's skill is read off its settings: best where lr = 1e-2 and the cell is a gru; four folds."""
    seen = SimpleNamespace(count=0, stop=-1)

    def score(self, wanted, run_id, is_hopeless):
        if seen.count == seen.stop:
            seen.stop = -1
            raise KeyboardInterrupt
        seen.count += 1
        net = wanted.forecasters.seq2seq
        skill = -abs(np.log10(net.pooled.lr) + 2) + 0.1 * (net.encoder.cell == "gru")
        skills = []
        for step in range(len(self.parts.search.steps)):
            skills.append(float(skill))
            if is_hopeless(step, skill):
                return "pruned", skills, "hopeless"
        return "done", skills, ""

    monkeypatch.setattr(Search, "_score", score)
    return seen


def test_a_planted_optimum_is_found(prices, place, stand_in):
    space = {LR: "log:1e-5:1", CELL: "choice:lstm,gru"}
    tried = run(prices, place, trials=24, space=space, startup=6)
    assert len(tried) == 24
    assert tried[0].is_default
    assert tried[0].values == {LR: 2e-3, CELL: "lstm"}
    best = max((one for one in tried if one.ending == "done"), key=lambda one: one.skill)
    assert 10**-2.4 < best.values[LR] < 10**-1.6
    assert best.values[CELL] == "gru"
    assert any(one.ending == "pruned" and len(one.skills) < 2 for one in tried)


def test_an_interrupted_search_comes_to_the_same_trials(prices, place, stand_in):
    whole = run(prices, place, trials=7, startup=3)
    for stop in (0, 5):
        stand_in.count, stand_in.stop = 0, stop
        name = f"cut-{stop}"
        with pytest.raises(KeyboardInterrupt):
            run(prices, place, trials=7, startup=3, name=name)
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{place}/studies/{name}.sqlite")
        assert [t.state.name for t in study.trials].count("FAIL") == 1
        assert stand_in.count == stop
        assert told(run(prices, place, trials=7, startup=3, name=name)) == told(whole)
        assert stand_in.count == 7  # what was finished was not done again


def test_a_running_trial_of_a_dead_process_is_failed_and_done_again(prices, place, stand_in):
    whole = run(prices, place, trials=4)
    with search_for(prices, place, trials=4, name="dead") as search:
        search.step()
        search._study.ask(search._distributions)  # and then the process is killed
    assert told(run(prices, place, trials=4, name="dead")) == told(whole)
    study = optuna.load_study(study_name="dead", storage=f"sqlite:///{place}/studies/dead.sqlite")
    assert sorted(t.state.name for t in study.trials) == ["COMPLETE"] * 4 + ["FAIL"]


def test_a_study_of_other_settings_or_in_use_is_refused(prices, place, stand_in):
    with search_for(prices, place), pytest.raises(CallerError, match="another --study"):
        search_for(prices, place)
    with pytest.raises(CallerError, match=r"different run .*another --study"):
        search_for(prices, place, space={LR: "log:1e-4:1"})
    with search_for(prices, place, trials=9) as search:  # more trials are the same study
        assert search.finished == ()
    (place / "studies" / "torn.sqlite").write_bytes(b"not a database, and long enough to be seen as none" * 4)
    with pytest.raises(CallerError, match=r"torn\.sqlite.*another --study"):
        search_for(prices, place, name="torn")


def test_settings_that_do_not_go_together_end_a_trial_with_the_reason(prices, place, stand_in):
    tried = run(prices, place, trials=6, space={"forecasters.seq2seq.training.positions": "int:4:1000"}, startup=6)
    refused = [one for one in tried if one.ending == "refused"]
    assert refused
    assert all("positions do not fit" in one.reason for one in refused)
    assert len(tried) == 6


def test_time_is_up(prices, place, stand_in):
    with search_for(prices, place, timeout=1e-9) as search:
        assert search.step() is None
        with pytest.raises(ConfigError, match="raise --timeout"):
            search.finish()


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        ("walk.horizon=int:5:10", "only settings of forecasters"),
        ("forecasters.seq2seq.pooled.ir=log:1e-4:1e-2", "did you mean 'lr'"),
        ("forecasters.seq2seq.pooled=log:1e-4:1e-2", "name one of them"),
        ("forecasters.seq2seq.pooled.lr.x=0:1", "is a value, not a table"),
        ("forecasters.models=choice:anchor,blend", "no setting to search"),
        ("forecasters.seq2seq.per_ticker.lr=log:1e-4:1e-2", "seq2seq_pooled does not depend on it"),
        ("forecasters.historical_simulation.window=int:50:500", "does not depend on it"),
        (f"{LR}=log:0:1", "above 0"),
        (f"{LR}=1:0", "the first number is the lower"),
        (f"{LR}=0:nan", "the first number is the lower"),
        (f"{LR}=0:1", "greater than 0"),
        (f"{LR}=int:1:2", "no whole number"),
        (f"{LR}=low", "write it as LOW:HIGH"),
        (f"{HIDDEN}=8:64", "a whole number"),
        (f"{HIDDEN}=int:8.5:64", "whole ends"),
        (f"{HIDDEN}=int:0:64", "0 is not possible"),
        (f"{CELL}=choice:lstm,cnn", '"cnn" is not possible'),
        (f"{CELL}=choice:lstm", "two or more"),
        (f"{CELL}", "write it as in"),
    ],
)
def test_a_space_is_refused_with_one_line(space, complaint):
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as error:
        space_of(make_experiment(raw("p")), validated(Tuning, {"space": read_space([space])}, where="tuning"))
    assert complaint in str(error.value)


def test_the_command_line_says_a_mistake_in_one_line(place, capsys):
    assert main(["tune", "--space", "walk.every=int:1:5"]) == 2
    assert main(["tune", "--space", f"{LR}=log:0:1"]) == 2
    assert main(["tune", "--study", "../away"]) == 2
    assert main(["tune", "--holdout", "1.5"]) == 2
    (place / "search.toml").write_text('trials = 3\n[space]\n"walk.every" = "int:1:5"\n')
    assert main(["tune", "--tuning", "search.toml"]) == 2
    (place / "search.toml").write_text("trails = 3\n")
    assert main(["tune", "--tuning", "search.toml"]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert len(found.err.splitlines()) == 6
    assert "did you mean 'trials'" in found.err
    assert not (place / "data").exists()


def test_a_reference_that_would_move_is_no_measure():
    experiment = make_experiment(raw("p", verdict={"reference": "anchor", "recommended": "seq2seq_pooled"}))
    with pytest.raises(ConfigError, match="measures nothing"):
        space_of(experiment, Tuning(space={"forecasters.anchor.stride": "int:2:5"}))
    assert not any(key.startswith("forecasters.anchor") for key in space_of(experiment, Tuning()))


def test_what_a_model_needs_and_no_more():
    whole = make_experiment({})
    assert models_behind("blend", whole) == ("gjr_shrunk", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend")
    assert models_behind("garch_t", whole) == ("garch_t",)
    changed = candidate(whole, {"forecasters.garch_t.window": 999, "forecasters.seq2seq.pooled.lr": 0.01})
    assert reduced(changed, "anchor") == reduced(whole, "anchor")
    assert reduced(changed, "blend") != reduced(whole, "blend")
    assert set(space_of(whole, Tuning())) > {LR, HIDDEN, "forecasters.anchor.stride"}


def test_searched_and_held_out_cutoffs_lie_a_horizon_apart(prices):
    experiment = make_experiment(raw(prices))
    plan = make_plan(experiment)
    parts = split(plan, 1 / 3, experiment.walk)
    cutoffs = np.concatenate([f.cutoffs for f in plan.folds["XNYS"]])
    assert parts.first == cutoffs[16]
    assert parts.held_out == 8
    panel = parts.search.panels["XNYS"]
    assert panel.dates.max() == parts.first
    days = panel.calendar_dates()
    last = int(np.searchsorted(days, parts.search.cutoffs[-1]))
    assert last + experiment.walk.horizon <= len(days) - 1
    assert np.array_equal(np.union1d(parts.search.cutoffs, parts.rest.cutoffs), cutoffs)
    assert not np.intersect1d(parts.search.cutoffs, parts.rest.cutoffs).size
    with pytest.raises(ConfigError, match="too few to test"):
        split(plan, 0.1, experiment.walk)


def test_what_comes_after_the_boundary_does_not_reach_the_search(prices, place):
    changed = place / "changed"
    changed.mkdir()
    experiment = make_experiment(raw(prices))
    first = split(make_plan(experiment), 1 / 3, experiment.walk).first
    for path in prices.glob("*.csv"):
        table = pd.read_csv(path, parse_dates=["Date"])
        late = table["Date"] > first
        noise = np.exp(np.random.default_rng(5).normal(0, 0.02, late.sum()).cumsum())
        table.loc[late, "Close"] = table.loc[~late, "Close"].iloc[-1] * noise
        table.to_csv(changed / path.name, index=False)
    results = []
    for name, folder in (("as-it-was", prices), ("scrambled", changed)):
        results.append(told(run(folder, place, trials=2, name=name, space={LR: "log:1e-3:1", HIDDEN: "int:2:6"})))
    assert results[0] == results[1]
    assert len({skills[-1] for _, skills, _ in results[0]}) == 2


def test_a_whole_search_leaves_its_trials_its_best_and_its_verdict(prices, place):
    with search_for(prices, place, trials=3, prune=False, space={LR: "log:1e-3:1"}) as search:
        while search.step() is not None:
            pass
        folder, tuned = search.finish()
        first = search.finish()[1]
    assert first.held_out == tuned.held_out
    found = json.loads((folder / "tuning.json").read_text())
    assert found["held_out_cutoffs"] == 8
    assert [row["n"] for row in found["held_out"]] == [8] * len(found["held_out"])
    assert any(word in found["sentence"] for word in ("paid", "No evidence", "nothing better", "worse"))
    table = pd.read_parquet(folder / "trials.parquet")
    assert len(table) == len(pd.read_csv(folder / "trials.csv")) == 3
    best = make_experiment(json.loads((folder / "best.json").read_text()))
    chosen = table.sort_values("skill")[LR].iloc[-1]
    assert best.forecasters.seq2seq.pooled.lr == (chosen if tuned.best_number is not None else 2e-3)
    page = (folder / "index.html").read_text()
    assert page.index("had not seen") < page.index("History of the search")
    assert (folder / "manifest.json").exists()
    with sqlite3.connect(place / "trials.sqlite") as ledger:
        assert ledger.execute("select count(*) from trials").fetchone() == (3,)  # each configuration counts once
    assert tuned.configurations == 3
    assert len(list((place / "studies" / "one" / "anchors").iterdir())) == 1  # its settings were not searched
    run(prices, place, trials=4, prune=False, space={LR: "log:1e-3:1"})
    with sqlite3.connect(place / "trials.sqlite") as ledger:
        assert ledger.execute("select count(*) from trials").fetchone() == (4,)


def held(word, test="EWC Diebold-Mariano, t(3)"):
    return HeldOut("tuned", "default", 0.01, -0.01, 0.03, 0.2, 20, 10.0, 1.0, 1.01, word, test)


@pytest.mark.parametrize(
    ("row", "looks", "starts", "has"),
    [
        (None, 1, "Tuning found nothing better", "as it was"),
        (held("better"), 1, "Tuning paid", "+1.00 %, 95 % interval -1.00 to +3.00 %"),
        (held("worse"), 1, "Tuning made it worse", "p = 0.200"),
        (held("no evidence"), 3, "No evidence that tuning helped", "looked at 3 times"),
        (held("no evidence", "not tested: few"), 1, "No evidence", "not tested: few"),
    ],
)
def test_the_sentence(row, looks, starts, has):
    word, said = sentence_of(row, best=4, tried=9, first="2020-01-01", cutoffs=20, looks=looks)
    assert said.startswith(starts)
    assert has in said
    assert word == (row.word if row else "nothing better")


@pytest.mark.slow
def test_a_killed_search_goes_on_at_the_command_line(prices, tmp_path):
    command = [*COMMAND, "tune", "--trials", "3", "--space", f"{LR}=log:1e-3:1", "--workers", "1", "--json"]
    command += options(raw(prices))
    env = environment() | {"S2SQUANT_TRIALS": str(tmp_path / "trials.sqlite")}
    first = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, start_new_session=True)

    def finished():
        found = list(tmp_path.glob("data/tuning/*.sqlite"))
        try:
            query = "select count(*) from trials where state = 'COMPLETE'"
            return sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True).execute(query).fetchone()[0]
        except (IndexError, sqlite3.Error):
            return 0

    end = time.monotonic() + 120
    while finished() < 1 and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert 1 <= finished() < 3
    again = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert len(told["trials"]) == 3
    assert Path(tmp_path / told["folder"] / "best.json").exists()
