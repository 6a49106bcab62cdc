from typing import get_args

import numpy as np
import pandas as pd
import pytest

from s2squant.config.experiment import StrategySpec
from s2squant.evaluation.statistics.expected_shortfall import GRID
from s2squant.evaluation.strategy import positions as strategy
from s2squant.evaluation.strategy import rules
from s2squant.evaluation.strategy.positions import (
    BUY_AND_HOLD,
    COLUMNS,
    EQUAL_VOLATILITY,
    RANDOM_WALK_SIGN,
    holdings,
    legs,
    pooled_net,
)
from s2squant.series.history import PriceHistory
from s2squant.series.tails import ALL_COLUMNS, ALL_LEVELS

FREE = StrategySpec(cost_bp=0, borrow_bp=0)


def equity(frame, histories, spec, *, horizon, models):
    return strategy.equity(holdings(legs(frame, histories, spec, horizon=horizon, models=models)), spec.cost_bp)


def history(prices, ticker="A", start="2020-01-01"):
    return PriceHistory(
        ticker=ticker,
        calendar="XNYS",
        dates=pd.bdate_range(start, periods=len(prices)).to_numpy(),
        adj_close=np.asarray(prices, float),
    )


def medians(past, bars, signs, horizon, model="blend"):
    """Only what the strategy reads: the median at the horizon, and one other step it must ignore."""
    rows = [
        {"model": model, "unique_id": past.ticker, "cutoff": past.dates[b], "step": step, "q0.500": value}
        for b, sign in zip(bars, signs, strict=True)
        for step, value in ((1, -sign), (horizon, sign))
    ]
    return pd.DataFrame(rows).astype({"cutoff": "datetime64[us]"})


def of(table, model, ticker):
    return table[(table["model"] == model) & (table["unique_id"] == ticker)].set_index("date")


def test_ten_bars_by_hand():
    prices = [100, 100, 110, 99, 99, 108.9, 108.9, 98.01, 98.01, 107.811]
    past = history(prices)
    table = equity(
        medians(past, [1, 4], [0.01, -0.02], 3),
        {"A": past},
        StrategySpec(cost_bp=10, borrow_bp=0),
        horizon=3,
        models=["blend"],
    )
    assert list(table.columns) == list(COLUMNS)
    mine = of(table, "blend", "A")
    assert list(mine.index) == list(pd.DatetimeIndex(past.dates[2:9]))  # from the close of bar 2 to that of bar 8
    # long over bars 3, 4, 5 after trading at the close of bar 2; short over 6, 7, 8 after trading at the close of bar 5
    np.testing.assert_allclose(mine["position"], [0, 1, 1, 1, -1, -1, -1])
    np.testing.assert_allclose(mine["gross"], [0, -0.1, 0, 0.1, 0, 0.1, 0], atol=1e-12)
    np.testing.assert_allclose(mine["cost"], np.array([1, 0, 0, 2, 0, 0, 1]) * 0.001)
    np.testing.assert_allclose(mine["net"], mine["gross"] - mine["cost"])
    wealth = 0.999 * 0.9 * 1.0 * 1.098 * 1.0 * 1.1 * 0.999
    assert mine["equity_net"].iloc[-1] == pytest.approx(wealth)
    hold = of(table, BUY_AND_HOLD, "A")
    np.testing.assert_allclose(hold["position"], [0, 1, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(hold["cost"], np.array([1, 0, 0, 0, 0, 0, 1]) * 0.001)
    assert (1 + hold["gross"]).prod() == pytest.approx(prices[8] / prices[2])


def test_the_bar_of_execution_is_not_earned():
    prices = np.linspace(100, 120, 20)
    jump = prices.copy()
    jump[6:] *= 3.0  # the return of cutoff + 1 changes, and no other
    tables = []
    for path in (prices, jump):
        past = history(path)
        tables.append(equity(medians(past, [5], [1.0], 4), {"A": past}, FREE, horizon=4, models=["blend"]))
    np.testing.assert_allclose(tables[0]["gross"], tables[1]["gross"], atol=1e-12)
    late = prices.copy()
    late[7:] *= 1.1  # the next bar is earned
    past = history(late)
    gained = equity(medians(past, [5], [1.0], 4), {"A": past}, FREE, horizon=4, models=["blend"])
    assert of(gained, "blend", "A")["equity_net"].iloc[-1] == pytest.approx(late[10] / late[6])


def test_positions_do_not_read_prices():
    rng = np.random.default_rng(0)
    prices = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(60)))
    other = prices.copy()
    other[31:] *= np.exp(np.cumsum(rng.standard_normal(29)))
    bars, signs = [10, 15, 20, 25, 30], [1, -1, 1, 1, -1]
    positions = [
        of(equity(medians(p, bars, signs, 10), {"A": p}, FREE, horizon=10, models=["blend"]), "blend", "A")["position"]
        for p in (history(prices), history(other))
    ]
    np.testing.assert_array_equal(*positions)


