"""Checks of the adjustment: Adj Close / Close rises with dividends and splits, and takes jumps out, not in."""

from __future__ import annotations

import numpy as np

from s2squant.errors import Finding
from s2squant.prices.adjust import implied_splits
from s2squant.prices.checks.marks import mark
from s2squant.series.history import PriceHistory

FALL = 0.02
"""How far the factor may fall by rounding alone; low prices are rounded to the cent."""
STEP = 0.10
"""Log size from which a step of the factor must show in the raw price."""


def bad_factors(history: PriceHistory) -> tuple[Finding, ...]:
    """Steps of the factor that no dividend or split explains.

    A fall that is no reverse split; and a large step where the raw close did not move, so that the adjusted close jumps
    instead (a dividend 100 times too large, a split applied twice).
    """
    close, adjusted = history.bars.get("close"), history.adj_close
    if close is None:
        return ()
    with np.errstate(divide="ignore", invalid="ignore"):
        log_close = np.where(close > 0, np.log(close), np.nan)
        log_adjusted = np.where(adjusted > 0, np.log(adjusted), np.nan)
    step = np.diff(log_adjusted - log_close)
    suspects = np.flatnonzero((step > STEP) | (step < -FALL))
    if len(suspects) == 0:
        return ()
    raw, moved = np.diff(log_close), np.diff(log_adjusted)
    # a cent of rounding on both sides of the step, where prices are that low
    rounding = np.log1p(0.02 / np.minimum(adjusted[:-1], adjusted[1:])[suspects])
    ratio = implied_splits(close, adjusted)[1:][suspects]
    falls = (step[suspects] < -FALL - rounding) & (ratio == 1)
    idle = (np.abs(step[suspects]) > STEP + rounding) & (np.abs(moved[suspects]) > 0.6 * np.abs(step[suspects]))
    idle &= np.abs(raw[suspects]) < 0.4 * np.abs(step[suspects])
    wrong = suspects[falls | idle]
    days = history.dates[wrong + 1]
    each = [f"{day} x{np.exp(step[i]):.4g}" for day, i in zip(days, wrong, strict=True)]
    text = f"{len(wrong)} step(s) of Adj Close / Close that no dividend or split explains"
    return mark("bad adjustment factor", "error", days, text, each=each)
