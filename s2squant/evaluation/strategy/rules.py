"""Wished positions: each rule of the strategy as a function of the quantiles at the last step.

Rules (StrategySpec.rule), each a fraction of equity in -1 .. 1:

- `sign`: the sign of the median. A median of exactly zero, as centred baselines have by design, is no position.
- `median_over_width`: the median over half the width of the central 80 % band; all in once the band excludes zero.
- `median_over_es`: the median return over the 95 % expected shortfall of the position it asks for; all in once the one
  reaches the other (the ratio of Martin, Rachev and Siboulet 2003).
- `volatility_target`: always long, the target volatility over the forecast one, never borrowing (Moreira and Muir
  2017). The forecast one is the 80 % band read as a normal's, scaled to a year by the ticker's bars up to the cutoff.
- `cvar_limit`: always long, as much as keeps the 95 % expected shortfall over the horizon within the limit, never
  borrowing.

Shape legend: N forecasts, A quantile levels (tails.ALL_LEVELS).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s2squant.config.experiment import StrategySpec
from s2squant.evaluation.statistics.expected_shortfall import GRID, expected_loss, shortfall
from s2squant.series.arrays import Floats, Ints, in_days
from s2squant.series.forecast import QUANTILE_COLUMNS
from s2squant.series.history import PriceHistory
from s2squant.series.tails import all_quantiles, tail_columns

MEDIAN, LOW, HIGH = (QUANTILE_COLUMNS[k] for k in (19, 3, 35))
"""The median and the ends of the central 80 % band."""
NORMAL_80 = 2.5631031310892007
"""Width of a standard normal's central 80 %."""
LEVEL = 0.05
"""Share of the worst outcomes that an expected shortfall averages."""
DAYS = 365.25


def columns_of(rule: str, forecasts: pd.DataFrame) -> Sequence[str]:
    """The quantile columns that a rule reads."""
    match rule:
        case "sign":
            return [MEDIAN]
        case "median_over_es" | "cvar_limit":
            return [*QUANTILE_COLUMNS, *tail_columns(forecasts)]
    return [MEDIAN, LOW, HIGH]


def wishes(rows: pd.DataFrame, history: PriceHistory, cutoff_bars: Ints, spec: StrategySpec, horizon: int) -> Floats:
    """The wished position (N,) of each forecast, from its quantiles at the horizon and bars up to its cutoff."""
    median = rows[MEDIAN].to_numpy(np.float64)
    match spec.rule:
        case "sign":
            return np.asarray(np.sign(median))
        case "median_over_width":
            return _ratio(median, _width(rows) / 2)
        case "median_over_es":
            levels_NA = all_quantiles(rows)
            risk_N = np.where(median > 0, expected_loss(levels_NA, LEVEL), _short_loss(levels_NA))
            return _ratio(np.expm1(median), risk_N)
        case "volatility_target":
            yearly = _width(rows) / NORMAL_80 * np.sqrt(bars_a_year(history, cutoff_bars) / horizon)
            return _within(spec.target_volatility, yearly)
        case "cvar_limit":
            return _within(spec.cvar_limit, expected_loss(all_quantiles(rows), LEVEL))


def bars_a_year(history: PriceHistory, cutoff_bars: Ints) -> Floats:
    """Bars a year of a ticker up to each cutoff."""
    years = in_days(history.dates[cutoff_bars] - history.dates[0]) / DAYS
    return np.asarray(cutoff_bars / np.maximum(years, 1 / DAYS))


def _ratio(median_N: Floats, risk_N: Floats) -> Floats:
    """What is expected over what is risked; all in where nothing is."""
    return np.asarray(np.clip(np.divide(median_N, risk_N, out=np.sign(median_N), where=risk_N > 0), -1.0, 1.0))


def _within(limit: float, risk_N: Floats) -> Floats:
    """The long position whose risk is the limit, never more than all."""
    return np.asarray(np.minimum(1.0, limit / np.maximum(risk_N, 1e-12)))


def _width(rows: pd.DataFrame) -> Floats:
    return np.asarray(rows[HIGH].to_numpy(np.float64) - rows[LOW].to_numpy(np.float64))


def _short_loss(levels_NA: Floats) -> Floats:
    """Share of the price that a short position loses on average beyond its VaR (N,)."""
    return -shortfall(-np.expm1(levels_NA[:, : -len(GRID) - 1 : -1]), LEVEL)
