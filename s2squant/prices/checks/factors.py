"""Checks of the adjustment: steps of Adj Close / Close against the source's own dividends and splits, or without any.

A step is the change of log(Adj Close / Close) from a bar to the next. A dividend D on a close of C before it makes one
of -log(1 - D / C), a split n:m one of log(n / m) where the close is as traded and none where it is adjusted already.
What an adjustment is for is a calm adjusted close: a step is right where it takes a move out, and wrong where it puts
one in.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from s2squant.errors import Finding, Severity
from s2squant.prices.checks.marks import mark, own_scale
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

FALL = 0.02
"""How far the factor may fall by rounding alone; low prices are rounded to the cent."""
STEP = 0.10
"""Log size from which a rise of the factor must show in the raw price."""
CLEAR = 2.0
"""Log likelihood ratio from which a step that puts a move into the adjusted close is an error."""
SHARE = 0.3
"""How far a step may be from a dividend's, in shares of it."""
SURE = 3.0
"""Standard errors from which closes show the dividends."""
UNTOLD = 0.003
"""Step that no event explains, from which it is told where the source has events."""


@dataclass(frozen=True)
class _Steps:
    """Log changes from bar to bar, (T-1,): of the close, of the adjusted close, of their quotient."""

    raw: Floats
    adjusted: Floats
    factor: Floats
    close: Floats
    adj_close: Floats

    @cached_property
    def rounding(self) -> Floats:
        """What rounding alone may do to the quotient, (T-1,)."""
        unit = _unit(self.adj_close) / self.adj_close + _unit(self.close) / self.close
        return unit[1:] + unit[:-1]

    @cached_property
    def scale(self) -> float:
        return own_scale(self.raw)


def bad_factors(history: PriceHistory) -> tuple[Finding, ...]:
    """Steps of the factor that neither an event nor the price explains, and events that it leaves out."""
    close = history.bars.get("close")
    if close is None or (not history.events and np.array_equal(close, history.adj_close)):
        return ()
    steps = _steps(close, history.adj_close)
    if "dividends" not in history.events:
        return (*told_splits(history), *_without_events(history, steps))
    return (*told_splits(history), *_dividends(history, steps), *_without_events(history, steps))


def told_splits(history: PriceHistory) -> tuple[Finding, ...]:
    """Splits that the source tells and its adjusted close still shows, or has been adjusted for twice."""
    rows = split_faults(history)
    if len(rows) == 0:
        return ()
    ratios = history.events["splits"][rows]
    still = (history.adj_close[rows] < history.adj_close[rows - 1]) == (ratios > 1)
    each = np.array([f"{history.dates[row]} {_ratio(ratio)}" for row, ratio in zip(rows, ratios, strict=True)])
    text, twice = (
        f"{still.sum()} split(s) of the source not adjusted for",
        f"{(~still).sum()} split(s) adjusted for twice",
    )
    said = ["the source tells it, and its adjusted close shows it"] * int(still.sum())
    return (
        *mark("unadjusted split", "error", history.dates[rows[still]], text, each=each[still].tolist(), why=said),
        *mark("bad adjustment factor", "error", history.dates[rows[~still]], twice, each=each[~still].tolist()),
    )


def _ratio(shares: float) -> str:
    fraction = Fraction(shares).limit_denominator(1000)
    return f"{fraction.numerator}:{fraction.denominator}"


def split_faults(history: PriceHistory) -> NDArray[np.intp]:
    """Bars of splits told by the source by whose ratio, or its inverse, the adjusted close jumps."""
    splits = history.events.get("splits")
    if splits is None:
        return np.array([], np.intp)
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.diff(np.log(history.adj_close))
    rows = np.flatnonzero((splits > 0) & (splits != 1) & (np.arange(len(splits)) > 0))
    size, ratio = np.abs(moves[rows - 1]), np.abs(np.log(splits[rows]))
    # nearer to the ratio than to nothing, and no ordinary move
    return np.asarray(rows[(np.abs(size - ratio) < size / 2) & (size > 4 * own_scale(moves))])


