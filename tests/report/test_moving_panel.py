"""The moving forecast: shown where every bar is a cutoff, in prices, beside the last close and sobering words."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.report.moving_panel import moving_forecast
from s2squant.report.study_pages import render
from s2squant.report.study_view import arrange
from tests.report.factory import make_study


@pytest.fixture(scope="module")
def study():
    made = make_study(tickers={"AAA": "XNYS"})
    walk = made.experiment.walk.model_copy(update={"every": 1})
    return replace(made, experiment=made.experiment.model_copy(update={"walk": walk}))


def test_the_line_is_the_median_a_bar_ahead_and_the_last_close_a_bar_late(study):
    panel = moving_forecast(arrange(study), "AAA")
    (chart, _), *_ = panel.charts
    band, own, last, close = chart.traces
    first = study.forecasts.query("model == @study.experiment.verdict.recommended and step == 1").dropna(subset="y")
    history = study.histories["AAA"]
    at = np.searchsorted(history.dates, first["cutoff"].to_numpy("datetime64[D]"))
    assert last["y"] == pytest.approx(history.adj_close[at], rel=1e-4)
    assert close["y"] == pytest.approx(history.adj_close[at + 1], rel=1e-4)
    assert own["y"] == pytest.approx(history.adj_close[at] * np.exp(first["q0.500"]), rel=1e-4)
    assert own["x"][0] == str(history.dates[at[0] + 1])
    missed = 100 * np.mean(np.abs(history.adj_close[at] / history.adj_close[at + 1] - 1))
    assert f"the last close by {missed:.3f}" in panel.say
    assert "So does that close itself" in panel.say
    assert all(trace["showlegend"] and trace["legendgroup"] for trace in (own, last, close)), "the page names no other"
    assert len(band["x"]) == 2 * len(own["x"])


def test_it_stands_on_the_page_of_a_ticker_and_nowhere_where_cutoffs_are_apart(study):
    pages = dict(render(study))
    page = next(str(text) for name, text in pages.items() if name.startswith("tickers/"))
    assert "Does the moving forecast know more than the last close?" in page
    assert moving_forecast(arrange(make_study(tickers={"AAA": "XNYS"})), "AAA") is None
