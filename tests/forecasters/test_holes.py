"""What happened over a hole says nothing: the size of the move across it changes no forecast of any model."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.series.history import OHLCV
from s2squant.series.panel import Panel
from tests.test_contract import NAMES, SEED, H, fit, settings
from tests.worlds.synthetic import garch_panel

LEFT, RIGHT = 420, 130
"""Bars before and after the hole."""


def halted(ticker, factor):
    """A series that was not traded for a month, its earlier prices `factor` times what they would be."""
    history = garch_panel(ticker[0], LEFT + 30 + RIGHT, ohlcv=True).histories[0]
    keep = np.r_[:LEFT, LEFT + 30 : LEFT + 30 + RIGHT]
    level = np.where(np.arange(LEFT + RIGHT) < LEFT, factor, 1.0)
    bars = {name: history.bars[name][keep] * (1.0 if name == "volume" else level) for name in OHLCV}
    dates = history.dates[keep]
    prices = history.adj_close[keep] * level
    return replace(history, ticker=ticker, dates=dates, adj_close=prices, bars=bars, resumed=(str(dates[LEFT]),))


@pytest.mark.parametrize("name", NAMES)
def test_the_move_over_a_hole_changes_no_forecast(name):
    forecasts = []
    for factor in (1.0, 8.0):
        panel = Panel((halted("A", factor), halted("B", factor)))
        rows = np.flatnonzero(panel.bar_number(np.arange(len(panel.dates))) >= 250)
        rows = rows[panel.settled(rows) & (panel.bars_left(rows) >= H)]
        fitted = fit(name, panel, rows, using=settings(), seed=SEED)
        forecasts.append(fitted.predict(panel, np.array([LEFT + 40, LEFT + RIGHT - 1, 2 * (LEFT + RIGHT) - 1])))
    one, other = forecasts
    size = np.abs(one.quantiles_NHQ).max()
    np.testing.assert_allclose(other.quantiles_NHQ, one.quantiles_NHQ, rtol=0, atol=2e-5 * size)
    assert size > 0
