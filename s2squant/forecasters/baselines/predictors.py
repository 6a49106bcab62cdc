"""Predictors of the regressions at each bar, and the causal volatility that scales their labels.

Shape legend: T returns of a ticker, F predictors, H steps ahead. Entry b of a (T + 1, ...) array reads only the first b
returns.
"""

from __future__ import annotations

import numpy as np

from s2squant.forecasters.baselines.drift import trailing_mean
from s2squant.forecasters.baselines.variance import SEED_BARS, Dynamics, filtered
from s2squant.series.arrays import Floats

SPANS = (5, 20, 60, 250)
DECAYS = (0.94, 0.985)
BOUND = 5.0
STILLEST = 0.02
"""Smallest causal scale, in units of the ticker's root mean square return: a peg moves again one day."""
LARGEST_LABEL = 10.0
NAMES = (
    *(f"return {lag}" for lag in range(1, 4)),
    *(f"mean of {span}" for span in SPANS),
    "fast over slow volatility",
    "week over fast volatility",
    "slow over yearly volatility",
    "share of falls in 20",
)


def causal_scale(scaled_T: Floats, decay: float) -> Floats:
    """Standard deviation (T + 1,) of the next return by an EWMA; entry 0 is NaN."""
    scale: Floats = np.maximum(np.sqrt(filtered(scaled_T, Dynamics(0.0, 1 - decay, 0.0, decay))), STILLEST)
    return scale


def predictors(scaled_T: Floats) -> Floats:
    """Predictors (T + 1, F), all without a unit and within 5 of zero; meaningless before bar 60."""
    fast, slow = (causal_scale(scaled_T, decay) for decay in DECAYS)
    fast[0] = slow[0] = 1.0
    standard_T = scaled_T / fast[:-1]
    padded = np.concatenate([np.zeros(3), standard_T])
    square_T = np.square(scaled_T)
    week, year = (np.sqrt(np.maximum(trailing_mean(square_T, span), 0)) for span in (5, 250))
    floor = 1e-4
    columns = [
        *(padded[3 - lag : len(padded) + 1 - lag] for lag in range(1, 4)),
        *(np.sqrt(span) * trailing_mean(scaled_T, span) / slow for span in SPANS),
        2 * np.log(np.maximum(fast, floor) / np.maximum(slow, floor)),
        2 * np.log(np.maximum(week, floor) / np.maximum(fast, floor)),
        2 * np.log(np.maximum(slow, floor) / np.maximum(year, floor)),
        trailing_mean(np.minimum(scaled_T, 0.0) ** 2, 20) / np.maximum(trailing_mean(square_T, 20), floor**2) - 0.5,
    ]
    clipped: Floats = np.clip(np.column_stack(columns), -BOUND, BOUND)
    return clipped


def labelled(scaled_T: Floats, scale_T: Floats, horizon: int, window: int) -> tuple[slice, Floats]:
    """The bars of the last `window` whose labels are known, and those labels (B, H): sums over scale x sqrt(h).

    Labels beyond ten are ten.
    """
    price = np.concatenate([[0.0], np.cumsum(scaled_T)])
    last = len(price) - horizon
    bars = slice(min(max(SEED_BARS, last - window), max(last, 0)), max(last, 0))
    bar = np.arange(len(price))[bars]
    step_H = np.arange(1, horizon + 1)
    sums_BH = price[bar[:, None] + step_H] - price[bar][:, None]
    return bars, np.clip(sums_BH / (scale_T[bar][:, None] * np.sqrt(step_H)), -LARGEST_LABEL, LARGEST_LABEL)
