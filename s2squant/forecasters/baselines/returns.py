"""One ticker's bars out of a panel: its returns, its origins, its trailing window.

A bar number b counts the bars of the ticker before it, so exactly b returns are known at its close: `returns_T[:b]`.
Shape legend: T returns of a ticker, M fitted tickers, N origins, W bars of a trailing window, H steps ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from s2squant.series.arrays import Floats, Ints
from s2squant.series.panel import Panel


class Origins(NamedTuple):
    """The origins asked of one ticker."""

    ticker: str
    number: int
    """The ticker's place among the fitted ones."""
    returns: Floats
    """(T,) all its log returns in the panel; an origin at bar b may read only the first b of them."""
    where: Ints
    """(N,) places of these origins in the answer."""
    bars: Ints
    """(N,) their bar numbers."""
    ahead: Floats | None = None
    """(N, H) relative standard deviations of the next returns by their daily profile; None for bars of a day."""
    sd: Floats | float = 1.0
    """(T,) those that `returns` are divided by."""

    def clock(self, horizon: int) -> NDArray[Any]:
        """Variance up to each step in that of a bar, (H,) or (N, H): its number where there is no profile."""
        if self.ahead is None:
            return np.asarray(np.arange(1, horizon + 1))
        return np.asarray(np.cumsum(self.ahead**2, axis=1))

    def spread(self, gain_H: Floats) -> Floats:
        """Variance up to each step, (H,) or (N, H), of errors that the level answers to by `gain_H`."""
        if self.ahead is None:
            return np.asarray(np.cumsum(gain_H**2))
        return np.asarray(lfilter(gain_H**2, [1.0], self.ahead**2, axis=1))

    def ahead_of(self, chunk: slice) -> Floats | None:
        """The relative standard deviations of some of the origins."""
        return None if self.ahead is None else self.ahead[chunk]


def log_returns(panel: Panel, ticker: str) -> Floats:
    """Log returns (T,) of one ticker, zero over a hole; the b-th bar's return stands at b - 1."""
    return panel.histories[panel.tickers.index(ticker)].log_returns


def even_returns(panel: Panel, ticker: str, sd_R: Floats | None) -> Floats:
    """Log returns (T,) of one ticker, over the relative standard deviations of a panel's rows (R,) if it has any."""
    returns_T = log_returns(panel, ticker)
    return returns_T if sd_R is None else returns_T / sd_R[panel.rows_of(ticker)[1:]]


def tickers_of(panel: Panel, rows: Ints) -> tuple[str, ...]:
    """The tickers that own at least one of `rows`, in the panel's order."""
    tickers = panel.tickers
    return tuple(tickers[m] for m in np.unique(panel.ticker_of[rows]))


def by_ticker(panel: Panel, rows: Ints, fitted: tuple[str, ...], model: str) -> Iterator[Origins]:
    """Sort origins by ticker; raises ValueError for a ticker that was not fitted, or an origin without a return."""
    tickers = panel.tickers
    owner_N, bars_N = panel.ticker_of[rows], panel.bar_number(rows)
    for m in np.unique(owner_N):
        ticker = tickers[m]
        if ticker not in fitted:
            raise ValueError(
                f"{model} was not fitted for {ticker} (fitted: {', '.join(fitted) or 'none'}); "
                "give fit() training rows of that ticker"
            )
        where_N = np.flatnonzero(owner_N == m)
        if (bars_N[where_N] < 1).any():
            raise ValueError(f"{model}: the first bar of {ticker} has no return before it; forecast from a later bar")
        yield Origins(ticker, fitted.index(ticker), log_returns(panel, ticker), where_N, bars_N[where_N])


def trailing_index(bars_N: Ints, window: int) -> Ints:
    """Places (N, W) in `returns_T` of the last W returns known at each bar, newest first; negative before the first."""
    return bars_N[:, None] - 1 - np.arange(window)
