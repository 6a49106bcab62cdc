"""Penalised fit of a daily profile: how large returns are at each slot and weekday, and whether that is known at all.

    E|r| / level = exp(a[kind] + b[weekday] + c[kind, weekday])

Kinds are the slots of a session and, after them, the return over a night. The parts are fitted in turns by scoring
steps of a gamma regression, each shrunk by a prior whose variance has the largest evidence: a random walk along the
slots, independent values for the night, the weekdays and the cells. A part whose evidence does not beat none at all by
CLAIM is left out, so that returns without a profile get none. The mean of absolute returns is read because one large
return says little of its slot.

Sources: Andersen and Bollerslev, J. Empirical Finance 4 (1997), returns over their daily level, slot by slot; Boudt,
Croux and Laurent, J. Empirical Finance 18 (2011), robust to jumps; Kass and Raftery, JASA 90 (1995), evidence.
Shape legend: N returns, K kinds, C values of one part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

from s2squant.series.arrays import Floats, Ints

CLAIM = 3.0
"""Log evidence that a part has to gain: "strong" in Kass and Raftery's words."""
NIGHT_CLAIM = 1.0
"""That of the night, which is one value: two standard errors."""
ROUNDS = 6
LEAST_SPREAD = 0.1
"""Of sizes, as a squared coefficient of variation: a Gaussian's is .57."""
FARTHEST = 3.0
"""Largest logarithm of a profile, either way."""
LARGEST = 10.0
"""Sizes are read up to so many times their level."""
VARIANCES = np.concatenate([[0.0], np.geomspace(1e-5, 3.0, 24)])
"""Prior variances tried: of a step from slot to slot, of a value."""


def fitted_profile(size_N: Floats, kind_N: Ints, weekday_N: Ints, start_K7: Floats) -> Floats:
    """Log profile (K, 7), its level free, from sizes of returns; `start_K7` is what it is shrunk to."""
    kinds = len(start_K7)
    by_kind: Floats = np.zeros(kinds)
    by_weekday: Floats = np.zeros((2, 7))
    by_cell: Floats = np.zeros((kinds, 7))
    group_K = (np.arange(kinds) == kinds - 1).astype(int)
    cell_N, group_N = kind_N * 7 + weekday_N, group_K[kind_N] * 7 + weekday_N
    size_N = np.minimum(size_N, LARGEST)

    def log_K7() -> Floats:
        whole: Floats = start_K7 + by_kind[:, None] + by_weekday[group_K] + by_cell
        return np.clip(whole, -FARTHEST, FARTHEST)

    def ratio() -> tuple[Floats, Floats]:
        ratio_N = size_N / np.exp(log_K7().ravel()[cell_N])
        ratio_N /= ratio_N.mean()
        return ratio_N, _spread(ratio_N, kind_N, kinds)

    for _ in range(ROUNDS):
        ratio_N, spread_K = ratio()
        moved_K, variance_K = _steps(ratio_N, kind_N, kinds, spread_K)
        by_kind = _kinds(by_kind + moved_K, variance_K)
        ratio_N, spread_K = ratio()
        moved_G, variance_G = _steps(ratio_N, group_N, 14, np.repeat([spread_K[:-1].mean(), spread_K[-1]], 7))
        by_weekday = np.stack(
            [shrunk(by_weekday[g] + moved_G[7 * g : 7 * g + 7], variance_G[7 * g : 7 * g + 7]) for g in (0, 1)]
        )
        ratio_N, spread_K = ratio()
        moved_C, variance_C = _steps(ratio_N, cell_N, 7 * kinds, np.repeat(spread_K, 7))
        by_cell = shrunk(by_cell.ravel() + moved_C, variance_C).reshape(kinds, 7)
    return log_K7()


