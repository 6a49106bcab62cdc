"""Walk-forward folds and the rows they train on and forecast from.

Everything is a range of rows into one resident panel: no window is ever copied. The purge equals the horizon by
construction: a model is fitted on a panel cut off at the fold's fit date, so that no label can reach past it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s2squant.config.experiment import Walk
from s2squant.errors import ConfigError
from s2squant.series.arrays import Dates, Ints
from s2squant.series.history import PriceHistory
from s2squant.series.panel import SETTLED, Fold, Panel


def session_dates(panel: Panel) -> Dates:
    """Dates on which at least half of the then listed tickers have a bar, increasing."""
    days, counts = np.unique(panel.dates, return_counts=True)
    listed = np.zeros(len(days), int)
    for history in panel.histories:
        listed += (days >= history.dates[0]) & (days <= history.dates[-1])
    return days[2 * counts >= listed]


def bars_needed(walk: Walk) -> int:
    """Bars a market needs for every asked cutoff: training, the cutoffs, and the last one's horizon."""
    return walk.min_train + (walk.cutoffs - 1) * walk.every + walk.horizon + 1


def check_room(walk: Walk, *, warmup: int, origins: int) -> None:
    """Raise ConfigError unless the first fit of a ticker of just enough bars has `origins` training origins."""
    settings = {"walk.min_train": walk.min_train - warmup}
    if walk.window == "sliding":
        settings["walk.train_bars"] = walk.train_bars
    for name, bars in settings.items():
        have = bars - walk.horizon
        if have < origins:
            value = getattr(walk, name.removeprefix("walk."))
            raise ConfigError(
                f"{name} {value} leaves {max(0, have)} training origins before the first cutoff, {origins} are needed "
                f"(horizon {walk.horizon}, warmup {warmup}); set {name} to {value + origins - have} or more"
            )


def all_cutoffs(panel: Panel, walk: Walk) -> Dates:
    """The market's scored cutoffs, oldest first; the last one's horizon ends on the last session.

    Empty when the market has fewer than `bars_needed` sessions.
    """
    days = session_dates(panel)
    if len(days) < bars_needed(walk):
        return days[:0]
    last = len(days) - 1 - walk.horizon
    return days[last - walk.every * np.arange(walk.cutoffs)[::-1]]


def make_folds(panel: Panel, walk: Walk) -> tuple[Fold, ...]:
    """Split the market's cutoffs into folds: fit at the first and again whenever `refit_every` bars have passed."""
    days, cutoffs = session_dates(panel), all_cutoffs(panel, walk)
    per_fold = max(1, -(-walk.refit_every // walk.every))
    folds = []
    for number, first in enumerate(range(0, len(cutoffs), per_fold)):
        fit_date = cutoffs[first]
        place = int(np.searchsorted(days, fit_date))
        start = days[0] if walk.window == "expanding" else days[max(0, place + 1 - walk.train_bars)]
        folds.append(
            Fold(
                market=panel.market,
                number=number,
                train_start=start,
                fit_date=fit_date,
                cutoffs=cutoffs[first : first + per_fold],
                horizon=walk.horizon,
            )
        )
    return tuple(folds)


def too_short(history: PriceHistory, cutoffs: Dates, walk: Walk) -> str:
    """Why this ticker cannot take part, or an empty text when it can."""
    before = int((history.dates <= cutoffs[0]).sum())
    if before < walk.min_train:
        return (
            f"too short: {before} of {len(history)} bars by the first cutoff {cutoffs[0]}, {walk.min_train} are needed"
        )
    if len(history) <= walk.horizon or not np.isin(history.dates[: -walk.horizon], cutoffs).any():
        return (
            f"no bars to score: none of its bars with {walk.horizon} more after it is a cutoff "
            f"({cutoffs[0]} .. {cutoffs[-1]}); its last bar is {history.dates[-1]}"
        )
    return ""


def unsettled(history: PriceHistory) -> str:
    """Why this ticker cannot be forecast from its last bar after a hole, or an empty text when it can."""
    after = np.flatnonzero(history.resumed_T)
    bars = len(history) - 1 - int(after[-1]) if len(after) else SETTLED
    if bars >= SETTLED:
        return ""
    return f"resumed on {history.dates[after[-1]]} after a hole, {bars} bars before its last; {SETTLED} are needed"


def train_rows(panel: Panel, fold: Fold, *, warmup: int) -> Ints:
    """Training origins of a fold, on a panel that ends at its fit date: warm, inside the window, label fully known.

    None has its label, or its own last month, across a hole.
    """
    rows = np.arange(len(panel.log_price))
    keep = (panel.bar_number(rows) >= warmup) & (panel.bars_left(rows) >= fold.horizon)
    keep &= (panel.dates >= fold.train_start) & panel.settled(rows)
    return rows[keep]


def test_rows(panel: Panel, cutoffs: Dates) -> Ints:
    """Rows of every ticker at the given cutoffs, ticker by ticker, oldest first; a halted ticker has none.

    Nor has one that resumed less than a month before.
    """
    rows = np.flatnonzero(np.isin(panel.dates, cutoffs))
    return rows[panel.settled(rows)]


def last_rows(panel: Panel) -> Ints:
    """The last row of each ticker: where the forecast of tomorrow starts."""
    return panel.starts[1:] - 1


def of_tickers(panel: Panel, rows: Ints, tickers: Sequence[str]) -> Ints:
    """The rows that belong to the given tickers."""
    wanted = [panel.tickers.index(ticker) for ticker in tickers]
    return rows[np.isin(panel.ticker_of[rows], wanted)]


def fold_table(folds: Sequence[Fold]) -> str:
    """The folds as plain text, one line each, for terminals and logs."""
    head = "market     fold  train from  fit date    cutoffs  first .. last cutoff      purge"
    lines = [
        f"{f.market:10} {f.number:>4}  {f.train_start}  {f.fit_date}  {len(f.cutoffs):>7}  "
        f"{f.cutoffs[0]} .. {f.cutoffs[-1]}  {f.horizon} bars"
        for f in folds
    ]
    return "\n".join([head, *lines])
