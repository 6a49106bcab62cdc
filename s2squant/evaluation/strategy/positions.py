"""Positions from forecasts, and equity after costs, by one rule declared before the run.

Timing, in bars of the ticker's own calendar. A forecast made at the close of bar t (its cutoff) is traded at the
close of bar t+1 and held for H bars: it earns the returns of bars t+2 .. t+1+H and nothing before. No position
trades on the close it was computed from, and none earns the bar in which it is entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.experiment import StrategySpec
from s2squant.evaluation.strategy.rules import bars_a_year, columns_of, wishes
from s2squant.series.arrays import Dates, Floats, Ints, in_days, table_dates
from s2squant.series.history import PriceHistory

BUY_AND_HOLD = "buy_and_hold"
RANDOM_WALK_SIGN = "random_walk_sign"
EQUAL_VOLATILITY = "equal_volatility"
BESIDE: tuple[str, ...] = (BUY_AND_HOLD, EQUAL_VOLATILITY, RANDOM_WALK_SIGN)
"""Traded beside the models: always long; long at an equal volatility, the target over that of the last returns; and the
sign of a random walk's drift, the mean of the last returns."""
POOL = "all"
"""The tickers together, where they share a market; the pools of several markets have the markets' names."""
GAP_DAYS = 30
"""Between bars further apart nothing was held: a pool's record ends there, and another begins."""
COLUMNS: tuple[str, ...] = ("model", "unique_id", "date", "position", "gross", "cost", "net", "equity_net")
FLOWS: tuple[str, ...] = ("position", "gross", "turnover", "borrow", "long")


@dataclass(frozen=True)
class Leg:
    """Positions of one model in one ticker, bar by bar, from the first entry to the last exit.

    At date d: `position` is the fraction of equity held during the bar that ends at close d (-1 .. 1), `gross` the
    simple return it earned, `turnover` the position changed by trading at close d, `borrow` what the stock sold
    short during the bar cost (a fraction of equity, calendar days of 365).
    """

    model: str
    ticker: str
    dates: Dates
    position: Floats
    gross: Floats
    turnover: Floats
    borrow: Floats

    def net(self, cost_bp: float) -> Floats:
        """Simple return after costs of `cost_bp` per unit of turnover, and borrowing."""
        return self.gross - self.turnover * cost_bp / 1e4 - self.borrow


def legs(
    forecasts: pd.DataFrame,
    histories: Mapping[str, PriceHistory],
    spec: StrategySpec,
    *,
    horizon: int,
    models: Sequence[str],
) -> Iterator[Leg]:
    """Trade `models` and BESIDE, ticker by ticker.

    `forecasts` has the columns of Study. Holdings overlap when cutoffs are closer than `horizon`; each then takes an
    equal share, 1 / (most holdings ever open at once), which depends on the schedule alone. The share is restored
    every bar, and that restoring is not charged; nor are financing, impact or taxes. Raises ValueError when a model
    has no forecasts, or a cutoff is not a bar of its ticker.
    """
    read = ["model", "unique_id", "cutoff", *columns_of(spec.rule, forecasts)]
    at_horizon = forecasts.loc[forecasts["step"] == horizon, read]
    known = set(forecasts["model"].unique())
    absent = [m for m in models if m not in known]
    if absent:
        raise ValueError(f"no forecasts by {', '.join(absent)} to trade on")
    for ticker, rows in at_horizon.groupby("unique_id", observed=True, sort=False):
        history = histories[str(ticker)]
        cutoff_bars = _bars(history, rows["cutoff"])
        schedule = np.unique(cutoff_bars)
        schedule = schedule[schedule + 2 < len(history)]
        if not len(schedule):
            continue
        first, last = int(schedule[0]) + 1, min(int(schedule[-1]) + 1 + horizon, len(history) - 1)
        share = 1.0 / _held(schedule, np.ones(len(schedule)), horizon, len(history)).max()
        window = slice(first, last + 1)
        drift = share * _held(schedule, _drift_sign(history, schedule, spec), horizon, len(history))
        level = share * _held(schedule, _past_volatility(history, schedule, spec), horizon, len(history))
        held = np.r_[0.0, np.ones(last - first)]
        positions = {BUY_AND_HOLD: held, EQUAL_VOLATILITY: level[window], RANDOM_WALK_SIGN: drift[window]}
        names = rows["model"].to_numpy()
        for model in models:
            mine = np.flatnonzero(names == model)
            wished = wishes(rows.iloc[mine], history, cutoff_bars[mine], spec, horizon)
            positions[model] = share * _held(cutoff_bars[mine], wished, horizon, len(history))[window]
        for model, position in positions.items():
            yield _leg(model, history, window, position, spec)


