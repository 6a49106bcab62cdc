"""Leak checks of covariates: values that know the next bar, and values that are the label.

Truncation sees a model that reads ahead; it cannot see a value that was written down before it was known, as one whose
lag is declared a session too short. Such a value knows the next bar's return, or its size, as nobody does honestly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from s2squant.forecasters.leaks import Check
from s2squant.series.arrays import Floats
from s2squant.series.panel import Panel

FEWEST = 500
"""Bars of a ticker with a value, below which nothing can be told."""
NEXT_BAR = 0.3
"""Rank correlation with the next bar beyond which a value was known too early: an exchange's own close of a day later
has .4 to .8, stale prices of small stocks up to .2."""
LABEL = 0.6
"""Rank correlation with the return over the horizon beyond which a value is the label."""


def covariate_leaks(panel: Panel, horizon: int) -> list[Check]:
    """One line a covariate that changes with time."""
    covariates = panel.covariates
    if covariates is None:
        return []
    rows = np.arange(len(panel.log_price))
    label_R = panel.targets(rows, horizon)[:, -1]
    next_R = panel.targets(rows, 1)[:, 0]
    own_R = np.diff(panel.log_price, prepend=panel.log_price[:1])
    checks = []
    for p, column in enumerate(covariates.past):
        checks.append(_past(panel, column.name, covariates.past_RP[:, p], own_R, next_R, label_R))
    ahead_NF = covariates.at_steps(rows, 1)[:, 0]
    for f, column in enumerate(covariates.future):
        size, bars = _correlation(panel, ahead_NF[:, f], next_R)
        checks.append(_line(column.name, size, bars, LABEL, "is the return of its own session"))
    return checks


def _past(panel: Panel, name: str, value_R: Floats, own_R: Floats, next_R: Floats, label_R: Floats) -> Check:
    change_R = np.diff(value_R, prepend=np.nan)
    change_R[panel.starts[:-1]] = np.nan
    label, bars = _correlation(panel, value_R, label_R)
    if abs(label) >= LABEL:
        return _line(name, label, bars, LABEL, "is the label, the return over the horizon")
    signed = max(abs(_correlation(panel, x_R, next_R)[0]) for x_R in (value_R, change_R))
    size = _correlation(panel, change_R, np.abs(next_R))[0]
    today = _correlation(panel, change_R, np.abs(own_R))[0]
    if today * size > 0 and abs(today) >= abs(size):  # a large move today goes on tomorrow, honestly
        size = 0.0
    text = "knows the next bar: was it known when it says? raise its lag, or give the moment of its publication"
    return _line(name, max(signed, abs(size)), bars, NEXT_BAR, text)


def _line(name: str, size: float, bars: int, most: float, what: str) -> Check:
    size = abs(size)
    if not bars:
        few = f"the covariate {name} has fewer than {FEWEST} values of any ticker that was looked at"
        return Check("covariate", name, "not run", np.nan, few)
    figures = f"rank correlation {size:.2f} over {bars} bars"
    if size >= most:
        return Check("covariate", name, "failed", size, f"the covariate {name} {what} ({figures})")
    return Check(
        "covariate", name, "passed", size, f"the covariate {name} knows no more of the next bar than can be ({figures})"
    )


def _correlation(panel: Panel, x_R: Floats, y_R: Floats) -> tuple[float, int]:
    """Mean over the tickers of the rank correlation, and how many bars it rests on."""
    known = np.isfinite(x_R) & np.isfinite(y_R)
    each, bars = [], 0
    for a, b in zip(panel.starts[:-1], panel.starts[1:], strict=True):
        at = a + np.flatnonzero(known[a:b])
        if len(at) >= FEWEST:
            each.append(_ranked(x_R[at], y_R[at]))
            bars += len(at)
    return (float(np.mean(each)), bars) if each else (0.0, 0)


def _ranked(x: Floats, y: Floats) -> float:
    one, other = (_standard(rankdata(values)) for values in (x, y))
    return float(np.mean(one * other))


def _standard(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = ranks.std()
    return np.asarray((ranks - ranks.mean()) / (spread if spread > 0 else 1.0))