def test_overlapping_holdings_share_the_capital():
    past = history(np.full(60, 50.0))
    table = equity(medians(past, [10, 15, 20], [1, 1, -1], 10), {"A": past}, FREE, horizon=10, models=["blend"])
    position = of(table, "blend", "A")["position"].to_numpy()
    # entered at 11, 16, 21, held 10 bars each, never more than two at once
    np.testing.assert_allclose(position, np.r_[0, [0.5] * 5, [1.0] * 5, [0.0] * 5, [-0.5] * 5])


def test_perfect_foresight_earns_and_its_opposite_loses():
    rng = np.random.default_rng(3)
    prices = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(400)))
    past = history(prices)
    bars = np.arange(20, 370, 5)
    truth = np.log(prices[bars + 6] / prices[bars + 1])
    both = pd.concat(
        [
            medians(past, bars, truth, 5),
            medians(past, bars, -truth, 5, "anchor"),
            medians(past, bars, 0 * truth, 5, "rw"),
        ]
    )
    table = equity(both, {"A": past}, StrategySpec(), horizon=5, models=["blend", "anchor", "rw"])
    final = {m: of(table, m, "A")["equity_net"].iloc[-1] for m in ("blend", "anchor", "rw")}
    assert final["blend"] > 2
    assert final["anchor"] < 0.6
    assert final["rw"] == 1.0  # a median of zero takes no position and pays nothing


def test_all_is_the_equal_weight_average_of_the_tickers_present():
    first, second = history(np.linspace(100, 130, 30)), history(np.linspace(50, 40, 40), "B")
    frame = pd.concat([medians(first, [3, 8], [1, 1], 5), medians(second, [3, 8, 13], [-1, -1, 1], 5)])
    frame["unique_id"] = frame["unique_id"].astype("category")
    table = equity(frame, {"A": first, "B": second}, StrategySpec(), horizon=5, models=["blend"])
    pooled, a, b = (of(table, "blend", name) for name in ("all", "A", "B"))
    np.testing.assert_allclose(pooled.loc[a.index, "net"], (a["net"] + b.loc[a.index, "net"]) / 2)
    only_b = b.index.difference(a.index)
    np.testing.assert_allclose(pooled.loc[only_b, "net"], b.loc[only_b, "net"])
    np.testing.assert_allclose(pooled["equity_net"], (1 + pooled["net"]).cumprod())


def test_the_end_of_the_prices_closes_what_is_open():
    past = history(np.linspace(100, 110, 12))
    table = equity(medians(past, [6, 10, 11], [1, 1, 1], 8), {"A": past}, StrategySpec(), horizon=8, models=["blend"])
    mine = of(table, "blend", "A")
    assert mine.index[-1] == pd.Timestamp(past.dates[-1])
    np.testing.assert_allclose(mine["position"], [0, 1, 1, 1, 1])  # the last two forecasts cannot be traded any more
    assert mine["cost"].iloc[-1] == pytest.approx(0.0005)


def test_ruin_stays_at_zero():
    past = history([10, 10, 10, 40, 40, 20, 20, 20])
    table = equity(medians(past, [1], [-1.0], 5), {"A": past}, FREE, horizon=5, models=["blend"])
    assert list(of(table, "blend", "A")["equity_net"]) == [1, 0, 0, 0, 0, 0]


def test_mistakes_are_named_and_nothing_is_a_table():
    past = history(np.linspace(100, 110, 12))
    frame = medians(past, [4], [1], 3)
    with pytest.raises(ValueError, match="no forecasts by gjr_t"):
        equity(frame, {"A": past}, FREE, horizon=3, models=["gjr_t"])
    weekend = frame.assign(cutoff=pd.Timestamp("2020-01-04"))
    with pytest.raises(ValueError, match="A: cutoff 2020-01-04 is not a bar"):
        equity(weekend, {"A": past}, FREE, horizon=3, models=["blend"])
    empty = equity(medians(past, [11], [1], 3), {"A": past}, FREE, horizon=3, models=["blend"])
    assert list(empty.columns) == list(COLUMNS)
    assert empty.empty


def banded(past, bars, median, half, horizon):
    """Forecasts whose central 80 % band is median -+ half."""
    frame = medians(past, bars, median, horizon)
    widths = np.repeat(half, 2)
    return frame.assign(**{"q0.100": frame["q0.500"] - widths, "q0.900": frame["q0.500"] + widths})


