"""Own models and features: their names, how they are loaded, held to the contract, and scaled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s2squant.config.files import make_experiment, override
from s2squant.config.models import kind_of, label
from s2squant.errors import CheckpointError, ConfigError
from s2squant.forecasters.catalog import make, restore
from s2squant.forecasters.conformance import conformance
from s2squant.forecasters.own_check import check_own
from s2squant.forecasters.own_features import with_features, without_features
from s2squant.forecasters.plugins import code_of
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.forecast import State
from s2squant.series.panel import Panel
from tests.worlds.own_code import momentum
from tests.worlds.synthetic import garch_panel

HERE = "tests.worlds.own_code"
TRAILING = f"{HERE}:Trailing"


def settings(models=("ewma_t",), features=(), **own):
    data = {"models": models, "features": features, "own": {f"{HERE}:{name}": table for name, table in own.items()}}
    verdict = {"reference": models[0], "recommended": models[0]}
    return make_experiment({"forecasters": data, "verdict": verdict}).forecasters


@pytest.fixture(scope="module")
def panel():
    return garch_panel("AB", 700)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"models": ["grach_t"]}, "no model is called 'grach_t'; did you mean 'garch_t'?"),
        ({"models": ["mine:"]}, "an own one is written package.module:function"),
        ({"models": ["../../x:y"]}, "an own one is written package.module:function"),
        ({"features": ["rsi"]}, "no feature is called 'rsi'"),
        ({"own": {"mine:make": {}}}, "mine:make does not run; add it to forecasters.models"),
        (
            {"extra": ["mine:make"], "own": {"mine:make": {"x": float("inf")}}},
            "Input should be a finite number",
        ),
        ({"own": {"ewma_t": {}}}, "ewma_t is a model of this package; its settings are forecasters.ewma_t"),
        ({"features": ["mine:f", "mine:f"]}, "a feature is named twice"),
    ],
)
def test_a_name_that_cannot_be_meant_is_one_line(data, complaint):
    with pytest.raises(ConfigError) as caught:
        make_experiment({"forecasters": data})
    assert complaint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_settings_of_an_own_model_go_where_it_is_made_and_back():
    wanted = make_experiment(
        override({"forecasters": {"extra": ["mine:make"]}}, ['forecasters.own."mine:make".window=20'])
    )
    assert wanted.forecasters.own == {"mine:make": {"window": 20}}
    assert wanted.forecasters.models[-1] == "mine:make"
    assert make_experiment(wanted.model_dump(mode="json")) == wanted
    assert make(TRAILING, settings([TRAILING], Trailing={"window": 20})).inner.window == 20


def test_an_own_model_is_named_short_in_tables_and_marked_in_the_leaderboard():
    assert label("a.deep.package.mine:make") == "mine:make"
    assert len(label("module_of_an_endless_name:function")) == 21
    assert kind_of("mine:make", "garch_t") == "own"
    assert kind_of("mine:make", "mine:make") == "reference"


def test_a_forecast_has_the_name_it_runs_under_and_its_state_comes_back(panel):
    chosen = settings([TRAILING], Trailing={"window": 30})
    fitted = make(TRAILING, chosen).fit(panel, np.arange(300, 600), horizon=5, seed=0)
    forecast = fitted.predict(panel, np.array([650, 300]))
    assert forecast.forecaster == TRAILING
    again = restore(TRAILING, chosen, fitted.state())
    assert (again.predict(panel, np.array([650])).quantiles_NHQ == forecast.quantiles_NHQ[:1]).all()
    with pytest.raises(CheckpointError, match="belongs to 'gjr_t'"):
        restore(TRAILING, chosen, State({}, {"name": "gjr_t"}))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("Short", "has 4 steps, 5 were asked for"), ("Crossed", "quantiles cross")],
)
def test_a_forecast_that_is_not_what_was_asked_is_refused(panel, name, complaint):
    model = f"{HERE}:{'Falling' if name == 'Crossed' else name}"
    fitted = make(model, settings([model])).fit(panel, np.arange(300, 600), horizon=5, seed=0)
    with pytest.raises(ValueError, match=complaint):
        fitted.predict(panel, np.array([650]))


@pytest.mark.parametrize(
    ("models", "features", "own", "complaint"),
    [
        (["nowhere.at.all:f"], [], {}, "nowhere.at.all:f: cannot be loaded (ModuleNotFoundError"),
        ([f"{HERE}:nothing"], [], {}, "cannot be loaded (AttributeError"),
        (["math:pi"], [], {}, "math:pi: is float, not a function"),
        ([f"{HERE}:shapeless"], [], {}, "gives int, which has no fit"),
        ([TRAILING], [], {"Trailing": {"windw": 3}}, "unexpected keyword argument 'windw'); its settings: windw"),
        (["ewma_t"], [f"{HERE}:flat"], {}, "has shape (1400, 2)"),
        (["ewma_t"], [f"{HERE}:holes"], {}, "holes gap is nan for A on 20"),
        (["ewma_t"], [f"{HERE}:words"], {}, "gives something else than numbers"),
        (["ewma_t"], [f"{HERE}:shapeless"], {}, "cannot be computed (TypeError"),
        (["ewma_t"], [f"{HERE}:momentum"], {"momentum": {"spams": [3]}}, "cannot be computed (TypeError"),
    ],
)
def test_what_cannot_be_used_is_said_before_a_run_in_one_line(panel, models, features, own, complaint):
    chosen = settings(models, features, **own)

    def prepare():
        check_own(chosen)
        with_features(panel, chosen)

    with pytest.raises(ConfigError) as caught:
        prepare()
    text = str(caught.value)
    assert complaint in text
    assert len(text.splitlines()) == 1


def test_a_model_that_cannot_be_read_back_is_refused_where_it_has_to_be():
    chosen = settings([f"{HERE}:Forgetful"])
    check_own(chosen)
    with pytest.raises(ConfigError, match=r"write restore\(state\)"):
        check_own(chosen, stored=True)


def test_columns_are_past_covariates_of_each_ticker_beside_others(panel):
    chosen = settings(features=[f"{HERE}:momentum"])
    own = with_features(panel, chosen)
    assert [c.name for c in own.covariates.past] == [f"{HERE}:momentum sum 5", f"{HERE}:momentum sum 20"]
    np.testing.assert_array_equal(own.covariates.past_RP[:, 0], momentum(panel)["sum 5"])
    again = with_features(own, chosen)
    assert again.covariates.names == own.covariates.names, "computed anew, not twice"
    assert all(without_features(h, chosen).covariates is None for h in own.histories)
    other = TickerCovariates(
        (Covariate("vix"),), (), (), np.ones((700, 1)), panel.histories[0].dates, np.empty((700, 0)), []
    )
    both = with_features(Panel(tuple(replace(h, covariates=other) for h in panel.histories)), chosen)
    assert both.covariates.names == ("vix", *own.covariates.names)
    assert without_features(both.histories[0], chosen).covariates.past == (Covariate("vix"),)
    assert with_features(panel, settings()) is panel


@pytest.mark.parametrize("name", ["ridge", "gbm"])
def test_a_planted_feature_is_learnt_by_the_regressions(panel, name):
    """Tomorrow's return as a feature, which is a leak and so the strongest of signals."""
    rows, test = np.arange(300, 600), np.arange(610, 690)
    leaky = with_features(panel, settings(features=[f"{HERE}:tomorrow"]))
    truth = panel.targets(test, 1)[:, 0]
    for prices, least, most in ((panel, -0.4, 0.4), (leaky, 0.7, 1.0)):
        fitted = make(name, settings([name])).fit(prices.until(panel.dates[600]), rows, horizon=1, seed=0)
        related = np.corrcoef(fitted.predict(prices, test).quantiles_NHQ[:, 0, 19], truth)[0, 1]
        assert least < related < most


