"""VaR and expected shortfall of right and wrong forecasts; the Basel zones as published; sizes of the tests."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.exceedances import miss_tests
from s2squant.evaluation.statistics.expected_shortfall import GRID, shortfall_tests, tail_draws
from s2squant.evaluation.value_at_risk import COLUMNS, SCORES, basel_zone, risk_tables
from s2squant.series.tails import ALL_COLUMNS, ALL_LEVELS

MARKETS = {"A": "XNYS", "B": "ECB"}


def table(widths, cutoffs=120, steps=(1, 2), seed=0):
    """Gaussian outcomes of deviation .02, forecasts of each model too wide by its factor."""
    rng, days = np.random.default_rng(seed), pd.bdate_range("2020-01-01", periods=cutoffs)
    parts = []
    for ticker in MARKETS:
        for step in steps:
            y = 0.02 * rng.standard_normal(cutoffs)
            for model, width in widths.items():
                quantiles = np.broadcast_to(0.02 * width * norm.ppf(ALL_LEVELS), (cutoffs, len(ALL_LEVELS)))
                head = {"model": model, "unique_id": ticker, "cutoff": days, "step": step, "y": y}
                parts.append(pd.DataFrame(head).join(pd.DataFrame(quantiles, columns=list(ALL_COLUMNS))))
    return pd.concat(parts, ignore_index=True)


def tables(widths, **keys):
    return risk_tables(table(widths, **keys), VerdictSpec(), every=1, horizon=2, markets=MARKETS)


def test_the_zones_are_those_of_basel():
    assert [basel_zone(x, 250, 0.01) for x in (0, 4, 5, 9, 10)] == ["green", "green", "yellow", "yellow", "red"]


def test_exceedances_are_counted_on_both_sides_and_labels_share_no_bar():
    made = table({"blend": 1.0, "historical_simulation": 1.0})
    risk, scores = risk_tables(made, VerdictSpec(), every=1, horizon=2, markets=MARKETS)
    assert list(risk.columns) == list(COLUMNS)
    assert list(scores.columns) == list(SCORES)
    own = made[(made["model"] == "blend") & (made["unique_id"] == "A") & (made["step"] == 1)]
    asked = risk[(risk["model"] == "blend") & (risk["unique_id"] == "A") & (risk["level"] == 0.05)]
    at = asked.set_index(["step", "side"])
    assert at.loc[(1, "loss"), "exceeded"] == (own["y"] < own["q0.050"]).sum()
    assert at.loc[(1, "gain"), "exceeded"] == (own["y"] > own["q0.950"]).sum()
    assert at.loc[(1, "loss"), "n"] == 120
    assert at.loc[(2, "loss"), "n"] == 60
    assert at.loc[(1, "loss"), "due"] == pytest.approx(6)
    pool = risk[(risk["unique_id"] == "all") & (risk["model"] == "blend")]
    assert (pool["finding"] == "not tested").all()
    both = risk[risk["unique_id"].isin(["A", "B"]) & (risk["model"] == "blend")]
    assert pool["exceeded"].sum() == both["exceeded"].sum()
    assert set(risk["unique_id"]) == {"A", "B", "all", "XNYS", "ECB"}


def test_a_var_that_is_too_near_is_found_and_loses_against_the_right_one():
    risk, scores = tables({"blend": 0.6, "gjr_fhs": 1.0, "historical_simulation": 1.3}, cutoffs=400)
    single = risk[risk["unique_id"].isin(["A", "B"]) & (risk["step"] == 1)]
    found = single.groupby("model")["finding"].agg(set)
    assert found["blend"] == {"too many"}
    assert found["gjr_fhs"] == {"no evidence"}
    pool = scores[(scores["pool"] == "all") & (scores["step"] == 1) & (scores["benchmark"] == "gjr_fhs")]
    assert (pool["effect"] < 0).all()
    assert (pool[pool["loss"] == "FZ0"]["finding"] == "worse").all()


def test_few_forecasts_are_counted_and_not_tested():
    risk, _ = tables({"blend": 1.0}, cutoffs=30, steps=(1,))
    assert (risk["finding"] == "not tested").all()
    assert risk[risk["unique_id"] == "A"]["reason"].eq("30 cutoffs, at least 50 needed").all()
    assert risk["kupiec_p"].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "level"), [(250, 0.025), (250, 0.05), (1000, 0.01), (1000, 0.025), (1000, 0.05)])
def test_a_right_forecast_is_refused_in_about_five_of_a_hundred(n, level):
    rng, series = np.random.default_rng([n, round(1000 * level)]), 1500
    scale_SN = np.exp(0.3 * rng.standard_normal((series, n)))
    u_SN = rng.random((series, n))
    z_SN, deep = norm.ppf(u_SN), u_SN < GRID[-1]
    z_SN[deep] = tail_draws(norm.ppf(GRID)[None], np.zeros(deep.sum(), int), u_SN[deep])  # the law that is forecast
    y_SN = scale_SN * z_SN
    hits = y_SN < scale_SN * norm.ppf(level)
    tests = miss_tests(hits, level, scale_SN)
    sizes = {name: float(np.mean(p < 0.05)) for name, p in tests._asdict().items()}
    both = np.array(
        [shortfall_tests(y, s[:, None] * norm.ppf(GRID), level) for y, s in zip(y_SN, scale_SN, strict=True)]
    )
    sizes |= dict(zip(("mcneil_frey", "acerbi_szekely"), np.nanmean(both < 0.05, axis=0).tolist(), strict=True))
    assert all(0.03 <= size <= 0.07 for size in sizes.values()), sizes
