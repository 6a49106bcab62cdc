"""Figures of a track record against hand-checked numbers, closed forms and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from s2squant.evaluation.strategy.performance import (
    COLUMNS,
    COST_LEVELS,
    bars_needed,
    best_of,
    beyond_holding,
    break_even_bp,
    deflated_sharpe,
    drawdown,
    performance,
    probabilistic_sharpe,
    ratios_of,
    rule_word,
    sharpe_interval,
    sharpe_ratio,
    years_of,
)

TWENTY = np.array([12, -4, 7, 1, -9, 15, 3, -2, 6, -11, 8, 4, -1, 10, -6, 2, 5, -3, 9, -7]) / 1000


def test_psr_and_dsr_of_twenty_returns():
    # Sum 0.039, sum of squares 1.071e-3: mean 0.00195, variance (1.071e-3 - 20 x 0.00195^2) / 19, ratio 0.269470.
    # skfolio 1.12.2 gives the same last three figures: probabilistic_sharpe_ratio(x), (x, 0.1) and
    # deflated_sharpe_ratio(x, trials); its expected_max_sharpe_ratio of the five trials is 0.145721.
    assert TWENTY.sum() == pytest.approx(0.039)
    assert np.square(TWENTY).sum() == pytest.approx(1.071e-3)
    assert sharpe_ratio(TWENTY) == pytest.approx(0.00195 / np.sqrt((1.071e-3 - 20 * 0.00195**2) / 19))
    assert probabilistic_sharpe(TWENTY) == pytest.approx(0.8751543681253737, rel=1e-12)
    assert probabilistic_sharpe(TWENTY, 0.1) == pytest.approx(0.765445106072231, rel=1e-12)
    trials = [0.23, 0.05, -0.10, 0.12, 0.02]
    assert best_of(5, np.std(trials, ddof=1)) == pytest.approx(0.14572112797140638, rel=1e-12)
    assert deflated_sharpe(TWENTY, 5, trials) == pytest.approx(0.7014656963249182, rel=1e-12)


def test_psr_by_its_formula_and_its_limits():
    ratio, third, fourth = (
        sharpe_ratio(TWENTY),
        *(np.mean(((TWENTY - TWENTY.mean()) / TWENTY.std()) ** k) for k in (3, 4)),
    )
    scale = np.sqrt(1 - third * ratio + (fourth - 1) / 4 * ratio**2)
    assert probabilistic_sharpe(TWENTY) == pytest.approx(norm.cdf(ratio * np.sqrt(19) / scale))
    assert probabilistic_sharpe(TWENTY, ratio) == pytest.approx(0.5)
    assert probabilistic_sharpe(-TWENTY) < 0.5 < probabilistic_sharpe(TWENTY)
    assert deflated_sharpe(TWENTY, 1, [0.2]) == probabilistic_sharpe(TWENTY)
    needed = bars_needed(TWENTY)
    assert norm.cdf(ratio * np.sqrt(needed - 1) / scale) == pytest.approx(0.95)
    assert bars_needed(-TWENTY) == np.inf


@pytest.mark.parametrize("trials", [2, 10, 100])
def test_the_bar_for_the_best_of_many_is_their_expected_largest(trials):
    largest = np.random.default_rng(0).normal(size=(20000, trials)).max(axis=1).mean()
    assert best_of(trials, 1.0) == pytest.approx(largest, abs=0.06)


def test_the_best_of_many_noises_is_not_believed():
    rng, psr, dsr = np.random.default_rng(5), [], []
    for _ in range(200):
        noise = rng.normal(size=(20, 500))
        ratios = noise.mean(axis=1) / noise.std(axis=1, ddof=1)
        best = noise[ratios.argmax()]
        psr.append(probabilistic_sharpe(best))
        dsr.append(deflated_sharpe(best, 20, ratios))
    assert np.mean(np.array(psr) > 0.95) > 0.5
    assert np.mean(np.array(dsr) > 0.95) < 0.05


def test_more_trials_deflate_more_even_where_their_figures_are_lost():
    some = deflated_sharpe(TWENTY, 3, [])
    assert probabilistic_sharpe(TWENTY) > some > deflated_sharpe(TWENTY, 30, [np.nan])


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("normal", lambda rng, n: rng.normal(0.05, 1, n)),
        ("heavy tails", lambda rng, n: 0.04 + rng.standard_t(5, n)),
        ("skewed", lambda rng, n: 0.05 + 1 - rng.exponential(1, n)),
        ("autocorrelated", lambda rng, n: 0.1 + np.convolve(rng.normal(size=n + 4), np.ones(5), "valid")),
    ],
)
def test_los_interval_covers_the_true_ratio(name, draw):
    rng = np.random.default_rng(7)
    truth = sharpe_ratio(draw(np.random.default_rng(1), 2_000_000))
    intervals = np.array([sharpe_interval(draw(rng, 1000)) for _ in range(1000)])
    covered = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    assert 0.93 <= covered <= 0.97, (name, covered)


def test_lo_widens_what_the_textbook_formula_narrows():
    rng = np.random.default_rng(2)
    smooth = 0.1 + np.convolve(rng.normal(size=2004), np.ones(5), "valid")
    low, high = sharpe_interval(smooth)
    ratio = sharpe_ratio(smooth)
    textbook = 2 * 1.96 * np.sqrt((1 + ratio**2 / 2) / len(smooth))
    assert high - low > 1.7 * textbook  # five-bar sums: the standard error is sqrt(5) times that of independent bars
    plain = rng.normal(0.05, 1, 20000)
    low, high = sharpe_interval(plain)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt((1 + 0.05**2 / 2) / 20000), rel=0.15)


def test_drawdown_by_hand():
    # wealth 1, 1.1, 0.99, 1.188, 0.5940, 0.7128, 1.42560
    fall, longest = drawdown(np.array([0.1, -0.1, 0.2, -0.5, 0.2, 1.0]))
    assert fall == pytest.approx(-0.5)
    assert longest == 2
    assert drawdown(np.array([0.1, 0.1])) == (0.0, 0)
    assert drawdown(np.array([-0.1, 0.05]))[0] == pytest.approx(-0.1)  # from the start too
    assert drawdown(np.array([0.5, -1.0, 0.3])) == (-1.0, 2)


def held(gross, turnover, borrow=0.0, model="blend", ticker="all"):
    days = pd.bdate_range("2020-01-01", periods=len(gross))
    columns = {"position": np.sign(gross), "gross": gross, "turnover": turnover, "borrow": borrow}
    columns["long"] = (gross > 0).astype(float)
    return pd.DataFrame({"model": model, "unique_id": ticker, "date": days, **columns})


def test_break_even_is_the_planted_cost_beyond_holding_and_unknown_where_holding_is_not_beaten():
    rng = np.random.default_rng(0)
    turnover, market = rng.exponential(0.2, 1000), rng.normal(3e-4, 0.01, 1000)
    noise = rng.normal(0, 1e-4, 1000)
    gross = market + noise - noise.mean() + turnover * 7.5e-4 + 1e-5
    both = pd.concat([held(gross, turnover, 1e-5), held(market, 0 * market, model="buy_and_hold")])
    table = performance(both, cost_bp=7.5, recommended="blend", tried=1, ratios={})
    mine = table[table["model"] == "blend"].set_index("cost_bp")
    assert mine["break_even_bp"].to_numpy() == pytest.approx(7.5)
    assert mine.loc[5.0, "beyond"] > 0 > mine.loc[10.0, "beyond"]
    assert mine.loc[7.5, "beyond"] == pytest.approx(0, abs=1e-9)
    assert table.loc[table["model"] == "buy_and_hold", ["beyond", "break_even_bp"]].isna().all(axis=None)
    flows = {"gross": market, "borrow": 0 * market, "turnover": turnover}
    assert np.isnan(break_even_bp(flows, flows | {"turnover": 0 * turnover}, 250))  # long all the time: no better
    assert np.isnan(break_even_bp(flows | {"gross": gross}, flows, 250))  # better, but nothing to pay for


def test_the_interval_beyond_holding_covers_and_its_badge_asks_for_skill():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        market = rng.normal(4e-4, 0.01, 750)
        size, low, high = beyond_holding(market * rng.choice([1, -1], 750) + 1e-4, market, 250)
        assert low < size < high
        covered += low <= 250 * (1e-4 - 4e-4) <= high
    assert 0.92 <= covered / 400 <= 0.98
    assert rule_word(0.01, 0.09, "better") == "better"
    assert {rule_word(0.01, 0.09, word) for word in ("no evidence", "worse")} == {"no evidence"}
    assert {rule_word(-0.09, -0.01, word) for word in ("better", "no evidence", "worse")} == {"worse"}
    assert rule_word(-0.01, 0.01, "better") == "no evidence"


def test_the_table():
    rng = np.random.default_rng(3)
    gross, turnover = rng.normal(5e-4, 0.01, 522), np.full(522, 0.1)
    both = pd.concat(
        [
            held(gross, turnover),
            held(gross, turnover, model="historical_simulation"),
            held(0 * gross, 0 * gross, model="rw"),
        ]
    )
    table = performance(both, cost_bp=5.0, recommended="blend", tried=4, ratios={"all": [0.1, 0.0, 0.02, 0.03]})
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 3 * len(COST_LEVELS)
    mine = table[table["model"] == "blend"].set_index("cost_bp")
    assert mine["declared"].to_dict() == {0.0: False, 2.0: False, 5.0: True, 10.0: False, 20.0: False}
    assert mine["sharpe"].is_monotonic_decreasing
    years = 521 * 7 / 5 / 365.25
    net = gross - 5e-5
    assert mine.loc[5.0, "years"] == pytest.approx(years, rel=5e-3)
    assert mine.loc[5.0, "annual_return"] == pytest.approx(np.prod(1 + net) ** (1 / mine.loc[5.0, "years"]) - 1)
    assert mine.loc[5.0, "sharpe"] == pytest.approx(sharpe_ratio(net) * np.sqrt(522 / mine.loc[5.0, "years"]))
    assert (mine["sharpe_low"] < mine["sharpe"]).all()
    assert (mine["sharpe"] < mine["sharpe_high"]).all()
    assert (mine["dsr"] < mine["psr"]).all()
    assert table.loc[table["model"] != "blend", "dsr"].isna().all()  # only the recommended model was chosen
    assert table.loc[table["model"] == "rw", ["sharpe", "psr"]].isna().all(axis=None)  # no position, no ratio
    assert ratios_of(both, "blend", 5.0) == {"all": pytest.approx(sharpe_ratio(net))}
    assert performance(both.iloc[:0], cost_bp=5.0, recommended="blend", tried=1, ratios={}).empty


def test_years_between_two_tested_periods_do_not_count():
    early, late = (np.arange(f"{y}-01-01", f"{y + 1}-01-01", dtype="datetime64[D]") for y in (2002, 2019))
    assert years_of(np.r_[early, late]) == pytest.approx(2, abs=0.01)
    assert years_of(early[:1]) > 0
