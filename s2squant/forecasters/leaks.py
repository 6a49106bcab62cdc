"""Look-ahead checks: forecasters and features on prices whose later bars are deleted or replaced.

A forecast made at the close of a day, and a feature's value on that day, must not change when every later bar is
deleted or replaced by noise. Against noise, which keeps every shape, not a bit may move; against deletion, where sums
may be taken in another order, nothing beyond rounding.

Shape legend: R rows of a panel, F features, N origins, H steps, Q levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from s2squant.config.models import subject
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Fitted, Forecast, State
from s2squant.series.history import OHLCV, PriceHistory
from s2squant.series.panel import Panel

Outcome = Literal["passed", "failed", "not run"]
Features = Callable[[Panel], Mapping[str, Floats]]
"""A user's features: from a panel to arrays by name, each (R,), a row's value reading no bar after it."""

ROUNDING = 1e-6
"""Largest relative change that deleting later bars may make."""
LONGEST_HORIZON = 250
"""Sessions for which future-known covariates are left as they are where nobody says how many a model may read."""
NOISE = 0.3
"""Standard deviation of the log price of a scrambled bar."""


@dataclass(frozen=True)
class Check:
    """One line of an audit."""

    check: str
    model: str
    """The forecaster, or the feature's column."""
    outcome: Outcome
    figure: float
    """The largest relative change for truncation, the CRPS skill for a planted leak; NaN where there is none."""
    sentence: str


@dataclass(frozen=True)
class Change:
    """Largest change by later bars."""

    size: float
    """Largest change over the largest value; 0 where nothing moved."""
    where: str
    """The ticker and the cutoff, and what was done to the later bars."""


NOTHING = Change(0.0, "")


def scrambled(panel: Panel, day: np.datetime64, seed: int, horizon: int = LONGEST_HORIZON) -> Panel:
    """The panel with every bar after `day` replaced: closes by noise around the last one, the rest by other bars'.

    So are the covariates: past ones after the day, future-known ones beyond the `horizon` sessions after it.
    """
    rng = np.random.default_rng(seed)
    bars = [_scrambled(history, int((history.dates <= day).sum()), rng) for history in panel.histories]
    rng = np.random.default_rng([seed, 1])
    return Panel(tuple(_scrambled_covariates(history, day, horizon, rng) for history in bars))


def _scrambled_covariates(
    history: PriceHistory, day: np.datetime64, horizon: int, rng: np.random.Generator
) -> PriceHistory:
    own = history.covariates
    if own is None:
        return history
    known_T = int((history.dates <= day).sum())
    known_S = int((own.days_S <= day).sum()) + horizon
    values = [np.array(own.past_TP), np.array(own.future_SF)]
    for table, known in zip(values, (known_T, known_S), strict=True):
        late = table[known:]
        late[:] = rng.permuted(late, axis=0) * rng.lognormal(0.0, NOISE, late.shape) + rng.random(late.shape)
    return replace(history, covariates=replace(own, past_TP=values[0], future_SF=values[1]))


def _scrambled(history: PriceHistory, known: int, rng: np.random.Generator) -> PriceHistory:
    late = len(history) - known
    noise = np.exp(rng.normal(0.0, NOISE, late))
    donors = rng.integers(0, len(history), late)
    close = np.array(history.adj_close)
    close[known:] = close[max(known - 1, 0)] * noise
    bars = {name: np.array(values) for name, values in history.bars.items()}
    raw = np.array(bars["close"]) if "close" in bars else np.array(history.adj_close)
    for name in (n for n in OHLCV if n in bars):
        shape = bars[name][donors] / (1.0 if name == "volume" else raw[donors])
        level = noise if name == "volume" else raw[max(known - 1, 0)] * noise
        bars[name][known:] = shape * level
    return replace(history, adj_close=close, bars=bars)


