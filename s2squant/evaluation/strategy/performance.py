"""Performance of the holdings: Sharpe ratio with its interval, deflated for trials, drawdown and costs.

Ratios are over zero, not over a risk-free rate: what is not held earns nothing. The Sharpe ratio is annualised by the
square root of the bars in a year; that its bars are neither normal nor independent goes into its interval.

Shape legend: T bars of a series, L levels of cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from s2squant.evaluation.statistics.diebold_mariano import ewc, interval_factor
from s2squant.evaluation.strategy.positions import DAYS, FLOWS, POOL, compound
from s2squant.series.arrays import Dates, Floats

COST_LEVELS: tuple[float, ...] = (0.0, 2.0, 5.0, 10.0, 20.0)
"""Basis points per unit of turnover at which every strategy is priced, beside the declared cost."""
MIN_BARS = 20
"""Shorter series get no Sharpe ratio."""
FLAT = 1e-12
"""A standard deviation of a bar's return below this is no position at all."""
GAP_DAYS = 30
"""Between bars further apart nothing was held: markets of a pool may have been tested in different years."""
CONFIDENCE = 0.95
COLUMNS: tuple[str, ...] = (
    "model", "unique_id", "cost_bp", "declared", "bars", "years", "annual_return", "volatility", "sharpe", "sharpe_low",
    "sharpe_high", "psr", "dsr", "trials", "years_needed", "max_drawdown", "drawdown_bars", "turnover", "exposure",
    "break_even_bp", "final_equity",
)  # fmt: skip


def sharpe_ratio(net: Floats) -> float:
    """Mean over standard deviation of a bar's return, not annualised; NaN for a flat or short series."""
    if len(net) < MIN_BARS:
        return np.nan
    deviation = net.std(ddof=1)
    return float(net.mean() / deviation) if deviation > FLAT else np.nan


def sharpe_interval(net: Floats) -> tuple[float, float]:
    """95 % interval of the Sharpe ratio of a bar for returns that are neither normal nor independent.

    Lo (2002), the estimator for stationary returns: the delta method on mean and variance, whose long-run variance
    is taken here by equal-weighted cosines with Student t (diebold_mariano.ewc) in place of Newey and West.
    """
    ratio = sharpe_ratio(net)
    if not np.isfinite(ratio):
        return np.nan, np.nan
    z = (net - net.mean()) / net.std(ddof=1)
    influence = z - ratio / 2 * (np.square(z) - 1)
    _, se, nu = ewc(influence, 1)
    reach = float(interval_factor(np.asarray(nu, np.float64)) * se)
    return ratio - reach, ratio + reach


def spread(net: Floats) -> float:
    """Standard error of the Sharpe ratio of a bar times sqrt(T - 1): 1 - g3 SR + (g4 - 1) / 4 SR^2, square root.

    g3 and g4 are skewness and kurtosis (3 for a normal). Bailey and Lopez de Prado 2012, equation 4.
    """
    ratio = sharpe_ratio(net)
    z = (net - net.mean()) / net.std()
    square = z * z
    skewness, kurtosis = square @ z / len(z), square @ square / len(z)
    return float(np.sqrt(max(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2, 0.0)))


