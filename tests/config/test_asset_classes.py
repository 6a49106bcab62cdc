"""What a ticker is, by its spelling, its calendar or its owner's word."""

import numpy as np
import pytest

from s2squant.config.asset_classes import asset_class
from s2squant.config.files import make_experiment
from s2squant.errors import ConfigError
from s2squant.prices.universe import load_universe
from s2squant.series.history import PriceHistory


@pytest.mark.parametrize(
    ("ticker", "calendar", "expected"),
    [
        ("AAPL", "XNYS", "stocks"),
        ("^GSPC", "XNYS", "stocks"),
        ("^TNX", "XNYS", "rates"),
        ("EURUSD=X", "24/5", "currencies"),
        ("EURNOK", "ECB", "currencies"),
        ("GC=F", "CMES", "commodities"),
        ("BTC-USD", "24/7", "crypto"),
    ],
)
def test_what_a_ticker_is(ticker, calendar, expected):
    assert asset_class(ticker, calendar) == expected


def test_a_declared_class_goes_before_the_guess():
    days = np.datetime64("2020-01-01") + np.arange(3)
    assert PriceHistory("GLD", "XNYS", days, [1, 2, 3]).asset_class == "stocks"
    assert PriceHistory("GLD", "XNYS", days, [1, 2, 3], declared_class="commodities").asset_class == "commodities"
    universe = make_experiment({"universe": {"tickers": ["AAPL", "IBM"], "asset_classes": {"IBM": "rates"}}}).universe
    found = {h.ticker: h.asset_class for h in load_universe(universe).histories}
    assert found == {"AAPL": "stocks", "IBM": "rates"}


def test_an_unknown_class_and_a_torn_ticker_are_told():
    with pytest.raises(ConfigError, match="stocks"):
        make_experiment({"universe": {"asset_classes": {"IBM": "shares"}}})
    with pytest.raises(ConfigError, match=r'universe.asset_classes=\{"VOD.L" = "stocks"\}'):
        make_experiment({"universe": {"asset_classes": {"VOD": {"L": "stocks"}}}})