def _spread(ratio_N: Floats, kind_N: Ints, kinds: int) -> Floats:
    """Squared coefficient of variation (K,) of each kind's sizes; of all where a kind has few."""
    count_K = np.bincount(kind_N, minlength=kinds)
    mean_K, square_K = (np.bincount(kind_N, x, kinds) / np.maximum(count_K, 1) for x in (ratio_N, ratio_N**2))
    own_K = square_K / np.maximum(mean_K, 1e-9) ** 2 - 1
    return np.asarray(np.maximum(np.where(count_K >= 30, own_K, ratio_N.var()), LEAST_SPREAD))


def _steps(ratio_N: Floats, part_N: Ints, parts: int, spread_C: Floats) -> tuple[Floats, Floats]:
    """Scoring step and its variance of each value of a part; infinite where nothing was seen."""
    count_C = np.bincount(part_N, minlength=parts)
    mean_C = np.bincount(part_N, ratio_N, parts) / np.maximum(count_C, 1)
    with np.errstate(divide="ignore"):
        return np.where(count_C > 0, mean_C - 1.0, 0.0), spread_C / count_C


def _kinds(value_K: Floats, variance_K: Floats) -> Floats:
    """Effects of the slots, smooth along the session, and of the night beside their mean."""
    weight = 1 / variance_K[:-1]
    level = float((weight * value_K[:-1]).sum() / weight.sum()) if weight.any() else 0.0
    slots_K = walk(value_K[:-1] - level, variance_K[:-1])
    return np.append(slots_K, shrunk(value_K[-1:] - level, variance_K[-1:], claim=NIGHT_CLAIM))


def shrunk(value_C: Floats, variance_C: Floats, *, claim: float = CLAIM) -> Floats:
    """Posterior means of values from N(0, t): t of the largest evidence, all 0 where that gains too little."""
    seen = np.isfinite(variance_C)
    z, v = value_C[seen], variance_C[seen]

    def evidence(t: float) -> float:
        return float(-0.5 * (np.log(t + v) + z**2 / (t + v)).sum())

    t = _chosen(evidence, seen.sum() >= 1, claim)
    posterior_C = np.zeros(len(value_C))
    posterior_C[seen] = t / (t + v) * z
    return posterior_C


def walk(value_C: Floats, variance_C: Floats) -> Floats:
    """Posterior means of a random walk of mean zero, seen with noise; all 0 where its steps gain too little."""
    weight_C = 1 / variance_C
    if len(value_C) < 2 or not weight_C.any():
        return np.zeros(len(value_C))
    seen = weight_C > 0
    centred_C = value_C - (weight_C * value_C).sum() / weight_C.sum()

    def posterior(t: float) -> tuple[Floats, float]:
        walked = np.full(len(value_C), 2.0)
        walked[[0, -1]] = 1.0
        bands = np.stack([np.append(0.0, np.full(len(value_C) - 1, -1 / t)), walked / t + weight_C])
        factor = cholesky_banded(bands)
        return cho_solve_banded((factor, False), weight_C * centred_C), 2 * float(np.log(factor[1]).sum())

    def evidence(t: float) -> float:
        rest = float((weight_C * centred_C**2).sum())
        if t == 0:
            return float(-0.5 * (np.log(weight_C.sum()) - np.log(weight_C[seen]).sum() + rest))
        smooth_C, log_det = posterior(t)
        explained = float((weight_C * centred_C * smooth_C).sum())
        free = (len(value_C) - 1) * np.log(t) - np.log(weight_C[seen]).sum()
        return float(-0.5 * (log_det + free + rest - explained))

    t = _chosen(evidence, seen.sum() >= 2, CLAIM)
    return np.zeros(len(value_C)) if t == 0 else posterior(t)[0]


def _chosen(evidence: Callable[[float], float], enough: bool, claim: float) -> float:
    """The prior variance of the largest evidence; 0 unless it gains `claim`."""
    if not enough:
        return 0.0
    each = np.array([evidence(float(t)) for t in VARIANCES])
    best = int(each.argmax())
    return float(VARIANCES[best]) if each[best] - each[0] >= claim else 0.0
