"""A portfolio's outlook, its walk and its tables: arithmetic by hand, no look ahead, no luck taken for skill."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from s2squant.config.experiment import Experiment
from s2squant.evaluation.portfolio.outcome import contributions, outlook
from s2squant.evaluation.portfolio.tables import portfolio_tables
from s2squant.evaluation.portfolio.walk import compared, hold, walk
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_COLUMNS, ALL_LEVELS
from tests.worlds.synthetic import garch_panel, history

DAYS = np.datetime64("2020-01-06") + np.arange(1500)


def test_the_outlook_of_two_paths_by_hand():
    rises, falls = np.log([1.1, 1.21]), np.log([0.9, 0.99])
    paths = np.stack([np.stack([rises, falls], axis=1), np.zeros((2, 2))])  # the second ticker stays where it is
    table = outlook(paths, np.array([0.5, 0.5]), [1, 2]).set_index("step")
    np.testing.assert_allclose(table["mean"], [0.0, 0.05], atol=1e-12)
    np.testing.assert_allclose(table["es_95"], [0.05, 0.005], atol=1e-12)
    assert table.loc[2, "drawdown_95"] == pytest.approx(0.0475)
    parts = contributions(paths, np.array([0.5, 0.5]), "AB")
    np.testing.assert_allclose(parts["contribution"], [0.005, 0.0], atol=1e-12)
    np.testing.assert_allclose(parts["share"], [1.0, 0.0], atol=1e-12)


def test_a_walk_by_hand():
    returns = np.array([[0.0, 0.0], [0.5, 0.5], [0.1, -0.1], [0.2, 0.0]])
    targets = {1: np.array([0.5, 0.5]), 2: np.array([1.0, 0.0])}
    walked = hold(returns, targets, DAYS[:4], cost_bp=100)
    # bought at the close of bar 1, so its 50 % is not earned; at bar 2 weights stand at .55 and .45
    np.testing.assert_allclose(walked.turnover, [1.0, 0.9, 0.0])
    np.testing.assert_allclose(walked.net, [-0.01, 0.0 - 0.009, 0.2])
    once = hold(returns, targets, DAYS[:4], cost_bp=0, once=True)
    np.testing.assert_allclose(once.net, [0.0, 0.0, 0.11])


def test_weights_of_a_cutoff_are_traded_a_bar_later():
    returns = np.zeros((20, 2))
    returns[11] = [1.0, 0.0]
    walked = walk(DAYS[:20], returns, {10: np.array([1.0, 0.0])}, {10: np.ones(2)}, cost_bp=0)
    assert walked["own"].net.sum() == 0.0, "the bar of the entry is not earned"
    assert str(walked["own"].dates[0]) == str(DAYS[11])


@pytest.mark.slow
def test_equal_weights_are_not_beaten_by_luck():
    """Independent random walks of different volatility: inverse volatility and risk parity know nothing of returns."""
    better = {"equal": 0, "inverse_volatility": 0, "buy_and_hold": 0}
    universes = 200
    for seed in range(universes):
        draws = np.random.default_rng(seed)
        returns = 0.01 * draws.standard_t(5, (1500, 5)) * draws.uniform(0.5, 2, 5)
        weights = {bar: 1 / returns[bar - 250 : bar].std(axis=0) for bar in range(260, 1490, 10)}
        weights = {bar: one / one.sum() for bar, one in weights.items()}
        walked = walk(DAYS, returns, weights, dict.fromkeys(weights, np.ones(5)), cost_bp=0)
        table = compared(walked, "XNYS", "risk_parity", 1).set_index("against")
        for name in better:
            better[name] += table.loc[name, "finding"] == "better"
    print({name: f"{100 * many / universes:.1f} %" for name, many in better.items()})
    assert max(better.values()) <= 0.05 * universes


def told(panel, horizon=5, every=10, first=500):
    """Normal forecasts with the deviation of the last 60 bars, as the long table."""
    parts = []
    for own in panel.histories:
        log_price = own.log_price
        for bar in range(first, len(own), every):
            deviation = own.log_returns[bar - 60 : bar].std()
            steps = np.arange(1, horizon + 1)
            quantiles = deviation * np.sqrt(steps)[:, None] * ndtri(ALL_LEVELS)
            ahead = np.minimum(bar + steps, len(own) - 1)
            y = np.where(bar + steps < len(own), log_price[ahead] - log_price[bar], np.nan)
            head = {"model": "blend", "unique_id": own.ticker, "cutoff": own.dates[bar], "step": steps, "y": y}
            parts.append(pd.DataFrame(head).join(pd.DataFrame(quantiles, columns=list(ALL_COLUMNS))))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("rule", ["equal", "risk_parity"])
def test_the_tables_of_a_run(rule):
    panel = garch_panel("ABC", 900, seed=2)
    experiment = Experiment.model_validate(
        {"walk": {"horizon": 5}, "portfolio": {"weights": rule, "draws": 400}, "strategy": {"cost_bp": 10.0}}
    )
    histories = {h.ticker: h for h in panel.histories}
    markets = dict.fromkeys(histories, "XNYS")
    made = portfolio_tables(told(panel), histories, experiment, markets=markets, trials=7)
    weights = made.weights.pivot_table(index="cutoff", columns="unique_id", values="weight")
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert len(weights) == 40
    own = made.walked[made.walked["against"] == ""].iloc[0]
    assert (own["trials"], own["bars"]) == (7, 399)
    others = made.walked.set_index("against").drop(index="")
    assert ("equal" in others.index) is (rule != "equal")
    np.testing.assert_allclose(others["p_adjusted"], np.minimum(others["p"] * len(others) * 7, 1))
    curve = made.equity[made.equity["rule"] == "own"]
    np.testing.assert_allclose(curve["equity"].iloc[-1], np.prod(1 + curve["net"]))
    parts, newest = made.parts, made.outlook.set_index("step")
    assert parts["contribution"].sum() == pytest.approx(newest.loc[5, "es_95"], rel=1e-6)
    assert 0 < newest.loc[5, "diversification"] < 1
    first = made.risk[(made.risk["step"] == 1) & (made.risk["level"] == 0.05)]
    assert made.refused == {}
    cut = {t: h.between(None, panel.dates[720]) for t, h in histories.items()}
    before = told(panel)[lambda t: t["cutoff"] <= panel.dates[720]]
    again = portfolio_tables(before, cut, experiment, markets=markets, trials=7).weights
    pd.testing.assert_frame_equal(again, made.weights.iloc[: len(again)])
    assert len(first) == 2 or first.empty  # 39 forecasts are too few for a test
    alone = portfolio_tables(told(panel), histories, experiment, markets={"A": "XNYS"}, trials=1)
    assert alone.refused == {"XNYS": "a portfolio needs two tickers with dates in common"}
    assert alone.outlook.empty


@pytest.mark.parametrize("rule", ["risk_parity", "min_cvar"])
def test_the_dependence_of_past_outcomes_decides_the_weights(rule):
    """A and B are nearly one ticker, C is alone: its marginals are theirs, and it has about half of the weight."""
    draws = np.random.default_rng(3).standard_normal((3, 900))
    moves = 0.01 * np.stack([draws[0], draws[0] + 0.1 * draws[1], draws[2]])
    panel = Panel(tuple(history(own, name) for own, name in zip(moves, "ABC", strict=True)))
    experiment = Experiment.model_validate({"walk": {"horizon": 5}, "portfolio": {"weights": rule, "draws": 400}})
    histories = {h.ticker: h for h in panel.histories}
    made = portfolio_tables(
        told(panel, every=60), histories, experiment, markets=dict.fromkeys(histories, "XNYS"), trials=1
    )
    mean = made.weights.groupby("unique_id")["weight"].mean()
    assert mean["C"] > 0.38
    assert abs(mean["A"] + mean["B"] - (1 - mean["C"])) < 1e-9


def test_a_ticker_whose_rate_trades_in_another_market_is_refused_by_name():
    draws = 0.01 * np.random.default_rng(4).standard_normal((3, 700))
    names = {"SAP": "XETR", "BMW": "XETR", "EURUSD": "ECB"}
    made = [history(own, name, calendar=where) for own, (name, where) in zip(draws, names.items(), strict=True)]
    experiment = Experiment.model_validate(
        {"walk": {"horizon": 5}, "portfolio": {"weights": "equal", "currency": "USD", "draws": 100}}
    )
    table = told(Panel(tuple(made[:2])), every=90)
    tables = portfolio_tables(table, {h.ticker: h for h in made}, experiment, markets=names, trials=1)
    assert tables.outlook.empty
    assert set(tables.refused) == {"SAP", "BMW", "XETR", "ECB"}
    assert tables.refused["SAP"].startswith("its price is in EUR, and EURUSD trades in another market")
