"""Months, drawdowns and rolling Sharpe ratios by hand."""

import numpy as np
import pandas as pd
import pytest

from s2squant.evaluation.strategy.performance import sharpe_ratio
from s2squant.evaluation.strategy.track_record import track_record


def equity(net, model="blend", start="2020-01-30"):
    days = pd.bdate_range(start, periods=len(net))
    return pd.DataFrame({"model": model, "unique_id": "all", "date": days, "net": net})


def test_months_and_drawdowns_by_hand():
    net = np.array([0.1, -0.1, 0.2, -0.5, 0.2, 1.0, -0.1])  # 30 and 31 January, then February 2020
    both = pd.concat([equity(net), equity(0 * net, "buy_and_hold"), equity(net, "anchor")])
    told = track_record(both, "blend", {"all"})
    months = told.months[told.months["model"] == "blend"].set_index("month")["net"]
    assert months[1] == pytest.approx(1.1 * 0.9 - 1)
    assert months[2] == pytest.approx(1.2 * 0.5 * 1.2 * 2.0 * 0.9 - 1)
    assert months[0] == pytest.approx((1 + months[1]) * (1 + months[2]) - 1)
    assert set(told.months["model"]) == {"blend", "buy_and_hold"}
    falls = told.drawdowns[told.drawdowns["model"] == "blend"]
    assert falls["depth"].to_numpy() == pytest.approx([-0.5, -0.1, -0.1])
    deep = falls.iloc[0]  # from the high of 3 February to the new one of 6 February
    assert (deep["start"], deep["trough"], deep["end"], deep["bars"]) == ("2020-02-03", "2020-02-04", "2020-02-06", 2)
    assert falls.iloc[-1]["end"] in ("", "2020-02-03")
    assert (falls["end"] == "").sum() == 1  # the last one lasts
    assert "buy_and_hold" not in set(told.drawdowns["model"])


def test_the_rolling_sharpe_ratio_is_that_of_the_last_year():
    net = np.random.default_rng(0).normal(5e-4, 0.01, 300)
    told = track_record(equity(net), "blend", {"all"}).rolling_sharpe
    assert len(told) == 10
    a_year = len(net) / ((told["date"].iloc[-1] - told["date"].iloc[-1] + pd.Timedelta(299 * 7 / 5, "D")).days / 365.25)
    assert told["sharpe"].iloc[0] == pytest.approx(sharpe_ratio(net[:252]) * np.sqrt(a_year), rel=0.01)
    assert track_record(equity(net[:100]), "blend", {"all"}).rolling_sharpe.empty