def look_ahead(fitted: Fitted, panel: Panel, day: np.datetime64, tickers: Sequence[str], seed: int) -> Change:
    """Largest change of the forecasts of `tickers` at the close of `day` by later bars."""
    rows = rows_at(panel, day, tickers)
    if len(rows) == 0:
        return NOTHING
    short = panel.until(day)
    base = fitted.predict(panel, rows)
    replaced = fitted.predict(scrambled(panel, day, seed, base.mean_NH.shape[1]), rows)
    deleted = fitted.predict(short, rows_at(short, day, tickers))
    names = [panel.tickers[m] for m in panel.ticker_of[rows]]
    worst_change = NOTHING
    for other, what, allowed in ((replaced, "replaced by noise", 0.0), (deleted, "deleted", ROUNDING)):
        change_N = _change(base, other)
        worst = int(change_N.argmax())
        if change_N[worst] > max(allowed, worst_change.size):
            worst_change = Change(float(change_N[worst]), f"{names[worst]} at {day}, later bars {what}")
    return worst_change


def truncation(name: str, changes: Sequence[Change]) -> Check:
    """The line of a forecaster that was tried at several cutoffs."""
    worst = max(changes, key=lambda change: change.size, default=NOTHING)
    if not changes:
        return Check("truncation", name, "not run", np.nan, f"{subject(name)}: no cutoff with later bars to take away")
    if worst.size > 0:
        sentence = f"{subject(name)} reads past its cutoff: its forecast of {worst.where}, changes by {worst.size:.2g}"
        return Check("truncation", name, "failed", worst.size, sentence)
    tried = f"when later bars are deleted or replaced by noise ({len(changes)} forecasts)"
    sentence = f"{subject(name)} forecasts the same {tried}"
    return Check("truncation", name, "passed", 0.0, sentence)


def feature_leaks(
    name: str, features: Features, panel: Panel, days: Sequence[np.datetime64], *, warmup: int, seed: int
) -> list[Check]:
    """One line a column: whether its values up to each day stay when the bars after it go.

    Rows earlier than `warmup` bars into their ticker are not looked at. A column that differs between two calls on the
    same panel, or has another length than the panel, fails too.
    """
    base, again = ({k: np.asarray(v) for k, v in features(panel).items()} for _ in range(2))
    worst = dict.fromkeys(base, NOTHING)
    broken = {key: _defect(base[key], again.get(key), len(panel.log_price)) for key in base}
    for day in days:
        early = np.flatnonzero((panel.dates <= day) & (panel.bar_number(np.arange(len(panel.dates))) >= warmup))
        short = panel.until(day)
        rows_left = short_rows(panel, short, early)
        for other, rows, what in (
            (scrambled(panel, day, seed), early, "replaced by noise"),
            (short, rows_left, "deleted"),
        ):
            values = features(other)
            for key in (k for k in base if not broken[k]):
                if key not in values or len(values[key]) != len(other.log_price):
                    broken[key] = f"is missing or has another length when the bars after {day} are {what}"
                    continue
                allowed = ROUNDING if what == "deleted" else 0.0
                change_N = _moved(base[key][early], np.asarray(values[key])[rows])
                k = int(change_N.argmax()) if len(change_N) else 0
                if len(change_N) and change_N[k] > max(allowed, worst[key].size):
                    row = early[k]
                    where = f"{panel.tickers[panel.ticker_of[row]]} on {panel.dates[row]}, bars after {day} {what}"
                    worst[key] = Change(float(change_N[k]), where)
    return [_column(name, key, broken[key], worst[key], len(days)) for key in base]


def _column(name: str, key: str, defect: str, change: Change, days: int) -> Check:
    column = f"{name}.{key}"
    if defect:
        return Check("feature", column, "failed", np.nan, f"column {key} of {name} {defect}")
    if change.size > 0:
        sentence = f"column {key} of {name} reads ahead: its value of {change.where}, changes by {change.size:.2g}"
        return Check("feature", column, "failed", change.size, sentence)
    sentence = f"column {key} of {name} stays when later bars are deleted or replaced by noise ({days} cutoffs)"
    return Check("feature", column, "passed", 0.0, sentence)


def _defect(once: Floats, twice: Floats | None, rows: int) -> str:
    if once.shape != (rows,):
        return f"has shape {once.shape}; a feature is one value for each of the panel's {rows} rows"
    if twice is None or not np.array_equal(once, twice, equal_nan=True):
        return "differs between two calls on the same prices: seed it, or leave out what is random"
    return ""


