"""A user's own models and features in the estimator: forecast, saved and loaded, left out with a warning on failure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from s2squant.errors import ConfigError
from s2squant.estimator import PriceForecaster
from s2squant.forecasters.baselines import gbm
from tests.worlds.synthetic import garch_panel

HERE = "tests.worlds.own_code"
TRAILING, FALLING = f"{HERE}:Trailing", f"{HERE}:Falling"


@pytest.fixture(scope="module")
def prices():
    panel = garch_panel("AB", 500)
    return pd.concat([pd.DataFrame({"unique_id": h.ticker, "ds": h.dates, "y": h.adj_close}) for h in panel.histories])


def test_an_own_model_forecasts_and_comes_back_from_a_folder(prices, tmp_path, monkeypatch):
    monkeypatch.setattr(gbm, "LEAST_GAIN", -9.0)  # a feature that does not pay is not read
    small = {"gbm": {"trees": 6, "nodes": 4, "levels": [0.1, 0.5, 0.9]}}
    settings = small | {"own": {TRAILING: {"window": 40}}, "features": [f"{HERE}:momentum"]}
    model = PriceForecaster(["random_walk", TRAILING, "gbm"], horizon=5, settings=settings).fit(prices)
    table = model.predict(level=80)
    assert np.isfinite(table[[TRAILING, f"{TRAILING}-lo-80", "gbm"]].to_numpy()).all()
    model.save(tmp_path / "kept")
    assert PriceForecaster.load(tmp_path / "kept").predict(level=80).equals(table)
    plain = PriceForecaster("gbm", horizon=5, settings=small).fit(prices).predict()
    assert (plain["gbm"] != table["gbm"]).any(), "boosted quantiles read the feature"
    walked = model.cross_validation(prices, n_windows=2, min_train=300)
    assert np.isfinite(walked[TRAILING]).all()


def test_a_failing_own_model_is_left_out_with_a_warning(prices):
    model = PriceForecaster([FALLING, "random_walk"], horizon=5).fit(prices)  # it fails where it forecasts
    with pytest.warns(UserWarning, match="left out: .*Falling: B: ValueError: crossed: quantiles cross"):
        table = model.predict()
    assert list(table.columns) == ["unique_id", "ds", "random_walk"]
    with pytest.warns(UserWarning, match="left out: .*Falling: B: ValueError"):
        walked = model.cross_validation(prices, n_windows=2, min_train=300)
    assert list(walked.columns) == ["unique_id", "ds", "cutoff", "y", "random_walk"]


@pytest.mark.parametrize(
    ("models", "complaint"),
    [
        ("grach_t", "no model is called 'grach_t'; did you mean 'garch_t'"),
        ("nowhere:make", "nowhere:make: cannot be loaded"),
        (f"{HERE}:Unfit", "Unfit failed on A: RuntimeError: not today; there is no other model"),
    ],
)
def test_what_cannot_be_used_is_one_line(prices, models, complaint):
    with pytest.raises(ConfigError, match=complaint.replace("(", r"\(")) as caught:
        PriceForecaster(models, horizon=5).fit(prices)
    assert len(str(caught.value).splitlines()) == 1


def test_a_model_that_cannot_be_read_back_is_not_saved(prices, tmp_path):
    model = PriceForecaster(f"{HERE}:Forgetful", horizon=5).fit(prices)
    with pytest.raises(ConfigError, match="write restore"):
        model.save(tmp_path / "kept")
