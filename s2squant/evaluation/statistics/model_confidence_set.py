"""Tests of many models by the largest t: confidence set, all pairs, superior predictive ability.

The long-run covariance of the losses comes from equal-weighted cosines, and so do all variances below a t; under the
null the date average and the cosines are then independent normal vectors with that one covariance, whatever the
overlap, and the largest t is drawn directly. A block bootstrap of as many overlapping cutoffs as a backtest has keeps
its level less well: arch's MCS rejects 10 to 36 % of equal models at nominal 5 % and 250 cutoffs (docs/statistics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from s2squant.evaluation.statistics.diebold_mariano import cosine_table, degrees
from s2squant.series.arrays import Floats, Ints

DRAWS = 1999
FEWEST = 5
"""Fewer cosines are not tested: the covariance of the models is then known too badly to keep the level."""


@dataclass(frozen=True)
class ConfidenceSet:
    """Model confidence set of K models."""

    p: Floats
    """(K,) a model stays in the set at every level below its p; the last one standing has 1."""
    twin_of: Ints
    """(K,) the first model with exactly the same losses, itself where there is none."""
    reason: str
    """Why there is no set; empty when there is one."""


@dataclass(frozen=True)
class Pairwise:
    """Every difference of K models, row minus column."""

    t: Floats
    """(K, K) EWC t of the mean loss of the row less that of the column."""
    p_adjusted: Floats
    """(K, K) chance that the largest |t| of all pairs is as large, were all models equal."""
    critical: float
    """Critical value of the largest |t| at 5 %."""
    reason: str
    """Why there is none; empty when there is one."""


@dataclass(frozen=True)
class AnyBetter:
    """Test for superior predictive ability over the reference."""

    statistic: float
    best: int
    """The rival with the largest t; -1 when there is none."""
    p: float
    critical: float
    """Critical value of the largest t at 5 %."""
    reason: str


def confidence_set(losses_TK: Floats, overlap: int) -> ConfidenceSet:
    """Model Confidence Set of Hansen, Lunde and Nason 2011 (range statistic), losses by date and model.

    Equal columns count once. No set, with the reason, where a loss is not finite or dates are too few.
    """
    models = losses_TK.shape[1]
    twin_of = _twins(losses_TK)
    reason = _unfit(losses_TK, overlap)
    if reason:
        return ConfidenceSet(np.full(models, np.nan), twin_of, reason)
    single = np.flatnonzero(twin_of == np.arange(models))
    t, drawn = _pairwise(losses_TK[:, single], overlap)
    p = np.ones(len(single))
    inside, running = np.ones(len(single), bool), 0.0
    while inside.sum() > 1:
        left = np.flatnonzero(inside)
        among = t[np.ix_(left, left)]
        worst = left[int(np.argmax(among.max(axis=1)))]
        largest = drawn[:, left][:, :, left].max(axis=(1, 2))
        running = max(running, _p(float(among.max()), largest))
        p[worst], inside[worst] = running, False
    return ConfidenceSet(p[np.searchsorted(single, twin_of)], twin_of, "")


def pairwise(losses_TK: Floats, overlap: int) -> Pairwise:
    """Compare every model with every other, with p-values that hold for all pairs together (single-step max-|t|).

    Losses by date and model. A pair without any difference has t 0 and p 1.
    """
    models = losses_TK.shape[1]
    reason = _unfit(losses_TK, overlap)
    if reason:
        return Pairwise(np.full((models, models), np.nan), np.ones((models, models)), np.nan, reason)
    single = np.flatnonzero(_twins(losses_TK) == np.arange(models))
    t, drawn = _pairwise(losses_TK[:, single], overlap)
    where = np.searchsorted(single, _twins(losses_TK))
    t = t[np.ix_(where, where)]
    if len(single) < 2:
        return Pairwise(t, np.ones((models, models)), np.nan, "")
    largest = np.sort(drawn.max(axis=(1, 2)))
    reached = len(largest) - np.searchsorted(largest, np.abs(t), "left")
    p = np.where(t == 0, 1.0, (reached + 1.0) / (len(largest) + 1.0))
    return Pairwise(t, np.asarray(p), float(np.quantile(largest, 0.95)), "")


def any_better(gains_TK: Floats, overlap: int) -> AnyBetter:
    """Test for superior predictive ability, Hansen 2005: does any column of gains over the reference have a mean > 0?

    Columns without any spread equal the reference and are left out. Rivals worse than by sqrt(2 log log n) standard
    errors do not count against the others.
    """
    reason = _unfit(gains_TK, overlap)
    live = np.flatnonzero(np.ptp(gains_TK, axis=0) > 0) if not reason else np.empty(0, np.intp)
    if not len(live):
        return AnyBetter(np.nan, -1, 1.0, np.nan, reason or "no rival differs from the reference")
    n = len(gains_TK)
    mean, cosines = _transform(gains_TK[:, live], overlap)
    se = np.sqrt(np.square(cosines).mean(axis=0) / n)
    t = mean / se
    average, spread = _normal_draws(cosines)
    hopeless = np.where(t <= -np.sqrt(2.0 * np.log(np.log(n))), t, 0.0)
    largest = (average / np.sqrt(np.einsum("rkk->rk", spread)) + hopeless).max(axis=1)
    best = int(np.argmax(t))
    return AnyBetter(
        float(t[best]), int(live[best]), _p(float(t[best]), largest), float(np.quantile(largest, 0.95)), ""
    )


def _unfit(values_TK: Floats, overlap: int) -> str:
    n = len(values_TK)
    if degrees(max(n, 1), overlap) < FEWEST:
        return f"{n} cutoffs, at least {cutoffs_needed(overlap)} needed"
    return "" if np.isfinite(values_TK).all() else "a loss is not finite"


def cutoffs_needed(overlap: int) -> int:
    """The fewest cutoffs that are tested."""
    n = 2 * FEWEST * overlap
    while degrees(n, overlap) < FEWEST:
        n += 1
    return n


def _transform(values_TK: Floats, overlap: int) -> tuple[Floats, Floats]:
    n = len(values_TK)
    return values_TK.mean(axis=0), cosine_table(n, degrees(n, overlap)).T @ values_TK


def _pairwise(losses_TK: Floats, overlap: int) -> tuple[Floats, Floats]:
    """The t of every difference (K, K), row minus column, and draws of them under equal accuracy (DRAWS, K, K)."""
    mean, cosines = _transform(losses_TK, overlap)
    average, spread = _normal_draws(cosines)
    return _t(mean[None], (cosines.T @ cosines)[None] / len(cosines), len(losses_TK))[0], _t(average, spread, 1)


def _t(average: Floats, spread: Floats, n: int) -> Floats:
    diagonal = np.einsum("rkk->rk", spread)
    variance = diagonal[:, :, None] + diagonal[:, None, :] - 2.0 * spread
    difference = average[:, :, None] - average[:, None, :]
    safe = variance > 1e-12 * diagonal.max(axis=1)[:, None, None]
    return np.asarray(np.divide(difference, np.sqrt(variance / n), out=np.zeros_like(difference), where=safe))


def _normal_draws(cosines_JK: Floats) -> tuple[Floats, Floats]:
    """Draws of a mean (R, K) and of a covariance estimate (R, K, K), both from the covariance of the cosines."""
    nu, models = cosines_JK.shape
    values, vectors = np.linalg.eigh(cosines_JK.T @ cosines_JK / nu)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    normal, wishart = _standard_draws(nu, models)
    return normal @ root, root @ wishart @ root


@lru_cache(maxsize=64)
def _standard_draws(nu: int, models: int) -> tuple[Floats, Floats]:
    """Standard normal vectors (R, K), and mean outer products of `nu` others (R, K, K)."""
    rng = np.random.default_rng([nu, models])
    others = rng.standard_normal((DRAWS, nu, models))
    return rng.standard_normal((DRAWS, models)), np.asarray(others.swapaxes(1, 2) @ others / nu)


def _twins(losses_TK: Floats) -> Ints:
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(column.tobytes(), k) for k, column in enumerate(losses_TK.T)], np.intp)


def _p(value: float, draws: Floats) -> float:
    return float(((draws >= value).sum() + 1.0) / (len(draws) + 1.0))