def _change(one: Forecast, other: Forecast) -> Floats:
    """Largest change of each origin's quantiles and mean (N,), over the largest quantile."""
    quantiles = np.abs(one.quantiles_NHQ - other.quantiles_NHQ).max(axis=(1, 2))
    means = np.abs(one.mean_NH - other.mean_NH).max(axis=1)
    scale = np.abs(one.quantiles_NHQ).max(axis=(1, 2))
    return np.asarray(np.maximum(quantiles, means) / np.where(scale > 0, scale, 1.0))


def _moved(one: Floats, other: Floats) -> Floats:
    """Change of each value (N,) over the column's spread; a NaN that comes or goes is a change of 1."""
    gone = np.isnan(one) != np.isnan(other)
    scale = np.nanstd(one) if np.isfinite(one).any() else 0.0
    change = np.abs(np.nan_to_num(one) - np.nan_to_num(other)) / (scale if scale > 0 else 1.0)
    return np.asarray(np.where(gone, 1.0, change))


def rows_at(panel: Panel, day: np.datetime64, tickers: Sequence[str]) -> Ints:
    """The rows of these tickers on this day, in the panel's order; none without a bar, nor soon after a hole."""
    wanted = [m for m, ticker in enumerate(panel.tickers) if ticker in set(tickers)]
    rows = np.flatnonzero((panel.dates == day) & np.isin(panel.ticker_of, wanted))
    return rows[panel.settled(rows)]


def short_rows(panel: Panel, short: Panel, rows: Ints) -> Ints:
    """The rows of a shortened panel that are `rows` of the whole one."""
    number = {ticker: m for m, ticker in enumerate(short.tickers)}
    start_M = np.array([short.starts[number[t]] if t in number else -1 for t in panel.tickers])
    return np.asarray(start_M[panel.ticker_of[rows]] + panel.bar_number(rows), np.intp)


@dataclass(frozen=True)
class Probe:
    """A forecaster on given features: least squares on them at every step, and the residuals' quantiles.

    It serves the audit: what a feature is worth to a forecaster, honest or not, is the skill of this one.
    """

    features: Features
    name: str = "probe"

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedProbe:  # noqa: ARG002
        """Fit on the origins `rows`; nothing is random."""
        x_NF, y_NH = _design(self.features, panel)[rows], panel.targets(rows, horizon)
        known = np.isfinite(x_NF).all(axis=1) & np.isfinite(y_NH).all(axis=1)
        weights_FH = np.linalg.lstsq(x_NF[known], y_NH[known], rcond=None)[0]
        left_NH = y_NH[known] - x_NF[known] @ weights_FH
        return FittedProbe(self.name, self.features, weights_FH, np.quantile(left_NH, LEVELS, axis=0).T)


@dataclass(frozen=True)
class FittedProbe:
    """Weights (F, H), the constant's first, and quantiles (H, Q) of what they leave."""

    name: str
    features: Features
    weights_FH: Floats
    table_HQ: Floats

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """The fitted line and the residuals around it; a missing feature counts as zero."""
        x_NF = np.nan_to_num(_design(self.features, panel)[rows])
        mean_NH = np.einsum("nf,fh->nh", x_NF, self.weights_FH)
        quantiles = mean_NH[:, :, None] + self.table_HQ
        return Forecast(self.name, rows, quantiles, quantiles.mean(axis=2))

    def state(self) -> State:
        return State({"weights": self.weights_FH, "table": self.table_HQ}, {"kind": "probe"})


def _design(features: Features, panel: Panel) -> Floats:
    columns = [np.asarray(values, np.float64) for values in features(panel).values()]
    return np.stack([np.ones(len(panel.log_price)), *columns], axis=1)


def label(panel: Panel, horizon: int, *, shift: int = 0) -> Mapping[str, Floats]:
    """The return over the next `horizon` bars as a feature, the leak of leaks; `shift` bars earlier it is honest."""
    rows = np.arange(len(panel.log_price))
    known = (rows - panel.first_of(rows) >= shift) & (panel.bars_left(rows) + shift >= horizon)
    start = np.where(known, rows - shift, 0)
    ahead = panel.log_price[np.minimum(start + horizon, len(rows) - 1)] - panel.log_price[start]
    return {"label": np.where(known, ahead, np.nan)}
