"""Scenarios as a forecast: the contract, today's deviation, and calm marginals on the data they were learnt from."""

import numpy as np
import pandas as pd
import pytest

from s2squant.errors import ConfigError
from s2squant.estimator import PriceForecaster
from s2squant.forecasters.own_model import own_model
from s2squant.forecasters.scenario_paths import Scenarios
from s2squant.forecasters.scenarios import known_units
from s2squant.series.states import load_state, save_state
from tests.worlds.synthetic import garch_panel

H = 5
SMALL = {"encoder": {"reads": "window", "hidden": 8}, "steps": 30, "batch": 16, "paths": 256}


@pytest.fixture(scope="module")
def panel():
    return garch_panel("AB", 500)


@pytest.fixture(scope="module")
def fitted(panel):
    rows = np.arange(len(panel.dates))
    rows = rows[(panel.bar_number(rows) >= 60) & (panel.bars_left(rows) >= H)]
    return own_model("s2squant.forecasters.scenario_paths:Scenarios", SMALL).fit(panel, rows, horizon=H, seed=1)


def test_a_forecast_is_the_same_alone_and_after_a_restore(fitted, panel, tmp_path):
    rows = np.array([300, 400, 800])
    forecast = fitted.predict(panel, rows)
    alone = fitted.predict(panel.until(panel.dates[300]), rows[:1])
    assert np.array_equal(alone.quantiles_NHQ[0], forecast.quantiles_NHQ[0])
    save_state(tmp_path / "state", fitted.inner.state())
    back = Scenarios().restore(load_state(tmp_path / "state"))
    assert np.array_equal(back.predict(panel, rows).quantiles_NHQ, forecast.quantiles_NHQ)


def test_widths_follow_the_deviation_at_the_origin(fitted, panel):
    rows = np.array([150, 250, 350, 450])
    forecast = fitted.predict(panel, rows)
    width = forecast.quantiles_NHQ[:, 0, 35] - forecast.quantiles_NHQ[:, 0, 3]
    assert width / known_units(panel)[rows] == pytest.approx(np.full(4, width[0] / known_units(panel)[150]), rel=1e-9)
    assert forecast.paths_NSH.shape == (4, 128, H)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="paths"):
        Scenarios(paths=3)


def test_an_estimator_simulates_scenarios_by_their_own_name():
    history = garch_panel("A", 400).histories[0]
    prices = pd.DataFrame({"unique_id": "A", "ds": history.dates, "y": history.adj_close})
    path = "s2squant.forecasters.scenario_paths:Scenarios"
    model = PriceForecaster(["random_walk", path], horizon=3, settings={"own": {path: {"steps": 2, "paths": 64}}})
    drawn = model.fit(prices).simulate(5, model="scenarios")
    assert drawn.columns.tolist() == ["unique_id", "ds", "sample_id", path]
    assert len(drawn) == 15
    with pytest.raises(ConfigError, match=f"draws no paths here; those that do: .*{path}"):
        model.simulate(5, model="scenario")
