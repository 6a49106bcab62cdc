"""A plot from Python is the page's fan: prices, bands and colours, of the forecasts that predict gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from s2squant.errors import ConfigError
from s2squant.estimator import PriceForecaster
from tests.worlds.runs import stock_days
from tests.worlds.synthetic import garch_panel

HORIZON = 5


@pytest.fixture(scope="module")
def fitted():
    histories = garch_panel("AB", 400).histories
    days = stock_days(400)
    parts = [pd.DataFrame({"unique_id": k, "ds": days, "y": h.adj_close}) for k, h in enumerate(histories)]
    return PriceForecaster(["random_walk", "drift"], horizon=HORIZON).fit(pd.concat(parts))


def test_the_fan_is_what_is_predicted_in_the_page_s_colours(fitted):
    figure = fitted.plot(1)
    assert isinstance(figure, go.Figure)
    table = fitted.predict(level=[80])
    mine = table[table["unique_id"] == 1]
    median = next(trace for trace in figure.data if trace.name.startswith("Median"))
    assert np.allclose(median.y[1:], mine["drift"], rtol=1e-4)
    band = next(trace for trace in figure.data if trace.name.startswith("80"))
    assert min(band.y) == pytest.approx(mine["drift-lo-80"].min(), rel=1e-4)
    assert band.fillcolor.startswith("rgba(")
    assert figure.layout.paper_bgcolor == "#ffffff"
    assert "@" not in figure.to_json().replace("@0", "")


def test_models_and_tickers_are_named(fitted):
    assert fitted.plot(0, model="random_walk").data[-1].name == "Median of the random walk"
    for asked, why in (((9,), "no ticker 9; there are 0, 1"), ((0, "blend"), "there are random_walk, drift")):
        with pytest.raises(ConfigError, match=why):
            fitted.plot(asked[0], model=asked[1] if asked[1:] else None)


def test_a_missing_plotly_is_one_line(fitted, monkeypatch):
    monkeypatch.setattr("s2squant.estimator.plots.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 's2squant\[plot\]'"):
        fitted.plot(0)
