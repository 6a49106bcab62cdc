"""Pesaran-Timmermann test (1992) of directional accuracy beyond the base rate, under overlap.

The number tested is the covariance of the two signs; its variance comes from equal-weighted cosines of the products of
the deviations, in place of their formula for independent outcomes (Pesaran and Timmermann 2009 say why).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s2squant.series.arrays import Floats


class Direction(NamedTuple):
    """Shares of units with a call (a median other than zero) and a move."""

    accuracy: float
    expected: float
    """Accuracy of independent calls at the same base rates."""
    up: float
    """Share of outcomes above zero."""
    calls: int


def direction(y: Floats, median: Floats) -> Direction:
    """Accuracy of the sign of `median` for the sign of `y` over units with both."""
    called = (median != 0) & (y != 0)
    if not called.any():
        return Direction(np.nan, np.nan, np.nan, 0)
    said, was = median[called] > 0, y[called] > 0
    expected = said.mean() * was.mean() + (1 - said.mean()) * (1 - was.mean())
    return Direction(float((said == was).mean()), float(expected), float(was.mean()), int(called.sum()))


def sign_covariance(y: Floats, median: Floats) -> Floats:
    """Per unit, what it adds to accuracy beyond the base rate: half the product of the signs' deviations.

    Its mean is accuracy - expected of `direction`. A median or outcome of zero counts as no call.
    """
    said, was = np.sign(median).astype(float), np.sign(y).astype(float)
    return np.asarray(0.5 * (said - said.mean()) * (was - was.mean()))