def holdings(traded: Iterable[Leg], markets: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """Legs as one table: model, unique_id, date, FLOWS, with the equal-weight average of each pool's tickers.

    `long` is 1 in a bar that was held long, in a pool the share of its tickers. `markets` is by ticker: each market
    is a pool of its own (POOL where there is one), and a hole in its dates makes two, named with their years.
    """
    every = list(traded)
    if not every:
        empty = {name: pd.Series(dtype=object) for name in COLUMNS[:2]} | {"date": pd.Series(dtype="datetime64[s]")}
        return pd.DataFrame(empty | {name: pd.Series(dtype=float) for name in FLOWS})
    bars = [len(leg.dates) for leg in every]
    dates = np.concatenate([leg.dates.astype("datetime64[s]") for leg in every])
    pools = _pools(np.repeat([markets.get(leg.ticker, "") for leg in every], bars), dates)
    names = sorted({leg.ticker for leg in every} | set(pools))
    model = _repeated([leg.model for leg in every], bars, sorted({leg.model for leg in every}))
    position = np.concatenate([leg.position for leg in every])
    single = pd.DataFrame(
        {
            "model": model,
            "unique_id": _repeated([leg.ticker for leg in every], bars, names),
            "date": dates,
            "position": position,
            "gross": np.concatenate([leg.gross for leg in every]),
            "turnover": np.concatenate([leg.turnover for leg in every]),
            "borrow": np.concatenate([leg.borrow for leg in every]),
            "long": (position > 0).astype(float),
        }
    )
    together = single.assign(unique_id=pd.Categorical(pools, categories=names))
    keys = ["model", "unique_id", "date"]
    means = together.groupby(keys, sort=True, observed=True)[list(FLOWS)].mean().reset_index()
    return pd.concat([single, means], ignore_index=True)


def _repeated(names: Sequence[str], times: Sequence[int], categories: Sequence[str]) -> pd.Categorical[str]:
    """Each name so many times, as a categorical."""
    place = {name: k for k, name in enumerate(categories)}
    return pd.Categorical.from_codes(np.repeat([place[n] for n in names], times), categories=pd.Index(categories))


def _pools(market: NDArray[Any], dates: Dates) -> NDArray[Any]:
    """The pool of each row of the tickers' holdings."""
    names = np.full(len(market), POOL, dtype=object)
    several = len(set(market)) > 1
    for one in dict.fromkeys(market):
        rows = np.flatnonzero(market == one)
        days = table_dates(dates[rows])
        known = np.unique(days)
        starts = known[np.r_[True, in_days(np.diff(known)) > GAP_DAYS]]
        stretch = np.searchsorted(starts, days, side="right") - 1
        for k, start in enumerate(starts):
            end = known[known < starts[k + 1]][-1] if k + 1 < len(starts) else known[-1]
            years = f" {str(start)[:4]}-{str(end)[:4]}" if len(starts) > 1 else ""
            names[rows[stretch == k]] = (str(one) if several else POOL) + years
    return names


def equity(positions: pd.DataFrame, cost_bp: float) -> pd.DataFrame:
    """Daily equity of `holdings` at a cost; columns as in Study.

    A row of date d: `position` and `gross` as held, `cost` what the trade at close d costs (`cost_bp` per unit of
    change to the next bar's position) and the borrowing of the bar, `net` = gross - cost, and `equity_net` compounds
    net from 1. Entry and exit are both charged.
    """
    cost = positions["turnover"] * cost_bp / 1e4 + positions["borrow"]
    table = positions[["model", "unique_id", "date", "position", "gross"]]
    table = table.assign(cost=cost, net=table["gross"] - cost)
    by = _growth(table["net"]).groupby([table["model"], table["unique_id"]], observed=True, sort=False)
    return table.assign(equity_net=by.cumprod())[list(COLUMNS)]


def pooled_net(traded: Iterable[Leg], cost_bp: float) -> pd.DataFrame:
    """Net simple returns of the equal-weight pool: one row a date, one column a model."""
    nets: dict[str, list[tuple[Dates, Floats]]] = {}
    for leg in traded:
        nets.setdefault(leg.model, []).append((leg.dates.astype("datetime64[s]"), leg.net(cost_bp)))
    columns = {}
    for model, parts in nets.items():
        dates, net = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        columns[model] = pd.Series(net).groupby(pd.DatetimeIndex(dates)).mean()
    return pd.DataFrame(columns)


def compound(net: pd.Series) -> pd.Series:
    """Wealth from 1; a loss of everything ends at 0 and stays there."""
    return _growth(net).cumprod()


def _growth(net: pd.Series) -> pd.Series:
    """What wealth is multiplied by in each bar; a loss of everything is no debt."""
    return (1.0 + net).clip(lower=0.0)


def _drift_sign(history: PriceHistory, cutoff_bars: Ints, spec: StrategySpec) -> Floats:
    """Sign of the mean log return of the last `drift_bars` bars up to each cutoff."""
    log_price = history.log_price
    change = log_price[cutoff_bars] - log_price[np.maximum(cutoff_bars - spec.drift_bars, 0)]
    return np.asarray(np.sign(change))


def _past_volatility(history: PriceHistory, cutoff_bars: Ints, spec: StrategySpec) -> Floats:
    """The target over the volatility of the last `volatility_bars` returns up to each cutoff, at most 1."""
    returns = np.diff(history.log_price, prepend=history.log_price[0])
    sums = np.cumsum(np.square(returns))
    first = np.maximum(cutoff_bars - spec.volatility_bars, 0)
    variance = (sums[cutoff_bars] - sums[first]) / np.maximum(cutoff_bars - first, 1)
    yearly = np.sqrt(variance * bars_a_year(history, cutoff_bars))
    return np.asarray(np.minimum(1.0, spec.target_volatility / np.maximum(yearly, 1e-12)))


def _held(cutoff_bars: Ints, wished: Floats, horizon: int, bars: int) -> Floats:
    """Sum of positions held during each bar (bars,): entered at the close of cutoff + 1, left `horizon` bars later."""
    change = np.zeros(bars + 1)
    np.add.at(change, np.minimum(cutoff_bars + 2, bars), wished)
    np.add.at(change, np.minimum(cutoff_bars + 2 + horizon, bars), -wished)
    position = np.cumsum(change)[:bars]
    position[np.abs(position) < 1e-12] = 0.0  # what left again leaves no dust of rounding behind
    return position


def _leg(model: str, history: PriceHistory, window: slice, position: Floats, spec: StrategySpec) -> Leg:
    returns = np.expm1(np.diff(history.log_price, prepend=history.log_price[0]))[window]
    days = in_days(np.diff(history.dates, prepend=history.dates[0]))[window]
    return Leg(
        model=model,
        ticker=history.ticker,
        dates=history.dates[window],
        position=position,
        gross=position * returns,
        turnover=np.abs(np.diff(position, append=0.0)),
        borrow=np.maximum(-position, 0.0) * days / 365 * spec.borrow_bp / 1e4,
    )


def _bars(history: PriceHistory, cutoffs: pd.Series) -> Ints:
    days = cutoffs.to_numpy().astype(history.dates.dtype)
    bars = np.searchsorted(history.dates, days)
    known = bars < len(history)
    known[known] = history.dates[bars[known]] == days[known]
    if not known.all():
        raise ValueError(f"{history.ticker}: cutoff {days[~known][0]} is not a bar of its prices")
    return bars
