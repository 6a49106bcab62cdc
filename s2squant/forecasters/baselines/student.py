"""Student-t shocks of unit variance, and their maximum-likelihood fit.

Shape legend: T standardised returns, S paths, H steps ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, stdtrit

from s2squant.forecasters.baselines.sampling import uniforms
from s2squant.series.arrays import Floats

NU_BOUNDS = (2.05, 200.0)
SCALE_BOUNDS = (0.5, 2.0)
FEW = 100
"""Below so many returns the likelihood is not asked: FALLBACK."""


class StudentT(NamedTuple):
    """`scale` times a Student-t of `nu` degrees of freedom, standardised to unit variance."""

    nu: float
    scale: float


FALLBACK = StudentT(nu=6.0, scale=1.0)


def student_shocks(paths: int, horizon: int, nu: float, seed: int) -> Floats:
    """Shocks (S, H) of standardised Student-t, mean 0 and variance 1 exactly in every column.

    A point's interval of probability decides its value: the quantile at the interval's middle (S evaluations of the
    quantile function, not S x H). The outermost two values carry what variance the middles leave out in the tails.
    """
    order_SH = uniforms(paths, horizon, seed)
    count = len(order_SH)
    half = count // 2
    upper = stdtrit(nu, (half + np.arange(half) + 0.5) / count) * np.sqrt((nu - 2) / nu)
    upper[-1] = np.sqrt(half - np.square(upper[:-1]).sum())
    values_S = np.concatenate([-upper[::-1], upper])
    shocks_SH: Floats = values_S[(order_SH * count).astype(np.intp)]
    return shocks_SH


def fit_student_t(standardised_T: Floats) -> StudentT:
    """Degrees of freedom and scale by maximum likelihood, location 0; bounded, so that zeros of a peg do no harm."""
    if len(standardised_T) < FEW:
        return FALLBACK
    squares_T = np.square(standardised_T)
    result = minimize(
        lambda x: _mean_negative_log_likelihood(squares_T, 2 + np.exp(x[0]), np.exp(x[1])),
        x0=[np.log(FALLBACK.nu - 2), np.log(FALLBACK.scale)],
        method="L-BFGS-B",
        bounds=[tuple(np.log(np.array(NU_BOUNDS) - 2)), tuple(np.log(SCALE_BOUNDS))],
    )
    return StudentT(nu=float(2 + np.exp(result.x[0])), scale=float(np.exp(result.x[1])))


def _mean_negative_log_likelihood(squares_T: Floats, nu: float, scale: float) -> float:
    width = scale**2 * (nu - 2)
    log_constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * width)
    return float((nu + 1) / 2 * np.log1p(squares_T / width).mean() - log_constant)