def test_borrowing_is_paid_by_calendar_days_on_what_is_short():
    past = history(np.full(12, 50.0), start="2020-01-06")  # a Monday
    spec = StrategySpec(cost_bp=0, borrow_bp=365)
    table = of(equity(medians(past, [1], [-1.0], 5), {"A": past}, spec, horizon=5, models=["blend"]), "blend", "A")
    # short over the bars of Thursday, Friday, Monday (three days), Tuesday, Wednesday, 1 bp a day
    np.testing.assert_allclose(table["cost"], np.array([0, 1, 1, 3, 1, 1]) * 1e-4)
    long = of(equity(medians(past, [1], [1.0], 5), {"A": past}, spec, horizon=5, models=["blend"]), "blend", "A")
    assert (long["cost"] == 0).all()


def test_median_over_width_is_all_in_once_the_band_excludes_zero():
    past = history(np.full(40, 50.0))
    spec = StrategySpec(rule="median_over_width", cost_bp=0)
    frame = banded(past, [5, 10, 15, 20], [0.02, -0.01, 0.05, 0.0], [0.04, 0.04, 0.04, 0.0], 5)
    table = of(equity(frame, {"A": past}, spec, horizon=5, models=["blend"]), "blend", "A")
    np.testing.assert_allclose(table["position"], np.repeat([0, 0.5, -0.25, 1.0, 0.0], [1, 5, 5, 5, 5]))


def test_volatility_target_holds_less_when_more_is_feared():
    past = history(np.full(600, 50.0))  # business days: 260.9 bars a year
    year = 0.2 * rules.NORMAL_80 / 2 * np.sqrt(10 / 260.9)
    spec = StrategySpec(rule="volatility_target", cost_bp=0, target_volatility=0.1)
    frame = banded(past, [500, 510, 520], [-0.01, 0.0, 0.01], [year, 2 * year, year / 4], 10)
    table = of(equity(frame, {"A": past}, spec, horizon=10, models=["blend"]), "blend", "A")
    expected = np.repeat([0, 0.5, 0.25, 1.0], [1, 10, 10, 10])  # never short, never borrowing
    np.testing.assert_allclose(table["position"], expected, rtol=2e-3)


def tailed(past, bars, median, rise, horizon):
    """Forecasts whose price is median + rise * ln(level / .5) below the median, and the same turned round above."""
    frame = medians(past, bars, median, horizon)
    depth = np.log(np.minimum(ALL_LEVELS, 1 - ALL_LEVELS) / 0.5) * np.where(ALL_LEVELS < 0.5, 1, -1)
    growth = 1 + frame["q0.500"].to_numpy()[:, None] + np.repeat(rise, 2)[:, None] * depth
    return frame.drop(columns="q0.500").join(pd.DataFrame(np.log(growth), columns=list(ALL_COLUMNS)))


def test_rules_of_the_expected_shortfall_by_hand():
    past = history(np.full(60, 50.0))
    # of an exponential law the shortfall at 5 % is VaR and one rise more: rise * (ln 10 + 1) - median
    median, rise = np.array([0.0, 0.02, -0.02, 0.2]), np.array([0.02, 0.05, 0.05, 0.01])
    frame = tailed(past, [5, 10, 15, 20], median, rise, 5)
    loss = rise * (np.log(10) + 1) - median
    spec = StrategySpec(rule="cvar_limit", cost_bp=0, cvar_limit=0.05)
    table = of(equity(frame, {"A": past}, spec, horizon=5, models=["blend"]), "blend", "A")
    expected = np.repeat(np.r_[0, np.minimum(1, 0.05 / loss[:3]), 1.0], [1, 5, 5, 5, 5])
    np.testing.assert_allclose(table["position"], expected, rtol=1e-9)  # the last is sure to gain: all in
    spec = StrategySpec(rule="median_over_es", cost_bp=0)
    table = of(equity(frame, {"A": past}, spec, horizon=5, models=["blend"]), "blend", "A")
    ratio = np.array([0.0, 0.02 / loss[1], -0.02 / loss[1], 1.0])  # short risks upwards what long risks downwards
    np.testing.assert_allclose(table["position"], np.repeat(np.r_[0, ratio], [1, 5, 5, 5, 5]), rtol=1e-9, atol=1e-12)
    assert GRID[-1] == rules.LEVEL


def test_random_walk_sign_follows_the_drift_up_to_the_cutoff():
    prices = np.r_[np.linspace(100, 90, 31), np.linspace(91, 120, 30)]
    past = history(prices)
    spec = StrategySpec(cost_bp=0, borrow_bp=0, drift_bars=20)
    frame = medians(past, [25, 30, 52], [1, 1, 1], 5)
    mine = of(equity(frame, {"A": past}, spec, horizon=5, models=["blend"]), RANDOM_WALK_SIGN, "A")["position"]
    held = {bar: mine.loc[past.dates[bar]] for bar in (27, 31, 32, 36, 54, 58)}
    assert held == {27: -1, 31: -1, 32: -1, 36: -1, 54: 1, 58: 1}
    later = prices.copy()
    later[53:] = 1.0
    other = history(later)
    again = of(equity(frame, {"A": other}, spec, horizon=5, models=["blend"]), RANDOM_WALK_SIGN, "A")["position"]
    np.testing.assert_array_equal(mine, again)


