"""Panels with a planted truth, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel


def business_days(count: int, start: str = "2000-01-03") -> np.ndarray:
    """Weekdays, oldest first."""
    return np.busday_offset(np.datetime64(start, "D"), np.arange(count), roll="forward")


def history(
    returns: np.ndarray, ticker: str = "A", *, calendar: str = "XNYS", ohlcv: bool = False, seed: int = 0
) -> PriceHistory:
    """A history with the given log returns (the first is ignored), 100 at the start."""
    close = 100 * np.exp(np.cumsum(np.r_[0.0, returns[1:]]))
    bars: Mapping[str, Any] = {}
    if ohlcv:
        rng = np.random.default_rng(seed)
        spread = np.abs(rng.normal(size=(2, len(close)))) * 0.005
        opened = close * np.exp(rng.normal(size=len(close)) * 0.003)
        bars = {
            "open": opened,
            "high": np.maximum(opened, close) * np.exp(spread[0]),
            "low": np.minimum(opened, close) * np.exp(-spread[1]),
            "close": close,
            "volume": rng.lognormal(10, 0.5, len(close)),
        }
    return PriceHistory(ticker, calendar, business_days(len(close)), close, bars)


def garch_returns(bars: int, seed: int, *, market: np.ndarray | None = None) -> np.ndarray:
    """Daily returns of about 1 % with clustered volatility and t(6) shocks, partly the market's."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(6, bars) * np.sqrt(4 / 6)
    if market is not None:
        shocks = 0.6 * market + 0.8 * shocks
    variance, returns = 1.0, np.empty(bars)
    for t in range(bars):
        returns[t] = np.sqrt(variance) * shocks[t]
        variance = 0.02 + 0.08 * returns[t] ** 2 + 0.9 * variance
    return 0.01 * returns


def garch_panel(tickers: str = "ABC", bars: int = 1000, seed: int = 0, *, ohlcv: bool = False) -> Panel:
    """A few correlated stocks."""
    market = np.random.default_rng(seed).standard_t(6, bars) * np.sqrt(4 / 6)
    return Panel(
        tuple(
            history(garch_returns(bars, seed + 1 + i, market=market), ticker, ohlcv=ohlcv, seed=i)
            for i, ticker in enumerate(tickers)
        )
    )


def scrambled_after(panel: Panel, date: Any, seed: int = 99) -> Panel:
    """The same panel with every value after `date` replaced by noise."""
    day, rng = np.datetime64(date, "D"), np.random.default_rng(seed)
    changed = []
    for h in panel.histories:
        late = h.dates > day
        noise = np.exp(rng.normal(0, 0.3, late.sum()))
        adj = np.array(h.adj_close)
        adj[late] = 50 * noise
        bars = {name: np.array(values) for name, values in h.bars.items()}
        for values in bars.values():
            values[late] = 70 * np.exp(rng.normal(0, 0.3, late.sum()))
        changed.append(PriceHistory(h.ticker, h.calendar, h.dates, adj, bars))
    return Panel(tuple(changed))


def crps(y_NH: np.ndarray, quantiles_NHQ: np.ndarray) -> np.ndarray:
    """2 x mean pinball loss, written apart from the package."""
    levels = np.arange(1, 40) / 40
    error = y_NH[..., None] - quantiles_NHQ
    return 2 * np.mean(np.where(error >= 0, levels * error, (levels - 1) * error), axis=-1)
