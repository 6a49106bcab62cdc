"""Backtests of the pretrained weights: years that they have seen are refused, and the audit looks again."""

import numpy as np
import pytest

from s2squant.errors import ConfigError
from s2squant.forecasters.pretrained import newest
from s2squant.prices.universe import load_universe
from s2squant.runs import plan
from s2squant.runs.study_files import load_study
from s2squant.study import backtest
from tests.worlds.runs import experiment, stock_days, write_prices


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "prices"
    for seed, ticker in enumerate("AB"):
        write_prices(folder, ticker, stock_days(), seed)
    write_prices(folder, "YOUNG", stock_days()[-115:], 2)
    return folder


def asked(prices, **pretrained):
    models = {"models": ["historical_simulation", "pretrained"], "historical_simulation": {"paths": 128}}
    return experiment(
        prices, forecasters=models | {"pretrained": pretrained}, verdict={"recommended": "pretrained", "rival": ""}
    )


def test_years_that_the_weights_have_seen_are_refused_with_the_remedy(prices, tmp_path):
    with pytest.raises(
        ConfigError, match=r"have seen prices to 2022-12-28, .* set forecasters\.pretrained\.judged=true"
    ):
        backtest(asked(prices), tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_a_prior_that_has_seen_the_years_is_refused_too(prices):
    models = {"models": ["historical_simulation", "anchor"], "anchor": {"prior": "shipped", "steps": 2}}
    asked_for = experiment(prices, forecasters=models, verdict={"recommended": "anchor"})
    with pytest.raises(
        ConfigError, match=r'set forecasters\.anchor\.prior="judged", whose training ends on 2015-12-31'
    ):
        plan.make_plan(asked_for)


def test_no_remedy_is_offered_where_the_judged_weights_have_seen_them_too():
    with pytest.raises(ConfigError, match="begin after it, or do without them") as caught:
        plan.make_plan(experiment("", base=seen_both()))
    assert "judged=true" not in str(caught.value)


def seen_both():
    return {
        "universe": {"source": "sample", "tickers": ["AAPL"]},
        "forecasters": {"models": ["historical_simulation", "pretrained"]},
        "verdict": {"recommended": "pretrained", "rival": ""},
    }


@pytest.mark.slow
def test_the_judged_weights_judge_later_years_and_the_audit_says_so(prices, tmp_path):
    folder, study = backtest(asked(prices, judged=True), tmp_path / "run", workers=0)
    row = study.audit.set_index("check").loc["training span"]
    assert row["outcome"] == "passed"
    assert row["sentence"].startswith("The training of the pretrained weights ends ")
    assert set(study.forecasts["model"]) >= {"pretrained"}
    is_forecast_beside(folder, study)


def is_forecast_beside(folder, study):
    """A listing that began within the run: by the pretrained weights, from 60 bars on, without a word in the scores."""
    young = study.newcomers
    days = np.unique(study.histories["A"].dates[-115:])
    assert set(young["unique_id"]) == {"YOUNG"}
    assert set(young["model"]) == {"pretrained"}
    cutoffs = np.unique(np.concatenate([fold.cutoffs for fold in study.folds]))
    wanted = [day for day in cutoffs if (days <= day).sum() >= 60]
    assert len(wanted) == 3
    assert sorted(young["cutoff"].to_numpy("datetime64[D]").tolist()) == sorted(
        [day.astype(object) for day in (*wanted, days[-1]) for _ in range(5)]
    )
    assert "YOUNG" not in set(study.scores["unique_id"]) | set(study.forecasts["unique_id"].astype(str))
    reason = {report.ticker: report.reason for report in study.tickers}["YOUNG"]
    assert reason.startswith("too short: 50 of 115 bars by the first cutoff")
    assert "forecast by the pretrained weights from 4 cutoffs, beside the comparison: their 80 % bands held" in reason
    again = load_study(folder).newcomers
    assert np.array_equal(again["q0.500"], young["q0.500"])
    history = load_universe(study.experiment.universe).histories[2].between(None, wanted[0])
    [(_, alone)] = newest([history], 5, judged=True)
    first = young[young["cutoff"] == young["cutoff"].min()]
    assert first["q0.900"].to_numpy() - first["q0.500"].to_numpy() == pytest.approx(
        alone.quantiles_NHQ[0, :, 35] - alone.quantiles_NHQ[0, :, 19], rel=1e-5
    )


@pytest.mark.slow
def test_the_audit_finds_a_run_that_was_not_refused(prices, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "refuse_seen", lambda *_given: None)
    _, study = backtest(asked(prices), tmp_path / "run", workers=0)
    row = study.audit.set_index("check").loc["training span"]
    assert row["outcome"] == "failed"
    assert row["sentence"].startswith(
        "The pretrained weights of stocks have seen prices to 2022-12-28, and XNYS is forecast from"
    )
