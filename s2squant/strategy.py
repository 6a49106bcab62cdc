"""Station 6: forecasts -> positions -> equity after costs, by one rule declared before the run.

Timing, in bars of the ticker's own calendar. A forecast made at the close of bar t (its cutoff) is traded at the
close of bar t+1 and held for H bars: it earns the returns of bars t+2 .. t+1+H and nothing before. No position
trades on the close it was computed from, and none earns the bar in which it is entered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from s2squant.config import StrategySpec
from s2squant.records import QUANTILE_COLUMNS, Dates, Floats, Ints, PriceHistory

BUY_AND_HOLD = "buy_and_hold"
MEDIAN = QUANTILE_COLUMNS[len(QUANTILE_COLUMNS) // 2]
COLUMNS: tuple[str, ...] = ("model", "unique_id", "date", "position", "gross", "cost", "net", "equity_net")


def equity(
    forecasts: pd.DataFrame,
    histories: Mapping[str, PriceHistory],
    spec: StrategySpec,
    *,
    horizon: int,
    models: Sequence[str],
) -> pd.DataFrame:
    """Daily equity of `models` and of buy-and-hold, per ticker and as the equal-weight average "all" over tickers.

    `forecasts` and the result have the columns of Study. A row of date d: `position` is the fraction of equity held
    during the bar that ends at close d (-1 .. 1), `gross` the simple return it earned, `cost` what the trade at
    close d costs (`cost_bp` per unit of change to the next bar's position), `net` = gross - cost, and `equity_net`
    compounds net from 1. Rows run from the first entry to the last exit, both charged. Holdings overlap when
    cutoffs are closer than `horizon`; each then takes an equal share, 1 / (most holdings ever open at once), which
    depends on the schedule alone. The share is restored every bar, and the cost of that restoring is not charged;
    nor are borrowing, financing, impact or spreads beyond `cost_bp`. A median of exactly zero, as centred baselines
    have by design, means no position.
    """
    at_horizon = forecasts.loc[forecasts["step"] == horizon, ["model", "unique_id", "cutoff", MEDIAN]]
    known = set(forecasts["model"].unique())
    absent = [m for m in models if m not in known]
    if absent:
        raise ValueError(f"no forecasts by {', '.join(absent)} to trade on")
    parts = []
    for ticker, rows in at_horizon.groupby("unique_id", observed=True, sort=False):
        history = histories[str(ticker)]
        cutoff_bars = _bars(history, rows["cutoff"])
        schedule = np.unique(cutoff_bars)
        schedule = schedule[schedule + 2 < len(history)]
        if not len(schedule):
            continue
        first, last = int(schedule[0]) + 1, min(int(schedule[-1]) + 1 + horizon, len(history) - 1)
        window = slice(first, last + 1)
        share = 1.0 / _held(schedule, np.ones(len(schedule)), horizon, len(history)).max()
        positions = {BUY_AND_HOLD: np.r_[0.0, np.ones(last - first)]}
        for model in models:
            mine = (rows["model"] == model).to_numpy()
            signal = _signal(rows.loc[mine, MEDIAN].to_numpy(float), spec)
            positions[model] = share * _held(cutoff_bars[mine], signal, horizon, len(history))[window]
        dates = history.dates[window].astype(rows["cutoff"].to_numpy().dtype)
        returns = np.expm1(np.diff(history.log_price, prepend=history.log_price[0]))[window]
        for model, position in positions.items():
            parts.append(_account(model, str(ticker), dates, position, returns, spec))
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object if name in COLUMNS[:2] else float) for name in COLUMNS})
    single = pd.concat(parts, ignore_index=True)
    return _categorised(pd.concat([single, _average(single)], ignore_index=True))


def _signal(median: Floats, spec: StrategySpec) -> Floats:
    """The wished position in (-1, 0, 1) of each forecast, from its median at the horizon."""
    match spec.rule:
        case "sign":
            return np.sign(median)


def _held(cutoff_bars: Ints, signal: Floats, horizon: int, bars: int) -> Floats:
    """Sum of signals held during each bar (bars,): entered at the close of cutoff + 1, left `horizon` bars later."""
    change = np.zeros(bars + 1)
    np.add.at(change, np.minimum(cutoff_bars + 2, bars), signal)
    np.add.at(change, np.minimum(cutoff_bars + 2 + horizon, bars), -signal)
    return np.cumsum(change)[:bars]


def _account(
    model: str, ticker: str, dates: Dates, position: Floats, returns: Floats, spec: StrategySpec
) -> pd.DataFrame:
    gross = position * returns
    cost = np.abs(np.diff(position, append=0.0)) * spec.cost_bp / 1e4
    columns = {"model": model, "unique_id": ticker, "date": dates, "position": position}
    table = pd.DataFrame({**columns, "gross": gross, "cost": cost, "net": gross - cost})
    return table.assign(equity_net=_compound(table["net"]))


def _average(single: pd.DataFrame) -> pd.DataFrame:
    """The equal-weight portfolio of the tickers that have a row on a date."""
    means = single.groupby(["model", "date"], sort=True)[["position", "gross", "cost", "net"]].mean().reset_index()
    means.insert(1, "unique_id", "all")
    return means.assign(equity_net=means.groupby("model")["net"].transform(_compound))


def _compound(net: pd.Series) -> pd.Series:
    """Wealth from 1; a loss of everything ends at 0 and stays there."""
    return (1.0 + net).clip(lower=0.0).cumprod()


def _bars(history: PriceHistory, cutoffs: pd.Series) -> Ints:
    days = cutoffs.to_numpy().astype("datetime64[D]")
    bars = np.searchsorted(history.dates, days)
    known = bars < len(history)
    known[known] = history.dates[bars[known]] == days[known]
    if not known.all():
        raise ValueError(f"{history.ticker}: cutoff {days[~known][0]} is not a bar of its prices")
    return bars


def _categorised(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"model": "category", "unique_id": "category"})[list(COLUMNS)]
