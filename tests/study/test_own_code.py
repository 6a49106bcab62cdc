"""A user's own models and features in whole runs: ranked with the others, or named where they fail."""

from __future__ import annotations

import importlib.util
import json

import pytest

from s2squant.cli.app import main
from s2squant.cli.screen import exit_status
from s2squant.errors import CallerError
from s2squant.runs.study_files import load_study
from s2squant.study import backtest
from tests.worlds.runs import TINY, experiment, stock_days, write_prices

HERE = "tests.worlds.own_code"
TRAILING, FALLING = f"{HERE}:Trailing", f"{HERE}:Falling"


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "prices"
    for seed, ticker in enumerate("AB"):
        write_prices(folder, ticker, stock_days(), seed)
    return folder


def own(*models, features=(), recommended="random_walk", **tables):
    return {
        "walk": TINY["walk"],
        "forecasters": {
            "models": ["historical_simulation", "random_walk", *models],
            "historical_simulation": {"paths": 128},
            "features": list(features),
            "own": {f"{HERE}:{name}": table for name, table in tables.items()},
        },
        "verdict": {"recommended": recommended, "shuffled": False},
    }


def test_an_own_model_stands_in_the_leaderboard_and_is_audited(tmp_path, prices):
    wanted = experiment(prices, base=own(TRAILING, recommended=TRAILING, Trailing={"window": 40}))
    folder, study = backtest(wanted, tmp_path / "run", workers=0)
    assert study.status == "done"
    board = study.leaderboard.set_index("model")
    assert board.loc[TRAILING, "kind"] == "own"
    assert 60 < 100 * board.loc[TRAILING, "coverage_80"] < 95
    audited = study.audit.set_index("model")
    assert audited.loc[TRAILING, "outcome"] == "passed"
    assert audited.loc[TRAILING, "sentence"].endswith("fitted again up to the fit date it forecasts as in the run")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["own"][TRAILING]) == 64
    assert manifest["failed_models"] == {}
    page = (folder / "index.html").read_text()
    assert "own_code:Trailing" in page
    assert load_study(folder).experiment == wanted


@pytest.mark.slow
def test_a_failing_own_model_is_named_and_the_run_goes_on(tmp_path, prices):
    given = own(FALLING, TRAILING)
    given["forecasters"] |= {"extra": ["anchor", "blend"], "anchor": {"steps": 5}, "blend": {"members": [FALLING]}}
    folder, written = backtest(experiment(prices, base=given), tmp_path / "run", workers=0)
    assert exit_status(written) == 3
    study = load_study(folder)
    assert study.failed_models == {FALLING: "B: ValueError: crossed: quantiles cross"}
    assert study.status == "partial"
    assert {report.status for report in study.tickers} == {"ok"}
    ranked = {"historical_simulation", "random_walk", "random_walk+aci", "anchor", "blend", TRAILING}
    assert set(study.leaderboard["model"]) == ranked
    assert FALLING not in set(study.forecasts["model"].astype(str))
    assert "crossed: quantiles cross" in (folder / "index.html").read_text()


def test_a_verdict_about_a_failing_model_is_the_callers_mistake(tmp_path, prices):
    with pytest.raises(CallerError, match=r"Falling, which is verdict.recommended, failed on B: ValueError"):
        backtest(experiment(prices, base=own(FALLING, recommended=FALLING)), tmp_path / "run", workers=0)


@pytest.mark.slow
def test_every_feature_is_audited_with_the_run(tmp_path, prices):
    leaky = own("ridge", features=[f"{HERE}:tomorrow", f"{HERE}:momentum"], momentum={"spans": [3]})
    study = backtest(experiment(prices, base=leaky), tmp_path / "run", workers=0)[1]
    audited = study.audit.set_index("model")["outcome"]
    assert audited[f"{HERE}:tomorrow.return"] == "failed"
    assert audited[f"{HERE}:momentum.sum 3"] == "passed"
    board = study.leaderboard.set_index("model")
    assert board.loc["ridge", "crps"] < 0.95 * board.loc["historical_simulation", "crps"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (own("nowhere:make"), "nowhere:make: cannot be loaded (ModuleNotFoundError"),
        (own(TRAILING, Trailing={"size": 3}), "Trailing: cannot be made (TypeError"),
        (own(features=[f"{HERE}:holes"]), "holes gap is nan for A on "),
        (own(features=[f"{HERE}:flat"]), "flat one has shape (1800, 2)"),
    ],
)
def test_what_cannot_be_used_writes_nothing(tmp_path, prices, capsys, given, complaint):
    file = tmp_path / "wanted.json"
    file.write_text(json.dumps(given))
    assert main(["backtest", str(file), "--source", f"csv:{prices}", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_killed_run_is_not_gone_on_with_by_other_code(tmp_path, prices, monkeypatch):
    from s2squant.errors import RunError
    from s2squant.forecasters import plugins
    from s2squant.study import open_run

    wanted = experiment(prices, base=own(TRAILING))
    with open_run(wanted, tmp_path / "run", workers=0):
        pass
    monkeypatch.setattr(plugins, "_sha256", lambda function: "changed")
    with pytest.raises(RunError), open_run(wanted, tmp_path / "run", workers=0):
        pass


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("fracast") is None, reason="the extra fracast is not installed")
def test_fracast_runs_from_end_to_end(tmp_path, prices):
    given = own("fracast", recommended="fracast")
    given["forecasters"]["own"] = {"fracast": {"window": 128}}
    folder, study = backtest(experiment(prices, base=given), tmp_path / "run", workers=1)
    board = study.leaderboard.set_index("model")
    assert board.loc["fracast", "kind"] == "challenger"
    assert 0.5 < board.loc["fracast", "crps"] / board.loc["historical_simulation", "crps"] < 2
    audited = study.audit.set_index("model")
    assert audited.loc["fracast", "outcome"] == "passed", audited.loc["fracast", "sentence"]
    assert load_study(folder).status == "done"
