"""Null distribution of calibration statistics: an ideal forecaster under overlap and cross-sectional correlation.

Every calibration statistic of the report is held against the same simulation: tickers follow Gaussian random walks
with a common factor, the forecaster knows their law, and cutoffs lie as far apart as the run's. So a band or a p-value
accounts for overlapping labels, for tickers that move together, and for the skewness of squares in a short sample,
where tests with an estimated variance reject far too often (8 to 39 % at nominal 5 %; docs/statistics.md).

The null is the ideal forecast (Gneiting, Balabdaoui and Raftery 2007): a forecast right on average but not in its
timing can be rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from scipy.special import ndtr

from s2squant.series.arrays import Floats, Ints

BINS = 40
"""Bins of the PIT, one between each pair of neighbouring quantile levels."""
DRAWS = 999
MOMENTS = np.array([0.0, 1.0, 0.0, 1.8])
"""Raw moments 1 to 4 of a standardised uniform variable."""
_CHUNK = 2_000_000
_MOST_TICKERS = 12
_MOST_STEPS = 4


@dataclass(frozen=True)
class CalibratedNull:
    """Draws of the date-averaged statistics of an ideal forecaster."""

    shares: Floats
    """(DRAWS, BINS) share of PIT values in each bin."""
    moments: Floats
    """(DRAWS, 4) mean raw moments of the standardised PIT, less MOMENTS."""
    precision: Floats
    """(4, 4) inverse covariance of `moments`."""

    def distance(self, moments: Floats) -> Floats:
        """Quadratic form of moments (..., 4): Knueppel's statistic with the covariance known instead of estimated."""
        return np.asarray(np.einsum("...i,ij,...j->...", moments, self.precision, moments))

    def knueppel(self, moments: Floats) -> Floats:
        """The p-values of date-averaged raw moments (..., 4), jointly."""
        return exceeding(self.distance(moments), np.sort(self.distance(self.moments)))

    def coverage(self, low: int, high: int) -> Floats:
        """(DRAWS,) share of outcomes in the bins low .. high - 1, sorted."""
        return np.asarray(np.sort(self.shares[:, low:high].sum(axis=1)))


def standard_moments(pit: Floats) -> Floats:
    """Raw moments 1 to 4 of sqrt(12) (PIT - 1/2), less those of a uniform variable (..., 4); Knueppel 2015."""
    z = np.sqrt(12.0) * (np.asarray(pit, np.float64) - 0.5)
    return np.asarray(np.stack([z, z * z, z**3, z**4], axis=-1) - MOMENTS)


