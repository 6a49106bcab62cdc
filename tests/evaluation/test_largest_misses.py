"""The list of largest misses: the planted one on top, one row an event, prices of the very bars."""

import numpy as np
import pandas as pd
import pytest

from s2squant.evaluation.diagnostics import read
from s2squant.evaluation.largest_misses import COLUMNS, MOST, misses
from s2squant.series.history import PriceHistory
from tests.worlds.forecast_tables import known_scale, scored, table_of, walks

H, EVERY = 6, 2
MARKETS = {"T0": "XNYS", "T1": "XNYS", "T2": "XLON"}


def found_of(table, histories=None, model="blend"):
    losses = scored(table)
    return misses(table, losses, read(table, losses), model, markets=MARKETS, histories=histories or {})


def outcomes():
    y = walks(7, cutoffs=60)
    y[1, 30, 2:] -= 0.30  # a crash of T1 between steps 2 and 3 after cutoff 30
    y[1, 31, :] -= 0.30  # the same bars, seen from the next cutoff, two bars on
    return y


@pytest.fixture(scope="module")
def table():
    return table_of(
        outcomes(), {"historical_simulation": (0.0, known_scale(H)), "blend": (0.001, known_scale(H))}, every=EVERY
    )


def test_the_planted_crash_is_on_top_and_stands_once(table):
    found = found_of(table)
    assert list(found.columns) == COLUMNS
    for scope in ("all", "T1"):
        mine = found[found["scope"] == scope]
        top = mine.iloc[0]
        assert top["unique_id"] == "T1"
        assert top["miss"] < -15
        assert (mine["miss"].abs().diff().dropna() <= 1e-9).all(), "largest first"
        assert (mine["miss"] < -15).sum() == 1, "overlapping forecasts of one event are one row"
    assert found[found["scope"] == "T0"]["miss"].abs().max() < 10


def test_no_two_misses_of_a_ticker_share_a_day(table):
    found = found_of(table)
    for scope, part in found[found["scope"] != "all"].groupby("scope"):
        assert set(part["unique_id"]) == {scope}
        assert len(part) <= MOST
        spans = part.sort_values("cutoff")
        assert (spans["ds"].to_numpy()[:-1] <= spans["cutoff"].to_numpy()[1:]).all()
    assert (found["scope"] == "all").sum() == MOST


def test_every_figure_is_that_of_the_forecast(table):
    days = np.sort(np.unique(np.concatenate([table["cutoff"].to_numpy(), table["ds"].to_numpy()])))
    price = 50 + np.arange(len(days)) / 7
    history = PriceHistory("T1", "XNYS", days.astype("datetime64[D]"), price)
    found = found_of(table, {"T1": history})
    mine = found[found["scope"] == "T1"]
    for row in mine.to_dict("records"):
        own = table[(table["model"] == "blend") & (table["unique_id"] == "T1") & (table["cutoff"] == row["cutoff"])]
        own = own[own["step"] == row["step"]].iloc[0]
        then = price[np.searchsorted(days, np.datetime64(row["cutoff"]))]
        assert row["price"] == then
        assert row["realised"] == pytest.approx(then * np.exp(own["y"]))
        assert (row["low"], row["high"]) == pytest.approx(
            tuple(then * np.exp(own[["q0.025", "q0.975"]].to_numpy(float)))
        )
        assert row["moved"] == pytest.approx(np.exp(own["y"]) - 1)
        scale = 0.01 * np.sqrt(row["step"])
        assert row["miss"] == pytest.approx((own["y"] - own["mean"]) / scale, rel=0.05)
        assert (row["pit"] < 0.025) == (own["y"] < own["q0.025"])
        same = table[(table["model"] == "blend") & (table["unique_id"] == "T0") & (table["cutoff"] == row["cutoff"])]
        assert row["others"] == pytest.approx(np.exp(same[same["step"] == row["step"]]["y"].iloc[0]) - 1)
    assert np.isnan(found[found["scope"] == "T2"]["others"]).all(), "alone in its market"
    assert np.isnan(found[found["scope"] == "T0"]["price"]).all(), "its prices are not known"


def test_a_model_that_did_not_run_has_none(table):
    assert found_of(table, model="anchor").empty
    assert isinstance(found_of(table, model="anchor"), pd.DataFrame)
