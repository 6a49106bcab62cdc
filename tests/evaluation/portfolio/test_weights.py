"""Weights from scenarios: cases by hand, planted dependence, and files that are refused in one line."""

import numpy as np
import pytest

from s2squant.config.portfolio import PortfolioSpec
from s2squant.errors import ConfigError
from s2squant.evaluation.portfolio.currency import conversions
from s2squant.evaluation.portfolio.weights import check_rule, growth_optimal, risk_parity, weights_of
from s2squant.series.history import PriceHistory


def spec(rule, **further):
    return PortfolioSpec(weights=rule, **further)


def test_least_cvar_of_two_assets_by_hand():
    returns = np.full((2, 100), 0.01)
    returns[0, :5], returns[1, 5:10] = -0.12, -0.06  # never together
    # the worst five lose .12 w - .01 (1 - w) or .06 (1 - w) - .01 w: equal at w = .07 / .20
    np.testing.assert_allclose(weights_of(returns, "AB", spec("min_cvar")), [0.35, 0.65], atol=1e-5)
    capped = weights_of(returns, "AB", spec("min_cvar", most=0.6))
    np.testing.assert_allclose(capped, [0.4, 0.6], atol=1e-5)
    better = returns + np.array([[0.2], [0.0]])
    np.testing.assert_allclose(weights_of(better, "AB", spec("mean_cvar")), [1, 0], atol=1e-5)


def test_rules_without_an_optimiser_by_hand():
    draws = np.random.default_rng(0).standard_normal((3, 20_000))
    returns = np.stack([0.01 * draws[0], 0.01 * draws[0] + 1e-5 * draws[1], 0.01 * draws[2]])
    np.testing.assert_allclose(weights_of(returns, "ABC", spec("equal")), 1 / 3)
    np.testing.assert_allclose(weights_of(returns, "ABC", spec("inverse_volatility")), 1 / 3, atol=0.01)
    together = weights_of(returns, "ABC", spec("risk_parity"))  # A and B are one: x^2 = y^2 + ... = 1 / 3
    np.testing.assert_allclose(together, [0.293, 0.293, 0.414], atol=0.01)
    covariance = np.cov(0.02 * np.random.default_rng(1).standard_normal((4, 500)) * np.arange(1, 5)[:, None])
    weights = risk_parity(covariance)
    added = weights * (covariance @ weights)
    np.testing.assert_allclose(added, added.mean(), rtol=1e-6)
    assert np.isfinite(risk_parity(np.diag([1e-4, 0.0]))).all()


def test_growth_of_a_coin_is_kellys():
    coin = np.array([[0.2] * 60 + [-0.2] * 40])  # p = .6, even odds at a fifth of what is staked: (p - q) / .2 = 1
    np.testing.assert_allclose(growth_optimal(np.array([[1.0] * 60 + [-1.0] * 40])), [0.2], atol=1e-3)
    np.testing.assert_allclose(growth_optimal(coin), [1.0], atol=1e-3)
    np.testing.assert_allclose(growth_optimal(-coin), [0.0], atol=1e-3)
    half = weights_of(np.array([[1.0] * 60 + [-1.0] * 40]), "A", spec("kelly_fraction"))
    np.testing.assert_allclose(half, [0.1], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ticker,weight\nA,1\nNOPE,1\n", "NOPE is not among the tickers"),
        ("ticker,weight\nA,1\nB,-1\n", "sum to zero"),
        ("ticker,weight\nA,nan\nB,1\n", "weight 'nan' of ticker 'A'"),
        ("ticker,weight\nA,1\nA,2\n", "A stands twice"),
        ("name;share\nA;1\n", "weight '' of ticker ''"),
        ("", "sum to zero"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, text, why):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(ConfigError, match=why) as caught:
        check_rule(spec("file", file=str(tmp_path / "w.csv")), {"XNYS": ["A", "B"]})
    assert "\n" not in str(caught.value)


def test_a_good_file_is_divided_by_its_sum_and_bad_settings_are_named(tmp_path):
    (tmp_path / "w.csv").write_text("ticker,weight\nB,30\nA,10\n")
    own = spec("file", file=str(tmp_path / "w.csv"))
    check_rule(own, {"XNYS": ["A", "B", "C"]})
    np.testing.assert_allclose(weights_of(np.zeros((3, 5)), "ABC", own), [0.25, 0.75, 0])
    with pytest.raises(ConfigError, match="cannot be read"):
        check_rule(spec("file", file=str(tmp_path / "none.csv")), {"XNYS": ["A", "B"]})
    with pytest.raises(ConfigError, match="no market has two tickers"):
        check_rule(spec("equal"), {"XNYS": ["A"], "XLON": ["B"]})
    check_rule(PortfolioSpec(), {"XNYS": ["A"]})
    with pytest.raises(ValueError, match="belong together"):
        spec("equal", file="w.csv")
    with pytest.raises(ValueError, match="dollar is no currency"):
        spec("equal", currency="dollar")


def test_prices_in_another_currency_are_converted_by_rates_or_refused_by_name():
    def of(ticker, calendar):
        return PriceHistory(ticker, calendar, np.arange(3).astype("datetime64[D]"), np.ones(3))

    told = [of("SAP", "XETR"), of("AAPL", "XNYS"), of("EURUSD", "ECB"), of("EURJPY", "ECB"), of("VOD", "XLON")]
    added, refused = conversions([*told, of("ODD", "24/7")], spec("equal", currency="USD"))
    assert added["SAP"] == (("EURUSD", 1.0),)
    assert added["AAPL"] == added["EURUSD"] == ()
    assert added["EURJPY"] == (("EURJPY", -1.0), ("EURUSD", 1.0))
    assert refused["VOD"] == "its price is in GBP, and no rate to USD is among the tickers"
    assert "name it in portfolio.currencies" in refused["ODD"]
    by_market = conversions(told[:2], spec("equal", currency="USD"), told[2:])
    assert by_market == (
        {"AAPL": ()},
        {
            "SAP": "its price is in EUR, and EURUSD trades in another market, whose cutoffs are others; "
            "s2squant predict --portfolio converts across markets"
        },
    )
    assert conversions(told, spec("equal")) == ({h.ticker: () for h in told}, {})
    named, _ = conversions([of("ODD", "24/7")], spec("equal", currency="USD", currencies={"ODD": "USD"}))
    assert named == {"ODD": ()}
