"""The drift of every model that has one: a ticker's own mean shrunk towards its asset class's, and that to a prior.

    class   m = (x / V + m0 / s0^2) / (1 / V + 1 / s0^2)    x, V: mean return of the class by date, and its variance
    ticker  d = m + t^2 / (t^2 + v) y                       y, v: mean of (own return - class's), and its variance
    spread  t^2 = (n0 t0^2 + (K - 1) T) / (n0 + K - 1)      T: DerSimonian and Laird's estimate from the K pairs (y, v)

A mean is shrunk by its own uncertainty: twenty years of a stock tell its drift to 6 % a year, its class's to 4 %. The
mean of the class is taken by date, because tickers fall together and many of them know little more than one. A ticker
alone in its class has d = (x / V + m0 / p) / (1 / V + 1 / p) with p = s0^2 + t0^2.

Sources: Morris, JASA 78 (1983), parametric empirical Bayes; Jorion, JFQA 21 (1986), means of returns; DerSimonian and
Laird, Controlled Clinical Trials 7 (1986), eq. 8 and 9.
Shape legend: M tickers of a panel, K tickers of one class, D dates, T returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from s2squant.config.asset_classes import DRIFT_PRIORS, PRIOR_TICKERS, AssetClass, DriftPrior
from s2squant.errors import CheckpointError
from s2squant.series.arrays import Floats, Ints, in_days
from s2squant.series.forecast import State
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

DAYS_A_YEAR = 365.25
LEAST_VARIANCE = 1e-16
"""Of a mean return: a price that never moved tells that it does not drift."""


@dataclass(frozen=True)
class Drifts:
    """Expected log return a bar of each ticker of a fit, and of each class for tickers it did not know."""

    by_ticker: Mapping[str, float]
    by_class: Mapping[str, float]

    def of(self, panel: Panel) -> Floats:
        """Of each ticker of the panel, (M,); one that was not fitted has its class's, or 0 where there is none."""
        return np.array([self.by_ticker.get(h.ticker, self.by_class.get(h.asset_class, 0.0)) for h in panel.histories])

    def state(self) -> State:
        """Values in arrays, their names beside."""
        values = {"ticker": self.by_ticker, "class": self.by_class}
        arrays = {f"drift/{kind}": np.array(list(of.values()), np.float64) for kind, of in values.items()}
        return State(arrays, {f"drift/{kind}": list(of) for kind, of in values.items()})

    @classmethod
    def restored(cls, state: State) -> Drifts:
        """The drifts within a stored state; raises CheckpointError where it has none."""
        if "drift/ticker" not in state.arrays:
            raise CheckpointError("stored before models had a drift of their own; fit again")
        ticker, group = (
            dict(zip(state.meta[f"drift/{kind}"], state.arrays[f"drift/{kind}"].tolist(), strict=True))
            for kind in ("ticker", "class")
        )
        return cls(ticker, group)


_KNOWN: WeakKeyDictionary[Panel, dict[np.datetime64 | None, Drifts]] = WeakKeyDictionary()
"""Drifts of whole markets, for as long as their panels live: every ticker asks for them in every fold."""


def shrunk_drifts(panel: Panel) -> Drifts:
    """The drifts as of a panel's last bar, from all tickers of its market."""
    whole = panel.whole or panel
    known, until = _KNOWN.setdefault(whole, {}), panel.whole_until if panel.whole else None
    if until not in known:
        known[until] = _shrunk(whole if until is None else whole.until(until))
    return known[until]


def _shrunk(panel: Panel) -> Drifts:
    classes: dict[AssetClass, list[PriceHistory]] = {}
    for history in panel.histories:
        classes.setdefault(history.asset_class, []).append(history)
    by_ticker: dict[str, float] = {}
    by_class: dict[str, float] = {}
    for name, members in classes.items():
        own, common = shrunk_to_class(members, DRIFT_PRIORS[name])
        by_ticker |= dict(zip((h.ticker for h in members), own.tolist(), strict=True))
        by_class[name] = common
    return Drifts(by_ticker, by_class)


def shrunk_to_class(members: Sequence[PriceHistory], prior: DriftPrior) -> tuple[Floats, float]:
    """Drift a bar of each ticker of one class (K,), and the class's."""
    returns = [h.log_returns[~h.resumed_T[1:]] for h in members]
    dates = [h.dates[1:][~h.resumed_T[1:]] for h in members]
    days = np.unique(np.concatenate(dates))
    place = [np.searchsorted(days, own) for own in dates]
    total, count = np.zeros(len(days)), np.zeros(len(days))
    for r, at in zip(returns, place, strict=True):
        total[at] += r
        count[at] += 1
    common_D = total / count
    a_year = len(days) / max(float(in_days(days[-1] - days[0])) / DAYS_A_YEAR, 1 / DAYS_A_YEAR)
    mean, variance = mean_and_variance(common_D)
    prior_mean, class_variance, ticker_variance = (
        prior.mean / a_year,
        (prior.class_sd / a_year) ** 2,
        (prior.ticker_sd / a_year) ** 2,
    )
    shrunk = precision_weighted(mean, variance, prior_mean, class_variance)
    if len(members) == 1:
        return np.array([precision_weighted(mean, variance, prior_mean, class_variance + ticker_variance)]), shrunk
    apart = [mean_and_variance(r - common_D[at]) for r, at in zip(returns, place, strict=True)]
    y, v = np.array(apart).T
    others = len(members) - 1
    spread = (PRIOR_TICKERS * ticker_variance + others * between_variance(y, v)) / (PRIOR_TICKERS + others)
    return shrunk + spread / (spread + v) * y, shrunk


def mean_and_variance(returns_T: Floats) -> tuple[float, float]:
    """Mean of returns, and the variance of that mean."""
    return float(returns_T.mean()), max(float(returns_T.var()) / len(returns_T), LEAST_VARIANCE)


def precision_weighted(mean: float, variance: float, prior_mean: float, prior_variance: float) -> float:
    """Posterior mean of a normal mean under a normal prior."""
    return (mean / variance + prior_mean / prior_variance) / (1 / variance + 1 / prior_variance)


def between_variance(y_K: Floats, v_K: Floats) -> float:
    """Variance of the true means behind K measured ones of known variance; 0 where they differ by chance at most."""
    w = 1.0 / v_K
    q = float((w * (y_K - (w * y_K).sum() / w.sum()) ** 2).sum())
    return max(0.0, (q - (len(y_K) - 1)) / float(w.sum() - (w**2).sum() / w.sum()))


def training_drifts(panel: Panel, rows: Ints) -> Floats:
    """Mean log return of the bar after each ticker's training origins, (M,): what a fit has to take out of its labels.

    A ticker without a training origin has 0.
    """
    owner = panel.ticker_of[rows]
    moved = panel.log_price[rows + 1] - panel.log_price[rows]
    sums, counts = (np.bincount(owner, w, len(panel.tickers)) for w in (moved, None))
    return np.asarray(sums / np.maximum(counts, 1))
