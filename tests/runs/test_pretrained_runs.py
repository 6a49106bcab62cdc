"""Backtests of the pretrained weights: years that they have seen are refused, and the audit looks again."""

import pytest

from s2squant.errors import ConfigError
from s2squant.runs import plan
from s2squant.study import backtest
from tests.worlds.runs import experiment, stock_days, write_prices


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "prices"
    for seed, ticker in enumerate("AB"):
        write_prices(folder, ticker, stock_days(), seed)
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


def test_the_judged_weights_judge_later_years_and_the_audit_says_so(prices, tmp_path):
    _, study = backtest(asked(prices, judged=True), tmp_path / "run", workers=0)
    row = study.audit.set_index("check").loc["training span"]
    assert row["outcome"] == "passed"
    assert row["sentence"].startswith("The training of the pretrained weights ends ")
    assert set(study.forecasts["model"]) >= {"pretrained"}


def test_the_audit_finds_a_run_that_was_not_refused(prices, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "refuse_seen", lambda *_given: None)
    _, study = backtest(asked(prices), tmp_path / "run", workers=0)
    row = study.audit.set_index("check").loc["training span"]
    assert row["outcome"] == "failed"
    assert row["sentence"].startswith(
        "The pretrained weights of stocks have seen prices to 2022-12-28, and XNYS is forecast from"
    )