def probabilistic_sharpe(net: Floats, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio of a bar exceeds `benchmark`, if bars are independent.

    Bailey and Lopez de Prado 2012, equation 9.
    """
    ratio = sharpe_ratio(net)
    if not np.isfinite(ratio):
        return np.nan
    scale = spread(net)
    return float(ndtr((ratio - benchmark) * np.sqrt(len(net) - 1) / scale)) if scale > 0 else np.nan


def best_of(trials: int, deviation: float) -> float:
    """Expected largest of `trials` independent Sharpe ratios around zero with this standard deviation.

    Bailey and Lopez de Prado 2014, equation 1; zero for a single trial.
    """
    if trials < 2:
        return 0.0
    gamma = np.euler_gamma
    return float(deviation * ((1 - gamma) * ndtri(1 - 1 / trials) + gamma * ndtri(1 - 1 / (trials * np.e))))


def deflated_sharpe(net: Floats, trials: int, ratios: Sequence[float]) -> float:
    """Probability that the true Sharpe ratio is above zero although it is the best of `trials`.

    `ratios` are the trials' own Sharpe ratios of a bar, as many as are known; their standard deviation sets the bar.
    With fewer than two known, that of pure noise, 1 / sqrt(T - 1), does. Trials that resemble each other are worth
    fewer than they number, which makes this severe. Bailey and Lopez de Prado 2014.
    """
    known = [r for r in ratios if np.isfinite(r)]
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else 1 / np.sqrt(max(len(net) - 1, 1))
    return probabilistic_sharpe(net, best_of(trials, deviation))


def bars_needed(net: Floats) -> float:
    """Bars until PSR reaches 95 % if the Sharpe ratio stays what it was; infinite where it is not above zero.

    The minimum track record length of Bailey and Lopez de Prado 2012, equation 11.
    """
    ratio = sharpe_ratio(net)
    if not np.isfinite(ratio):
        return np.nan
    return float(1 + (spread(net) * ndtri(CONFIDENCE) / ratio) ** 2) if ratio > 0 else np.inf


def drawdown(net: Floats) -> tuple[float, int]:
    """Deepest fall of wealth from its highest so far (a fraction, not positive) and the most bars below a high."""
    wealth = np.r_[1.0, np.cumprod(np.maximum(1.0 + net, 0.0))]
    peak = np.maximum.accumulate(wealth)
    under = wealth < peak
    bars = np.arange(len(wealth))
    since = bars - np.maximum.accumulate(np.where(under, 0, bars))
    return float((wealth / peak - 1).min()), int(since.max())


def break_even_bp(gross: Floats, borrow: Floats, turnover: Floats) -> float:
    """Cost per unit of turnover, in basis points, at which the mean return is zero; NaN without turnover."""
    traded = float(turnover.sum())
    return float((gross - borrow).sum() / traded * 1e4) if traded > 0 else np.nan


def ratios_of(holdings: pd.DataFrame, model: str, cost_bp: float) -> dict[str, float]:
    """Sharpe ratio of a bar of one model's holdings at a cost, by ticker and for the pool."""
    mine = holdings[holdings["model"] == model]
    return {
        str(name): sharpe_ratio(_net(rows, cost_bp))
        for name, rows in mine.groupby("unique_id", observed=True, sort=True)
    }


def performance(
    holdings: pd.DataFrame, *, cost_bp: float, recommended: str, tried: int, ratios: Mapping[str, Sequence[float]]
) -> pd.DataFrame:
    """The table `performance` of Study from `strategy.holdings`: one row a model, ticker (or the pool) and cost.

    `tried` configurations have been run on this universe, this one included; `ratios` holds their Sharpe ratios of a
    bar by ticker, at each one's own cost. Only the recommended model was chosen among them: other rows have no `dsr`.
    """
    rows = []
    levels = sorted({*COST_LEVELS, cost_bp})
    for (model, name), part in holdings.groupby(["model", "unique_id"], observed=True, sort=False):
        days = part["date"].to_numpy().astype("datetime64[D]")
        years = years_of(days)
        chosen = str(model) == recommended
        flows = {flow: part[flow].to_numpy(np.float64) for flow in FLOWS}
        for level in levels:
            net = flows["gross"] - flows["borrow"] - flows["turnover"] * level / 1e4
            figures = _figures(flows, net, years)
            dsr = deflated_sharpe(net, tried, ratios.get(str(name), ())) if chosen else np.nan
            head = {"model": str(model), "unique_id": str(name), "cost_bp": level, "declared": level == cost_bp}
            rows.append(head | figures | {"dsr": dsr, "trials": tried})
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"model": "category", "unique_id": "category"})


def years_of(days: Dates) -> float:
    """Years that a series of bars covers, long gaps left out."""
    apart = np.diff(days).astype(float)
    return float(max(apart[apart <= GAP_DAYS].sum(), 1.0) / DAYS)


def equity_by_cost(holdings: pd.DataFrame, cost_bp: float) -> pd.DataFrame:
    """The table `equity_by_cost` of Study: the pool's equity at every level of cost."""
    pool = holdings[holdings["unique_id"] == POOL]
    parts = []
    for level in sorted({*COST_LEVELS, cost_bp}):
        net = pool["gross"] - pool["borrow"] - pool["turnover"] * level / 1e4
        wealth = net.groupby(pool["model"], observed=True).transform(compound)
        parts.append(pool[["model", "date"]].assign(cost_bp=level, equity_net=wealth))
    return pd.concat(parts, ignore_index=True)


def _net(part: pd.DataFrame, cost_bp: float) -> Floats:
    net = part["gross"] - part["borrow"] - part["turnover"] * cost_bp / 1e4
    return np.asarray(net, np.float64)


def _figures(flows: Mapping[str, Floats], net: Floats, years: float) -> dict[str, float]:
    bars, year = len(net), len(net) / years
    low, high = sharpe_interval(net)
    fall, longest = drawdown(net)
    wealth = float(np.prod(np.maximum(1.0 + net, 0.0)))
    return {
        "bars": bars,
        "years": years,
        "annual_return": wealth ** (1 / years) - 1,
        "volatility": float(net.std(ddof=1) * np.sqrt(year)) if bars > 1 else np.nan,
        "sharpe": sharpe_ratio(net) * np.sqrt(year),
        "sharpe_low": low * np.sqrt(year),
        "sharpe_high": high * np.sqrt(year),
        "psr": probabilistic_sharpe(net),
        "years_needed": bars_needed(net) / year,
        "max_drawdown": fall,
        "drawdown_bars": longest,
        "turnover": float(flows["turnover"].sum() / years),
        "exposure": float(np.abs(flows["position"]).mean()),
        "break_even_bp": break_even_bp(flows["gross"], flows["borrow"], flows["turnover"]),
        "final_equity": wealth,
    }