def _without_events(history: PriceHistory, steps: _Steps) -> tuple[Finding, ...]:
    """Falls of the factor that are no consolidation, and large steps where the raw close did not move."""
    if not ((steps.factor > STEP) | (steps.factor < -FALL)).any():
        return ()
    suspects = np.flatnonzero((steps.factor > STEP + steps.rounding) | (steps.factor < -FALL - steps.rounding))
    suspects = suspects[~np.isin(suspects + 1, split_faults(history))]
    raw, adjusted = steps.raw[suspects], steps.adjusted[suspects]
    worse = np.abs(adjusted) > np.abs(raw)  # it puts a move in
    likelihood = (adjusted**2 - raw**2) / (2 * steps.scale**2 + 1e-12)
    findings: tuple[Finding, ...] = ()
    severity: Severity
    for severity in ("error", "warning"):
        bars = suspects[worse & ((likelihood > CLEAR) == (severity == "error"))]
        days = history.dates[bars + 1]
        each = [f"{day} x{np.exp(steps.factor[i]):.4g}" for day, i in zip(days, bars, strict=True)]
        text = f"{len(bars)} step(s) of Adj Close / Close that no dividend or split explains"
        findings += mark("bad adjustment factor", severity, days, text, each=each)
    return findings


def _dividends(history: PriceHistory, steps: _Steps) -> tuple[Finding, ...]:
    """Dividends that the factor leaves out, counts twice or misses, those above the close, and steps without one."""
    close, cash = history.bars["close"], history.events["dividends"]
    paid = np.flatnonzero((cash > 0) & (np.arange(len(cash)) > 0))
    split = _traded_splits(history, steps)
    share = cash[paid] * split[paid] / close[paid - 1]
    above = share >= 1
    due = -np.log1p(-np.where(above, 0, share))
    findings = _listed(history, paid[above], "above the close before")
    if np.array_equal(close, history.adj_close):
        shown = _shown(steps.raw[paid - 1], due, steps.scale)
        return (*findings, *_listed(history, paid[~above], "that the one close shows and none is adjusted for", shown))
    step, slack = (steps.factor - np.log(split[1:]))[paid - 1], np.maximum(4 * steps.rounding[paid - 1], SHARE * due)
    wrong = ~above & (due > slack) & (np.abs(step - due) > slack)
    never, twice = wrong & (np.abs(step) < slack), wrong & (np.abs(step - 2 * due) < slack)
    findings += _listed(history, paid[never], "never adjusted for")
    findings += _listed(history, paid[twice], "adjusted for twice")
    findings += _listed(history, paid[wrong & ~never & ~twice], "adjusted for by another amount")
    quiet = np.ones(len(steps.factor), bool)
    quiet[paid - 1] = False
    size = np.abs(steps.factor - np.log(split[1:]))
    untold = np.flatnonzero(quiet & (size > UNTOLD + 4 * steps.rounding) & (size <= STEP))
    days = history.dates[untold + 1]
    each = [f"{day} x{np.exp(steps.factor[i]):.4g}" for day, i in zip(days, untold, strict=True)]
    text = f"{len(untold)} step(s) of Adj Close / Close without a dividend on the day"
    return (*findings, *mark("dividend mismatch", "note", days, text, each=each))


def _listed(history: PriceHistory, bars: NDArray[np.intp], what: str, told: bool = True) -> tuple[Finding, ...]:
    days, cash = history.dates[bars], history.events["dividends"][bars]
    each = [f"{day} {amount:.6g}" for day, amount in zip(days, cash, strict=True)]
    return mark("dividend mismatch", "warning", days, f"{len(days)} dividend(s) {what}", each=each) if told else ()


def _shown(moves: Floats, due: Floats, scale: float) -> bool:
    """Whether returns fall by the dividends on their days: the slope of a regression on them, 1 rather than 0."""
    weight = float(due @ due)
    return weight > 0 and -float(moves @ due) / weight > max(0.5, SURE * scale / np.sqrt(weight))


def _traded_splits(history: PriceHistory, steps: _Steps) -> Floats:
    """The splits, (T,), by whose ratio the factor steps as the close is as traded; 1 elsewhere."""
    splits = history.events.get("splits")
    ratios = np.ones(len(history))
    if splits is not None:
        ratios = np.where((splits > 0) & (np.arange(len(splits)) > 0), splits, 1.0)
        step = np.r_[0.0, steps.factor]
        ratios = np.where(np.abs(step - np.log(ratios)) < np.abs(step), ratios, 1.0)
    return ratios


def _steps(close: Floats, adjusted: Floats) -> _Steps:
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = np.diff(np.where(close > 0, np.log(close), np.nan))
        moved = np.diff(np.where(adjusted > 0, np.log(adjusted), np.nan))
    return _Steps(raw, moved, moved - raw, close, adjusted)


def _unit(prices: Floats) -> float:
    """Half the unit that prices are rounded to, where that is a power of ten down to 1e-5; else 0."""
    some = prices[np.isfinite(prices)][:: max(1, len(prices) // 200)]
    for digits in range(6):
        if np.allclose(some, np.round(some, digits), rtol=1e-9, atol=10.0 ** -(digits + 4)):
            return 0.5 * 10.0**-digits
    return 0.0
