"""Prices whose returns are shuffled over dates, so that no day says anything of the days that follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s2squant.series.arrays import Dates
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel


def shuffled(panel: Panel, seed: int) -> Panel:
    """The panel with the one-bar log returns of each ticker permuted over its own bars; closes only, no covariates.

    One permutation of the market's dates serves all tickers, so that the returns of a day stay together; where a ticker
    has no bar on the date drawn, it takes one of its returns that are left. Bars, first price, drift and marginal law
    of each ticker stay.
    """
    rng = np.random.default_rng(seed)
    days = panel.calendar_dates()
    drawn = rng.permutation(days)
    return Panel(tuple(_shuffled(history, days, drawn, rng) for history in panel.histories))


def _shuffled(history: PriceHistory, days: Dates, drawn: Dates, rng: np.random.Generator) -> PriceHistory:
    own, returns = history.dates[1:], history.log_returns
    wanted = drawn[np.searchsorted(days, own)]
    place = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
    has = own[place] == wanted
    place[~has] = rng.permutation(np.setdiff1d(np.arange(len(own)), place[has]))
    price = np.exp(np.concatenate([[0.0], np.cumsum(returns[place])]))
    adj_close = history.adj_close[0] * price
    return replace(history, adj_close=adj_close, bars={}, events={}, source="shuffled", resumed=(), covariates=None)
