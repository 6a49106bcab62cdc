"""Tails beyond the empirical table: generalised Pareto excesses over a threshold, pooled within an asset class.

    q(p) = q(.025) + beta / xi ((p / .025)^-xi - 1)

Peaks over threshold (Pickands 1975; McNeil and Frey, J. Empirical Finance 7 (2000)): excesses of standardised returns
over the 5 % quantile have a generalised Pareto law with shape xi. It is estimated by probability-weighted moments
(Hosking and Wallis 1987) and shrunk: a class to all classes together, these to a prior shape; the scale then follows
from the mean excess. A Pareto law over one threshold is one over any higher, so the curve goes on from the table's
outermost quantile without a step.

Shape legend: N origins, H steps, Q even levels, T tail levels, C asset classes, the first all together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from s2squant.series.arrays import Floats
from s2squant.series.tails import LEVELS, TAIL_LEVELS, exponential_tails

PRIOR_SHAPE = 0.1
"""Shape that few excesses are shrunk to: standardised daily returns of stock indices and currencies have 0.05 to 0.2
(McNeil and Frey 2000, table 1)."""
PRIOR_WEIGHT = 50.0
"""Independent excesses that the prior, or all classes together, weigh as much as."""
BOUNDS = (-0.2, 0.4)
FEWEST = 20
"""Excesses below which a class has no tail of its own."""
EVERYTHING = "*"


def pareto_tails(
    standardised_NH: Floats, table_HQ: Floats, classes_N: NDArray[np.object_], names: Sequence[str]
) -> Floats:
    """Tails (C, H, T) of each class beyond a table of the same standardised returns.

    `classes_N` is the asset class of each origin's ticker, `names` all classes (C,), EVERYTHING first. Excesses of
    step h overlap: h of them count as one.
    """
    tails_CHT = np.empty((len(names), len(table_HQ), len(TAIL_LEVELS)))
    members = [classes_N == name for name in names[1:]]
    for h, table_Q in enumerate(table_HQ):
        column_N, fallback_T = standardised_NH[:, h], exponential_tails(table_Q)
        for sign, own in ((-1.0, slice(0, 2)), (1.0, slice(2, 4))):
            ends = (table_Q[0], table_Q[1]) if sign < 0 else (table_Q[-1], table_Q[-2])
            threshold, start = sign * ends[1], sign * ends[0]
            excess_N = sign * column_N - threshold
            p_T = np.minimum(TAIL_LEVELS[own], 1 - TAIL_LEVELS[own])
            shape = PRIOR_SHAPE
            for c, mine in enumerate([np.ones(len(column_N), bool), *members]):
                excess = excess_N[mine & (excess_N > 0)]
                if len(excess) < FEWEST:
                    tails_CHT[c, h, own] = tails_CHT[0, h, own] if c else fallback_T[own]
                    continue
                own_shape = shrunk_shape(excess, 1 + h, shape)
                shape = own_shape if c == 0 else shape
                scale = max(float(excess.mean()) * (1 - own_shape) + own_shape * (start - threshold), 0.0)
                tails_CHT[c, h, own] = sign * (start + scale * excess_quantile(p_T / LEVELS[0], own_shape))
    return tails_CHT


def pareto_beyond(even_xQ: Floats, shape: float = PRIOR_SHAPE) -> Floats:
    """Tails (..., T) of a Pareto law of given shape over the second outermost quantile on each side.

    The outermost one gives its scale. For forecasts of which the quantiles are all that is known.
    """
    parts = []
    for sign, end, inner, own in ((-1.0, 0, 1, slice(0, 2)), (1.0, -1, -2, slice(2, 4))):
        start, excess = even_xQ[..., end, None], sign * (even_xQ[..., end] - even_xQ[..., inner])[..., None]
        scale = excess / excess_quantile(LEVELS[0] / LEVELS[1], shape) + shape * excess
        p_T = np.minimum(TAIL_LEVELS[own], 1 - TAIL_LEVELS[own])
        parts.append(start + sign * scale * excess_quantile(p_T / LEVELS[0], shape))
    return np.concatenate(parts, axis=-1)


def shrunk_shape(excess: Floats, overlap: int, prior: float) -> float:
    """Shape of positive excesses by probability-weighted moments, within BOUNDS, shrunk to `prior`."""
    x = np.sort(excess)
    mean, n = float(x.mean()), len(x)
    weighted = float((x * (1 - (np.arange(n) + 0.65) / n)).mean())
    shape = float(np.clip(2 - mean / max(mean - 2 * weighted, 1e-12), *BOUNDS))
    weight = n / overlap
    return (weight * shape + PRIOR_WEIGHT * prior) / (weight + PRIOR_WEIGHT)


def excess_quantile(share: Floats | float, shape: float) -> Floats:
    """Quantile of a generalised Pareto law of scale 1 that a share exceeds."""
    if abs(shape) < 1e-6:
        return np.asarray(-np.log(share))
    return np.asarray((share**-shape - 1) / shape)
