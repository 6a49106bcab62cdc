"""Clark-West test of equal accuracy of nested models (Clark and West 2007).

A larger model pays for estimating what is not there; the adjusted loss difference gives that back, so this speaks of
the population, not of the forecasts as they were: it can find a signal that did not pay.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit

from s2squant.series.arrays import Floats


def adjusted_difference(y: Floats, nested: Floats, larger: Floats) -> Floats:
    """Squared error of the nested forecast less that of the larger one, less what mere estimation costs."""
    return np.asarray(np.square(y - nested) - np.square(y - larger) + np.square(nested - larger))


def one_sided(statistic: float, nu: int) -> float:
    """P of a t statistic against a mean above zero."""
    return float(stdtr(nu, -statistic))


def detectable(nu: int, alpha: float, power: float) -> float:
    """Standard errors a mean must measure to be found by the one-sided test."""
    return float(stdtrit(nu, 1.0 - alpha) + stdtrit(nu, power))
