"""The headline on shuffled returns: in a whole run, from its file, and where there is nothing to say."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from s2squant.evaluation.wording import after_shuffling
from s2squant.runs import shuffled as nothing
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs
from s2squant.runs.plan import make_plan
from s2squant.runs.study_files import load_study
from s2squant.series.panel import Panel
from s2squant.study import backtest
from tests.worlds.runs import FEW, TINY, experiment, stock_days, write_prices

MODELS = {
    "forecasters": TINY["forecasters"]
    | {"models": ["historical_simulation", "gjr_shrunk", "anchor", "blend"], "gjr_shrunk": {"paths": 128}},
    "walk": TINY["walk"] | {"cutoffs": 12, "every": 10},
}


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shuffled") / "prices"
    for seed, ticker in enumerate("AB"):
        write_prices(folder, ticker, stock_days(), seed)
    return folder


def inputs_of(wanted, folder):
    plan = make_plan(wanted)
    return Inputs(wanted, plan.panels, plan.folds, plan.sessions, RunFolder(folder / "no-run"))


def rival(name="gjr_shrunk", **settings):
    return MODELS | {"verdict": {"rival": name} | settings}


@pytest.mark.slow
def test_a_run_says_it_writes_it_and_keeps_it(tmp_path, prices, monkeypatch):
    monkeypatch.setenv("S2SQUANT_TRIALS", str(tmp_path / "data" / "trials.sqlite"))
    wanted = experiment(prices, **MODELS)
    folder, study = backtest(wanted, tmp_path / "run", workers=0)
    row = study.shuffled.iloc[0]
    assert tuple(study.shuffled.columns) == nothing.COLUMNS
    assert (row["challenger"], row["benchmark"], row["reason"], row["without"]) == ("blend", "gjr_shrunk", "", "")
    assert (row["shuffles"], row["tickers"], row["n"]) == (nothing.SHUFFLES, 2, 12)
    assert row["location"] + row["shape"] == pytest.approx(row["effect"])
    assert row["low"] < row["effect"] < row["high"]
    assert (
        "\nWith returns shuffled over dates, where nothing can be forecast, the blend would have shown "
        in study.sentence
    )
    pd.testing.assert_frame_equal(load_study(folder).shuffled, study.shuffled, check_dtype=False)
    (kept,) = (tmp_path / "data" / "shuffled").glob("*.json")
    monkeypatch.setattr(nothing, "_compared", lambda *_: pytest.fail("it was kept"))
    inputs = inputs_of(wanted, tmp_path)
    again = nothing.shuffled_headline(inputs, ("A", "B"), kept.parent)
    pd.testing.assert_frame_equal(again, study.shuffled, check_dtype=False)
    figures = json.loads(kept.read_text())
    monkeypatch.setattr(nothing, "_compared", lambda *_: dict.fromkeys(figures, 0.5))
    kept.write_text("{")  # a damaged one is none
    assert nothing.shuffled_headline(inputs, ("A", "B"), kept.parent)["effect"].tolist() == [0.5]
    assert json.loads(kept.read_text())["effect"] == 0.5
    other = inputs_of(experiment(prices, **MODELS, seed=1), tmp_path)
    nothing.shuffled_headline(other, ("A", "B"), kept.parent)
    assert len(list(kept.parent.glob("*.json"))) == 2


@pytest.mark.parametrize(
    "changes",
    [
        rival(shuffled=False),
        rival(""),
        rival("garch_t"),  # which does not run
        rival(recommended="gjr_shrunk"),
        FEW,
        TINY | {"verdict": {"rival": "gjr_t"}},  # a blend of networks alone
    ],
)
def test_without_a_pair_nothing_is_said(tmp_path, prices, changes):
    table = nothing.shuffled_headline(inputs_of(experiment(prices, **changes), tmp_path), ("A", "B"), None)
    assert table.empty
    assert after_shuffling("A verdict.", table) == "A verdict."


def test_what_goes_wrong_is_said_and_fails_no_run(tmp_path, prices, monkeypatch):
    def breaks(*_):
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(nothing, "_compared", breaks)
    table = nothing.shuffled_headline(inputs_of(experiment(prices, **MODELS), tmp_path), ("A",), tmp_path)
    assert table["reason"].tolist() == ["no such thing"]
    assert not list(tmp_path.glob("*.json"))
    said = after_shuffling("A verdict.", table)
    assert said.endswith("\nShrunk-drift GJR-t and the blend could not be run on shuffled returns: no such thing.")


def test_another_asset_class_is_another_row(tmp_path, prices):
    wanted = experiment(prices, **MODELS)
    given = inputs_of(wanted, tmp_path).panels
    declared = {m: Panel(tuple(replace(h, declared_class="rates") for h in p.histories)) for m, p in given.items()}
    assert nothing._identity(wanted, given) == nothing._identity(wanted, inputs_of(wanted, tmp_path).panels)
    assert nothing._identity(wanted, given) != nothing._identity(wanted, declared)


def test_few_tickers_take_part_and_networks_do_not(tmp_path, prices, monkeypatch):
    monkeypatch.setattr(nothing, "MOST_TICKERS", 1)
    models = [*MODELS["forecasters"]["models"][:-1], "seq2seq_pooled", "blend"]
    wanted = experiment(prices, **MODELS | {"forecasters": MODELS["forecasters"] | {"models": models}})
    row = nothing.shuffled_headline(inputs_of(wanted, tmp_path), ("A", "B"), None).iloc[0]
    assert (row["tickers"], row["without"], row["reason"]) == (1, "seq2seq_pooled", "")
    assert "the blend without its networks would have shown " in after_shuffling("A verdict.", row.to_frame().T)


@pytest.mark.parametrize(("effect", "half", "end"), [
    (0.004, 0.002, "a gain of up to +0.60 % may be estimation noise of GJR-t, not skill."),
    (-0.004, 0.002, "no gain that could be taken for skill."),
    (0.004, np.nan, "a gain of up to +0.40 % may be estimation noise of GJR-t, not skill."),
])  # fmt: skip
def test_the_line_names_the_gain_that_is_noise(effect, half, end):
    ends = {
        f"{p}{end}": effect + sign * half
        for p in ("", "location_", "shape_")
        for end, sign in {"low": -1, "high": 1}.items()
    }
    row = {"challenger": "blend", "benchmark": "gjr_t", "effect": effect, "location": effect, "shape": 0.0, **ends}
    row |= {"shuffles": 3, "tickers": 14, "without": "", "reason": ""}
    said = after_shuffling("A verdict.", pd.DataFrame([row]))
    assert said.startswith("A verdict.\nWith returns shuffled over dates, ")
    assert "3 shuffles of 14 tickers" in said
    assert said.endswith(end)