def test_the_code_of_an_own_model_is_known_by_its_hash():
    assert code_of([], []) == {}
    assert len(code_of([TRAILING], [f"{HERE}:momentum"])[TRAILING]) == 64


def contract(name):
    model = f"{HERE}:{name}"
    return {
        check.sentence.removeprefix(f"{model} ").removeprefix("does not hold that it ")[:22]: check
        for check in conformance(make(model, settings([model])), horizon=5, seed=0)
    }


def test_an_honest_own_model_holds_the_whole_contract():
    found = contract("Trailing")
    assert len(found) == 7
    assert {check.outcome for check in found.values()} == {"passed"}, found


@pytest.mark.parametrize(
    ("name", "failing"),
    [
        (
            "Moody",
            {
                "forecasts the same whe": "draw from the seed",
                "forecasts the same fro": "keep all that was",
                "forecasts the same ret": "it changes by",
            },
        ),
        ("Forgetful", {"forecasts the same fro": "write restore(state)"}),
        ("Short", {"cannot be fitted and a": "has 4 steps, 5 were asked for"}),
        (
            "Narrow",
            {"holds about 80 % of a ": "% at the first", "gives quantiles that h": "no wider than"},
        ),
        ("Dear", {"forecasts the same ret": "forecast returns, not prices", "holds about 80 % of a ": "% at the"}),
    ],
)
def test_a_broken_contract_is_said_clause_by_clause(name, failing):
    found = contract(name)
    assert {key for key, check in found.items() if check.outcome == "failed"} == failing.keys()
    for key, words in failing.items():
        assert words in found[key].sentence