def calibrated_null(
    dates: int, bars: float, steps: tuple[int, ...], tickers: float, correlation: float
) -> CalibratedNull:
    """The null for `dates` cutoffs `bars` apart, averaged over `steps` ahead and `tickers` of equal correlation.

    More than 12 tickers are stood for by 12 whose average varies as much, which makes bands a little too wide.
    Deterministic. Sizes are rounded (dates to two digits, correlation to 0.02), so that near cases share a simulation.
    """
    spread = (1.0 + (tickers - 1.0) * correlation) / tickers
    few = min(ceil(tickers), _MOST_TICKERS)
    alike = 0.0 if few == 1 else float(np.clip((few * spread - 1.0) / (few - 1.0), 0.0, 1.0))
    chosen = (
        steps
        if len(steps) <= _MOST_STEPS
        else tuple(int(s) for s in np.unique(np.round(np.linspace(steps[0], steps[-1], _MOST_STEPS))))
    )
    digits = 10 ** max(len(str(dates)) - 2, 0)
    rounded = dates if dates < 100 else max(digits * (dates // digits), 1)
    apart = max(1, min(round(bars), max(steps)))
    null = _simulate(rounded, apart, chosen, few, round(alike / 0.02) * 0.02)
    if rounded == dates:
        return null
    shrink = np.sqrt(rounded / dates)  # a little more evidence than was simulated
    return CalibratedNull(
        1 / BINS + (null.shares - 1 / BINS) * shrink, null.moments * shrink, null.precision / shrink**2
    )


def exceeding(value: Floats, draws: Floats) -> Floats:
    """Share of sorted `draws` at or above `value`, half of those equal: a Monte Carlo p-value, never 0."""
    n = len(draws)
    above = n - 0.5 * (np.searchsorted(draws, value, "left") + np.searchsorted(draws, value, "right"))
    return np.asarray((above + 0.5) / (n + 1.0))


def two_sided(value: Floats, draws: Floats) -> Floats:
    """Twice the smaller tail probability of `value` among sorted `draws`, at most 1."""
    upper = exceeding(value, draws)
    return np.asarray(np.minimum(1.0, 2.0 * np.minimum(upper, 1.0 - upper + 0.5 / (len(draws) + 1.0))))


@lru_cache(maxsize=1024)
def _simulate(dates: int, bars: int, steps: tuple[int, ...], tickers: int, correlation: float) -> CalibratedNull:
    rng = np.random.default_rng([dates, bars, *steps, tickers, round(1000 * correlation)])
    starts = np.arange(dates) * bars
    times, where = np.unique(np.concatenate([starts, *(starts + s for s in steps)]), return_inverse=True)
    origins, *ends = where.reshape(-1, dates)  # only the moments that a forecast starts or ends at are drawn
    root = np.sqrt(np.diff(times)).astype(np.float32)
    many = max(1, _CHUNK // (len(times) * tickers))
    shares, moments = [], []
    for start in range(0, DRAWS, many):
        shape = (min(many, DRAWS - start), tickers, len(root))
        pit = _pit(_paths(rng, shape, root, correlation), steps, origins, ends)
        shares.append(_shares(pit))
        moments.append(_raw_moments(pit) - MOMENTS)
    moment = np.concatenate(moments)
    return CalibratedNull(np.concatenate(shares), moment, np.linalg.inv(moment.T @ moment / len(moment)))


def _paths(rng: np.random.Generator, shape: tuple[int, int, int], root: Floats, correlation: float) -> Floats:
    """Random walks of (draws, tickers, moments), whose steps have `root` for scale and correlate over tickers."""
    size, tickers, moves = shape
    shocks = np.float32(np.sqrt(1.0 - correlation)) * rng.standard_normal(shape, np.float32)
    if correlation > 0:
        shocks += np.float32(np.sqrt(correlation)) * rng.standard_normal((size, 1, moves), np.float32)
    path = np.zeros((size, tickers, moves + 1))
    np.cumsum(shocks * root, axis=2, out=path[..., 1:])
    return path


def _pit(path: Floats, steps: tuple[int, ...], origins: Ints, ends: Sequence[Ints]) -> Floats:
    """PIT values (draws, all others) of an ideal forecaster of these walks."""
    z = [(path[..., end] - path[..., origins]) / np.sqrt(s) for s, end in zip(steps, ends, strict=True)]
    pit: Floats = ndtr(np.stack(z, axis=1).astype(np.float32))
    return pit.reshape(len(path), -1)


def _shares(pit: Floats) -> Floats:
    """Share of the PIT values of each draw in each bin (draws, BINS)."""
    size = len(pit)
    place = np.minimum((pit * BINS).astype(np.intp), BINS - 1) + BINS * np.arange(size)[:, None]
    return np.asarray(np.bincount(place.ravel(), minlength=BINS * size).reshape(size, BINS) / pit.shape[1])


def _raw_moments(pit: Floats) -> Floats:
    """Mean raw moments 1 to 4 of the standardised PIT values of each draw (draws, 4)."""
    z = np.sqrt(12.0) * (pit - 0.5)
    square = z * z
    higher = ((square * z).mean(axis=1), (square * square).mean(axis=1))  # one at a time: each is of the size of z
    return np.stack([z.mean(axis=1), square.mean(axis=1), *higher], axis=1)
