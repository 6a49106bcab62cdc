"""A portfolio walked forward: weights at each cutoff, traded a bar later, against simpler portfolios of the tickers.

Timing as in strategy/positions.py: weights that are made at the close of a cutoff are traded at the close of the next
bar and held, drifting, until those of the next cutoff are. All portfolios start together and pay for what they trade.

Shape legend: M tickers, T bars, C cutoffs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from s2squant.evaluation.statistics.diebold_mariano import examine
from s2squant.evaluation.strategy.performance import drawdown, sharpe_interval, sharpe_ratio, years_of
from s2squant.series.arrays import Dates, Floats, in_days

EQUAL, INVERSE, HOLDING = "equal", "inverse_volatility", "buy_and_hold"
SIMPLE: tuple[str, ...] = (EQUAL, INVERSE, HOLDING)
"""Traded beside the rule: equal weights, and weights by the volatility of the last bars, at the same cutoffs; and equal
weights bought once."""
OWN = "own"
LOOK_BACK = 60
"""Bars whose volatility the inverse one reads."""
LEVEL = 0.05
NOTHING = 1e-12
"""Standard error of a difference that is rounding."""
COLUMNS: tuple[str, ...] = (
    "pool", "rule", "against", "first", "last", "bars", "years", "annual_return", "volatility", "sharpe", "sharpe_low",
    "sharpe_high", "es_95", "max_drawdown", "turnover", "cost", "beyond", "low", "high", "p", "trials", "p_adjusted",
    "n_eff", "finding", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Walked:
    """One portfolio's daily record: net simple return, turnover by trading at each close, and the dates."""

    dates: Dates
    net: Floats
    turnover: Floats
    cost: Floats


def hold(
    returns_TM: Floats, targets: Mapping[int, Floats], dates: Dates, *, cost_bp: float, once: bool = False
) -> Walked:
    """Hold `targets`, weights (M,) by the bar at whose close they are traded, until the next; `once`: the first alone.

    `returns_TM` are simple returns of each bar. The first bar of the record is the one after the first trade.
    """
    start = min(targets)
    held_M: Floats = np.zeros(returns_TM.shape[1])
    cash = 1.0
    net, turnover, cost = (np.zeros(len(dates)) for _ in range(3))
    for t in range(start, len(dates)):
        gained_M = held_M * (1.0 + returns_TM[t])
        wealth = cash + float(gained_M.sum())
        held_M, cash = gained_M / wealth, cash / wealth
        net[t] = wealth - 1.0
        if t in targets and not (once and t > start):
            turnover[t] = float(np.abs(targets[t] - held_M).sum())
            cost[t] = turnover[t] * cost_bp / 1e4
            net[t] -= cost[t]
            held_M, cash = targets[t], 1.0 - float(targets[t].sum())
    return Walked(dates[start:], net[start:], turnover[start:], cost[start:])


def inverse_volatility(returns_TM: Floats, bar: int, present_M: Floats) -> Floats:
    """Weights by the inverse volatility of the LOOK_BACK bars up to a bar, of the tickers present."""
    window = returns_TM[max(bar - LOOK_BACK + 1, 0) : bar + 1]
    inverse = np.where(present_M > 0, 1.0 / np.maximum(window.std(axis=0), 1e-8), 0.0)
    return np.asarray(inverse / inverse.sum())


def walk(
    dates: Dates, returns_TM: Floats, weights: Mapping[int, Floats], presents: Mapping[int, Floats], *, cost_bp: float
) -> dict[str, Walked]:
    """The rule's portfolio and the SIMPLE ones; `weights` and `presents` (1: the ticker is forecast) by cutoff bar."""
    bars = [bar for bar in sorted(weights) if bar + 1 < len(dates)]
    equal = {bar + 1: presents[bar] / presents[bar].sum() for bar in bars}
    targets = {
        OWN: {bar + 1: weights[bar] for bar in bars},
        EQUAL: equal,
        INVERSE: {bar + 1: inverse_volatility(returns_TM, bar, presents[bar]) for bar in bars},
        HOLDING: equal,
    }
    return {
        name: hold(returns_TM, some, dates, cost_bp=cost_bp, once=name == HOLDING) for name, some in targets.items()
    }


def compared(walked: Mapping[str, Walked], pool: str, rule: str, trials: int) -> pd.DataFrame:
    """The table `portfolio` of Study: the rule's portfolio first, then each simpler one and the rule's gain over it.

    Daily net returns are paired; the mean of their difference a year, its interval and p by EWC and Student t as
    everywhere. p is multiplied by the comparisons and by the `trials` that were made on the universe.
    """
    own = walked[OWN]
    years = years_of(own.dates)
    year = len(own.net) / years
    rows = []
    for name, one in walked.items():
        if name == rule:
            continue  # the rule is one of the simple ones
        low, high = sharpe_interval(one.net)
        worst = np.sort(one.net)[: max(round(LEVEL * len(one.net)), 1)]
        row: dict[str, object] = dict.fromkeys(COLUMNS, np.nan) | {
            "pool": pool,
            "rule": rule,
            "against": "" if name == OWN else name,
            "first": str(one.dates[0]),
            "last": str(one.dates[-1]),
            "bars": len(one.net),
            "years": years,
            "annual_return": float(np.prod(np.maximum(1 + one.net, 0.0)) ** (1 / years) - 1),
            "volatility": float(one.net.std() * np.sqrt(year)),
            "sharpe": sharpe_ratio(one.net) * np.sqrt(year),
            "sharpe_low": low * np.sqrt(year),
            "sharpe_high": high * np.sqrt(year),
            "es_95": -float(worst.mean()),
            "max_drawdown": drawdown(one.net)[0],
            "turnover": float(one.turnover.sum() / years),
            "cost": float(one.cost.sum() / years),
            "trials": trials,
            "finding": "",
            "reason": "",
        }
        rows.append(row | ({} if name == OWN else _gain(own, one, year, trials, len(walked) - 1 - (rule in walked))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _gain(own: Walked, other: Walked, year: float, trials: int, comparisons: int) -> dict[str, object]:
    test = examine(own.net - other.net, 1)
    if test.reason or test.se < NOTHING:
        return {"beyond": test.mean * year, "finding": "not tested", "reason": test.reason or "they hold the same"}
    adjusted = min(1.0, test.p * comparisons * max(trials, 1))
    word = "no evidence" if adjusted >= LEVEL else "better" if test.mean > 0 else "worse"
    figures = {"beyond": test.mean * year, "low": test.low * year, "high": test.high * year, "p": test.p}
    return {**figures, "p_adjusted": adjusted, "n_eff": float(test.n), "finding": word}


def stretches(dates: Dates, gap_days: int) -> Sequence[slice]:
    """The parts of a record between holes of more than `gap_days`."""
    starts = np.r_[0, np.flatnonzero(in_days(np.diff(dates)) > gap_days) + 1, len(dates)]
    return [slice(int(a), int(b)) for a, b in pairwise(starts)]