@pytest.mark.parametrize("rule", get_args(StrategySpec.model_fields["rule"].annotation))
def test_no_rule_reads_a_price_after_the_cutoff_or_trades_on_its_own_close(rule):
    rng = np.random.default_rng(1)
    prices = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(80)))
    bars, spec = np.arange(40, 70, 5), StrategySpec(rule=rule, drift_bars=20)
    for cut in (45, 50, 55):
        other = prices.copy()
        other[cut + 1 :] *= np.exp(np.cumsum(rng.standard_normal(79 - cut)))
        tables = []
        for path in (prices, other):
            past = history(path)
            frame = tailed(past, bars, 0.01 * np.where(bars % 2, 1, -1), np.full(len(bars), 0.02), 10)
            tables.append(equity(frame, {"A": past}, spec, horizon=10, models=["blend"]))
        one, two = (t[t["date"] <= past.dates[cut + 6]].set_index(["model", "unique_id", "date"]) for t in tables)
        np.testing.assert_array_equal(one["position"], two["position"])  # the next cutoff is traded at cut + 6
        early = one.index.get_level_values("date") <= past.dates[cut]
        np.testing.assert_allclose(one.loc[early, "net"], two.loc[early, "net"], atol=1e-15)


def test_pooled_net_is_the_net_of_all():
    first, second = history(np.linspace(100, 130, 30)), history(np.linspace(50, 40, 40), "B")
    frame = pd.concat([medians(first, [3, 8], [1, 1], 5), medians(second, [3, 8, 13], [-1, -1, 1], 5)])
    spec, priced = StrategySpec(), {"A": first, "B": second}
    table = equity(frame, priced, spec, horizon=5, models=["blend"])
    nets = pooled_net(legs(frame, priced, spec, horizon=5, models=["blend"]), spec.cost_bp)
    for model in ("blend", BUY_AND_HOLD, RANDOM_WALK_SIGN):
        pool = of(table, model, "all")["net"]
        np.testing.assert_allclose(nets[model].loc[pool.index], pool, atol=1e-15)


def test_equal_volatility_holds_the_target_over_the_volatility_of_the_last_bars():
    returns = np.r_[0.0, np.tile([0.01, -0.01], 60), np.tile([0.04, -0.04], 20)]
    past = history(100 * np.exp(np.cumsum(returns)))
    spec = StrategySpec(cost_bp=0, target_volatility=0.08, volatility_bars=20)
    frame = medians(past, [100, 145], [1, -1], 5)
    mine = of(equity(frame, {"A": past}, spec, horizon=5, models=["blend"]), EQUAL_VOLATILITY, "A")["position"]
    a_year = 365.25 * 5 / 7
    expected = [0.08 / (size * np.sqrt(a_year)) for size in (0.01, 0.04)]
    np.testing.assert_allclose([mine.loc[past.dates[102]], mine.loc[past.dates[147]]], expected, rtol=0.01)


def test_each_market_is_a_pool_and_a_hole_ends_its_record():
    early, late, other = (
        history(np.full(40, 5.0)),
        history(np.full(40, 7.0), "B", "2012-01-02"),
        history([9.0] * 40, "C"),
    )
    frame = pd.concat([medians(past, [3, 8], [1, 1], 5) for past in (early, late, other)])
    priced, spec = {"A": early, "B": late, "C": other}, StrategySpec()
    traded = list(legs(frame, priced, spec, horizon=5, models=["blend"]))

    def pools(markets):
        return set(holdings(traded, markets)["unique_id"].unique()) - set(priced)

    assert pools({"A": "XNYS", "B": "XNYS", "C": "ECB"}) == {"XNYS 2020-2020", "XNYS 2012-2012", "ECB"}
    assert pools({"A": "XNYS", "B": "ECB", "C": "XNYS"}) == {"XNYS", "ECB"}
    assert pools({}) == {"all 2012-2012", "all 2020-2020"}
    table = holdings(traded, {"A": "XNYS", "B": "ECB", "C": "XNYS"})
    mine = table[(table["unique_id"] == "XNYS") & (table["model"] == BUY_AND_HOLD)]
    assert mine["long"].iloc[1:].eq(1).all()
    assert mine["date"].min() == pd.Timestamp(early.dates[4])
