"""Performance of the holdings: return beyond buy-and-hold, Sharpe ratio, deflated for trials, drawdown and costs.

A rule is worth what it makes beyond holding the same tickers over the same bars. Ratios are over zero, not over a
risk-free rate: what is not held earns nothing. The Sharpe ratio is annualised by the square root of the bars in a
year; that its bars are neither normal nor independent goes into its interval.

Shape legend: T bars of a series, L levels of cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from s2squant.evaluation.results import Word
from s2squant.evaluation.statistics.diebold_mariano import ewc, interval_factor
from s2squant.evaluation.strategy.positions import BUY_AND_HOLD, FLOWS, GAP_DAYS
from s2squant.evaluation.strategy.rules import DAYS
from s2squant.series.arrays import Dates, Floats, in_days, table_dates

COST_LEVELS: tuple[float, ...] = (0.0, 2.0, 5.0, 10.0, 20.0)
"""Basis points per unit of turnover at which every strategy is priced, beside the declared cost."""
MIN_BARS = 20
"""Shorter series get no Sharpe ratio."""
FLAT = 1e-12
"""A standard deviation of a bar's return below this is no position at all."""
CONFIDENCE = 0.95
COLUMNS: tuple[str, ...] = (
    "model", "unique_id", "cost_bp", "declared", "first", "last", "bars", "years", "annual_return", "beyond",
    "beyond_low", "beyond_high", "long", "volatility", "sharpe", "sharpe_low", "sharpe_high", "psr", "dsr", "trials",
    "years_needed", "max_drawdown", "drawdown_bars", "turnover", "exposure", "break_even_bp", "final_equity",
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
    return _interval(net, sharpe_ratio(net))


def _interval(net: Floats, ratio: float) -> tuple[float, float]:
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
    return _spread(net, sharpe_ratio(net))


def _spread(net: Floats, ratio: float) -> float:
    """The spread of a series whose Sharpe ratio is known; NaN without one."""
    if not np.isfinite(ratio):
        return np.nan
    z = (net - net.mean()) / net.std()
    square = z * z
    skewness, kurtosis = square @ z / len(z), square @ square / len(z)
    return float(np.sqrt(max(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio**2, 0.0)))


def probabilistic_sharpe(net: Floats, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio of a bar exceeds `benchmark`, if bars are independent.

    Bailey and Lopez de Prado 2012, equation 9.
    """
    ratio = sharpe_ratio(net)
    return _probability(ratio - benchmark, _spread(net, ratio), len(net))


def _probability(beyond: float, scale: float, bars: int) -> float:
    return float(ndtr(beyond * np.sqrt(bars - 1) / scale)) if scale > 0 else np.nan


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
    return _needed(ratio, _spread(net, ratio))


def _needed(ratio: float, scale: float) -> float:
    if not np.isfinite(ratio):
        return np.nan
    return float(1 + (scale * ndtri(CONFIDENCE) / ratio) ** 2) if ratio > 0 else np.inf


def drawdown(net: Floats) -> tuple[float, int]:
    """Deepest fall of wealth from its highest so far (a fraction, not positive) and the most bars below a high."""
    wealth = np.r_[1.0, np.cumprod(np.maximum(1.0 + net, 0.0))]
    peak = np.maximum.accumulate(wealth)
    under = wealth < peak
    bars = np.arange(len(wealth))
    since = bars - np.maximum.accumulate(np.where(under, 0, bars))
    return float((wealth / peak - 1).min()), int(since.max())


def beyond_holding(net: Floats, held: Floats, year: float) -> tuple[float, float, float]:
    """Mean return a year (`year` bars) beyond holding, with its 95 % interval; both nets (T,) over the same bars.

    Simple returns, not compounded; the interval is by equal-weighted cosines with Student t.
    """
    if len(net) < MIN_BARS:
        return np.nan, np.nan, np.nan
    difference = net - held
    _, se, nu = ewc(difference, 1)
    mean, reach = float(difference.mean()), float(interval_factor(np.asarray(nu, np.float64)) * se)
    return mean * year, (mean - reach) * year, (mean + reach) * year


def break_even_bp(flows: Mapping[str, Floats], held: Mapping[str, Floats], year: float) -> float:
    """Cost per unit of turnover, in basis points, at which the rule makes what holding makes.

    NaN where the rule does not beat holding even without costs (the interval of the difference holds zero), or trades
    no more than holding does.
    """
    own, other = flows["gross"] - flows["borrow"], held["gross"] - held["borrow"]
    traded = float((flows["turnover"] - held["turnover"]).sum())
    if traded <= 0 or not beyond_holding(own, other, year)[1] > 0:
        return np.nan
    return float((own - other).sum() / traded * 1e4)


def rule_word(low: float, high: float, skill: str) -> Word:
    """Verdict on a rule from its interval beyond holding; it is better only where its forecasts are.

    A rule that beats holding without skill in its forecasts (`skill` is the word of their verdict) had luck, or
    another exposure.
    """
    if low > 0 and skill == "better":
        return "better"
    return "worse" if high < 0 else "no evidence"


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
    flows_of, days_of = {}, {}
    for key, part in holdings.groupby(["model", "unique_id"], observed=True, sort=False):
        flows_of[key] = {flow: part[flow].to_numpy(np.float64) for flow in FLOWS}
        days_of[key] = table_dates(part["date"])
    levels = sorted({*COST_LEVELS, cost_bp})
    for (model, name), flows in flows_of.items():
        days = days_of[model, name]
        held = flows_of.get((BUY_AND_HOLD, name)) if model != BUY_AND_HOLD else None
        chosen = str(model) == recommended
        years = years_of(days)
        even = np.nan if held is None else break_even_bp(flows, held, len(days) / years)
        same = {"first": str(days[0]), "last": str(days[-1]), "break_even_bp": even, "trials": tried}
        for level in levels:
            net = _after(flows, level)
            figures = _figures(flows, net, years) | _against(flows, held, level, len(net) / years)
            dsr = deflated_sharpe(net, tried, ratios.get(str(name), ())) if chosen else np.nan
            head = {"model": str(model), "unique_id": str(name), "cost_bp": level, "declared": level == cost_bp}
            rows.append(head | same | figures | {"dsr": dsr})
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"model": "category", "unique_id": "category"})


def years_of(days: Dates) -> float:
    """Years that a series of bars covers, long gaps left out."""
    apart = in_days(np.diff(days))
    return float(max(apart[apart <= GAP_DAYS].sum(), 1.0) / DAYS)


def _net(part: pd.DataFrame, cost_bp: float) -> Floats:
    return _after({flow: part[flow].to_numpy(np.float64) for flow in FLOWS}, cost_bp)


def _after(flows: Mapping[str, Floats], cost_bp: float) -> Floats:
    """Net simple returns at a cost."""
    return np.asarray(flows["gross"] - flows["borrow"] - flows["turnover"] * cost_bp / 1e4)


def _against(
    flows: Mapping[str, Floats], held: Mapping[str, Floats] | None, cost_bp: float, year: float
) -> dict[str, float]:
    """Figures beside buy-and-hold of the same bars; unknown for holding itself."""
    names = ("beyond", "beyond_low", "beyond_high")
    if held is None:
        return dict.fromkeys(names, np.nan)
    figures = beyond_holding(_after(flows, cost_bp), _after(held, cost_bp), year)
    return dict(zip(names, figures, strict=True))


def _figures(flows: Mapping[str, Floats], net: Floats, years: float) -> dict[str, float]:
    bars, year = len(net), len(net) / years
    ratio = sharpe_ratio(net)
    scale = _spread(net, ratio)
    low, high = _interval(net, ratio)
    fall, longest = drawdown(net)
    wealth = float(np.prod(np.maximum(1.0 + net, 0.0)))
    return {
        "bars": bars,
        "years": years,
        "annual_return": wealth ** (1 / years) - 1,
        "volatility": float(net.std(ddof=1) * np.sqrt(year)) if bars > 1 else np.nan,
        "sharpe": ratio * np.sqrt(year),
        "sharpe_low": low * np.sqrt(year),
        "sharpe_high": high * np.sqrt(year),
        "psr": _probability(ratio, scale, bars),
        "years_needed": _needed(ratio, scale) / year,
        "max_drawdown": fall,
        "drawdown_bars": longest,
        "turnover": float(flows["turnover"].sum() / years),
        "exposure": float(np.abs(flows["position"]).mean()),
        "long": float(flows["long"][1:].mean()) if bars > 1 else np.nan,
        "final_equity": wealth,
    }
