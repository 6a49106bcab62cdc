"""Past standardised outcomes on common dates: whose rank order joins forecasts over steps and tickers.

An outcome is the cumulative log return of the H bars after a date, over the ticker's EWMA deviation on that date: what
a forecast of that day would have called large. Only its order among other dates is read.

Shape legend: M tickers, H steps, W dates of past outcomes, R bars of one ticker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import SourceError
from s2squant.series.arrays import Dates, Floats, Ints, in_days
from s2squant.series.history import PriceHistory

DECAY = 0.94
"""Of the EWMA variance (RiskMetrics 1996)."""
WARMUP = 22
"""Bars of a segment before its first outcome."""
FEWEST = 250
"""Common dates without which nothing is joined."""
MOST = 2500
"""Common dates, the newest, that are read: ten years."""


LAG = 7
"""Days by which last bars may differ."""


@dataclass(frozen=True)
class PastPaths:
    """Standardised outcomes of some tickers, on the dates that all of them have."""

    tickers: tuple[str, ...]
    starts_W: Dates
    ends_W: Dates
    """The day on which the last ticker's outcome was known."""
    outcomes_MHW: NDArray[np.float32]

    def known(self, day: np.datetime64) -> PastPaths:
        """The newest MOST outcomes that were known on a day; raises SourceError where they are too few."""
        rows = np.flatnonzero(self.ends_W <= day)[-MOST:]
        if len(rows) < FEWEST:
            raise SourceError(
                f"{', '.join(self.tickers[:3])}: {len(rows)} dates in common by {day}, joint paths need {FEWEST}"
            )
        outcomes = np.ascontiguousarray(self.outcomes_MHW[..., rows])
        return PastPaths(self.tickers, self.starts_W[rows], self.ends_W[rows], outcomes)

    def order(self, seed: int) -> NDArray[np.int32]:
        """The dates (M, H, W) from the lowest outcome to the highest; equal ones in an order of each ticker's own."""
        draws = np.random.default_rng(seed)
        order_MHW = np.empty(self.outcomes_MHW.shape, np.int32)
        for m, outcomes_HW in enumerate(self.outcomes_MHW):
            shuffled_W = draws.permutation(outcomes_HW.shape[1]).astype(np.int32)
            order_MHW[m] = shuffled_W[np.argsort(outcomes_HW[:, shuffled_W], axis=1)]
        return order_MHW


def past_paths(histories: Sequence[PriceHistory], horizon: int) -> PastPaths:
    """Outcomes of up to `horizon` bars of tickers that share dates; raises SourceError, naming one, where they do not.

    A step is a bar of the ticker's own calendar, and no outcome reaches over a hole.
    """
    eligible = [_eligible(history, horizon) for history in histories]
    starts_W = histories[0].dates[eligible[0]]
    for history, bars in zip(histories[1:], eligible[1:], strict=True):
        starts_W = np.intersect1d(starts_W, history.dates[bars], assume_unique=True)
    if len(starts_W) < FEWEST:
        fewest = min(histories, key=len)
        raise SourceError(
            f"{fewest.ticker}: {len(starts_W)} dates in common with the other tickers, joint paths need {FEWEST}; "
            "leave it out"
        )
    outcomes = np.empty((len(histories), horizon, len(starts_W)), np.float32)
    ends_W = starts_W.copy()
    for m, history in enumerate(histories):
        at_W = np.searchsorted(history.dates, starts_W)
        log_price, deviation_W = history.log_price, ewma_deviation(history)[at_W]
        ends_W = np.maximum(ends_W, history.dates[at_W + horizon])
        for step in range(1, horizon + 1):
            outcomes[m, step - 1] = (log_price[at_W + step] - log_price[at_W]) / deviation_W
    return PastPaths(tuple(h.ticker for h in histories), starts_W, ends_W, outcomes)


def sharing(histories: Sequence[PriceHistory], horizon: int) -> tuple[list[PriceHistory], dict[str, str]]:
    """The tickers that have dates enough in common, and why each of the others is left out.

    One after the other goes whose absence frees the most dates.
    """
    dates = [history.dates[_eligible(history, horizon)] for history in histories]
    days = np.unique(np.concatenate(dates)) if dates else np.empty(0, "datetime64[D]")
    has_MD = np.stack([np.isin(days, own) for own in dates]) if dates else np.empty((0, 0), bool)
    kept, refused = list(range(len(histories))), dict[str, str]()
    while kept and (common := int(has_MD[kept].all(axis=0).sum())) < FEWEST:
        lacking = ~has_MD[kept]
        alone = lacking & (lacking.sum(axis=0) == 1)
        worst = kept[max(range(len(kept)), key=lambda k: (int(alone[k].sum()), int(lacking[k].sum())))]
        beside = "" if len(kept) == 1 else " in common with the others"
        refused[histories[worst].ticker] = f"{common} past paths of {horizon} bars{beside}, {FEWEST} are needed"
        kept.remove(worst)
    return [histories[m] for m in kept], refused


def joinable(histories: Sequence[PriceHistory], horizon: int) -> tuple[list[PriceHistory], dict[str, str]]:
    """The tickers whose newest forecasts can be joined, and why each of the others cannot.

    They end together and share dates (`sharing`).
    """
    newest = max((history.dates[-1] for history in histories), default=np.datetime64("NaT"))
    together = [history for history in histories if in_days(newest - history.dates[-1]) <= LAG]
    refused = {
        history.ticker: f"its prices end on {history.dates[-1]}, others on {newest}"
        for history in histories
        if in_days(newest - history.dates[-1]) > LAG
    }
    kept, apart = sharing(together, horizon)
    return kept, refused | apart


def _eligible(history: PriceHistory, horizon: int) -> Ints:
    """Bars from which an outcome of `horizon` bars begins inside one segment, after its first WARMUP bars."""
    first_R = np.maximum.accumulate(np.where(history.resumed_T, np.arange(len(history)), 0))
    bars = np.arange(max(len(history) - horizon, 0))
    whole: NDArray[np.bool_] = (first_R[bars] == first_R[bars + horizon]) & (bars - first_R[bars] >= WARMUP)
    return np.asarray(bars[whole])


def ewma_deviation(history: PriceHistory) -> Floats:
    """EWMA deviation of one-bar log returns (R,), as known at each bar's close."""
    from scipy.signal import lfilter

    squares = np.square(history.log_returns)
    start = squares[:WARMUP].mean()
    variance, _ = lfilter([1 - DECAY], [1, -DECAY], squares, zi=[DECAY * start])
    floor = max(1e-8 * float(squares.mean()), 1e-16)
    return np.asarray(np.sqrt(np.maximum(np.concatenate([[start], variance]), floor)))
