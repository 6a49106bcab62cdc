"""The ablation of covariates: what is announced helps the models that read it, and nothing else is claimed."""

import json

import numpy as np
import pandas as pd
import pytest

from s2squant.cli.app import main
from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError
from s2squant.tuning.ablation import ALL, Ablated, needed, open_ablation, variants_of
from s2squant.tuning.ablation_page import sentence
from tests.worlds.runs import stock_days, write_prices

WALK = {"horizon": 2, "cutoffs": 70, "every": 4, "refit_every": 400, "min_train": 600}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One ticker, the size of whose moves is announced, and a weekday that says nothing."""
    folder, days = tmp_path_factory.mktemp("ablation"), stock_days()
    write_prices(folder / "prices", "ABC", days, 3)
    close = pd.read_csv(folder / "prices" / "ABC.csv")["Close"].to_numpy()
    moves = np.abs(np.diff(np.log(close), prepend=np.log(close[0])))
    noise = np.exp(0.2 * np.random.default_rng(0).standard_normal(len(days)))
    pd.DataFrame({"date": days, "size": (moves + 0.001) * noise}).to_csv(folder / "announced.csv", index=False)
    return folder


def experiment(folder, **changes):
    announced = {"name": "announced", "file": f"csv:{folder / 'announced.csv'}", "column": "size", "kind": "future"}
    return make_experiment(
        {
            "universe": {"source": f"csv:{folder / 'prices'}"},
            "walk": WALK,
            "forecasters": {
                "models": ["historical_simulation", "ewma_t", "ridge", "field"],
                "historical_simulation": {"paths": 128},
                "ewma_t": {"paths": 128},
            },
            "verdict": {"recommended": "ridge"},
            "covariates": [announced, {"name": "weekday", "calendar": "weekday"}],
        }
        | changes
    )


@pytest.fixture(scope="module")
def ablated(world):
    with open_ablation(experiment(world), world / "out", workers=0) as ablation:
        results = [result for _, result in ablation.execute()]
        assert len(results) == ablation.jobs
        assert {result.status for result in results} == {"done"}
        return ablation.finish()


def test_a_covariate_that_tells_is_found_and_one_that_does_not_is_not(ablated):
    whole = ablated.gains[ablated.gains["step"] == "all"].set_index(["model", "left_out"])
    assert set(whole.index) == {(m, out) for m in ("ridge", "field") for out in ("announced", "weekday", ALL)}
    for left_out in ("announced", ALL):
        assert whole.loc[("ridge", left_out), "finding"] == "helps"
        assert whole.loc[("ridge", left_out), "low"] > 0
    assert whole.loc[("ridge", "weekday"), "finding"] == "no evidence"
    assert (whole["p_adjusted"] >= whole["p"]).all()
    steps = ablated.gains[ablated.gains["step"] != "all"]
    assert set(steps["step"]) == {"1", "2"}
    assert "Ridge regression gains from announced: +" in sentence(ablated)
    assert sentence(ablated).endswith("No evidence that weekday helps any model.")


def test_what_the_fitted_model_leans_on_agrees(ablated):
    whole = ablated.importance[ablated.importance["step"] == "all"].set_index(["model", "covariate"])
    assert whole.loc[("ridge", "announced"), "finding"] == "leans on it"
    assert whole.loc[("ridge", "weekday"), "finding"] == "no evidence"


def test_a_useless_covariate_costs_ridge_next_to_nothing(ablated):
    row = ablated.gains[(ablated.gains["left_out"] == "weekday") & (ablated.gains["step"] == "all")].iloc[0]
    assert abs(row["effect"]) < 0.001, "read at no step where it does not pay, out of block"


def test_only_models_that_read_run_and_those_they_stand_on(world):
    models = ["historical_simulation", "gjr_shrunk", "garch_t", "anchor", "seq2seq_pooled", "blend"]
    chosen = experiment(world, forecasters={"models": models}, verdict={"recommended": "blend"})
    assert set(needed(chosen).forecasters.models) == {"gjr_shrunk", "anchor", "seq2seq_pooled", "blend"}
    one = chosen.model_copy(update={"covariates": chosen.covariates[:1]})
    assert [variant.left_out for variant in variants_of(one)] == ["", ALL], "with one, leaving it out is all of them"
    with pytest.raises(ConfigError, match="has none; add a table"):
        needed(chosen.model_copy(update={"covariates": ()}))
    deaf = experiment(world, forecasters={"models": models[:2]}, verdict={"recommended": "gjr_shrunk"})
    with pytest.raises(ConfigError, match="no model that runs reads a covariate"):
        needed(deaf)


@pytest.mark.slow
def test_the_command(world, tmp_path, capsys):
    (tmp_path / "e.json").write_text(experiment(world).to_json())
    assert main(["ablate", str(tmp_path / "e.json"), "--out", str(tmp_path / "out"), "--workers", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "gains from announced" in said["sentence"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "What did the covariates add" in page
    assert said["sentence"].split(":")[0] in page
    assert not (tmp_path / "out" / "work").exists()
    assert main(["ablate", "--set", "covariates=[]", "--out", str(tmp_path / "no")]) == 2
    assert "has none" in capsys.readouterr().err


def test_what_could_not_be_tested_is_said(ablated):
    nothing = ablated.gains.assign(finding="not tested", reason="4 cutoffs, 8 needed")
    untested = Ablated(**{**vars(ablated), "gains": nothing})
    assert sentence(untested) == "Not tested: 4 cutoffs, 8 needed."
