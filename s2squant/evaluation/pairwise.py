"""Diebold-Mariano tests of all pairs of models, adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.losses import Losses, group_mean
from s2squant.evaluation.pools import Pool
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.model_confidence_set import pairwise
from s2squant.series.arrays import Floats

COLUMNS = [
    "step", "model", "against", "effect", "statistic", "p", "p_adjusted", "n", "n_eff", "smallest_detectable",
    "finding", "reason",
]  # fmt: skip


def pairs_by_step(losses: Losses, pools: Sequence[Pool], spec: VerdictSpec) -> pd.DataFrame:
    """`pairs` over all steps, and at the first, the fifth and the last."""
    steps = losses.step_U
    wanted = {"all", *(str(step) for step in (steps.min(), 5, steps.max()))} if len(losses) else {"all"}
    mine = [pool for pool in pools if pool.family in ("all", "step") and pool.step in wanted]
    return pd.concat([pairs(losses, pool, spec) for pool in mine], ignore_index=True)


def pairs(losses: Losses, pool: Pool, spec: VerdictSpec) -> pd.DataFrame:
    """One row a pair of models, `model` the one with the lower mean loss; columns as in Evidence.

    `effect` is how much less it lost, as a share of the reference's mean loss of the ticker, averaged by date: effects
    of different pairs compare. `p_adjusted` is that of the largest |t| of all pairs (single step); a pair differs where
    it is at most `spec.alpha`, and the smallest detectable effect is stated for that test.
    """
    by_date = relative_losses(losses, pool, spec.reference)
    tests = pairwise(by_date, pool.overlap)
    mean, n = by_date.mean(axis=0), len(by_date)
    nu = dm.degrees(max(n, 1), pool.overlap)
    margin = dm.power_margin(nu, spec.alpha)
    rows = []
    for i, j in combinations(range(len(losses.models)), 2):
        better, worse = (i, j) if mean[i] <= mean[j] else (j, i)
        effect, t = float(mean[worse] - mean[better]), float(tests.t[worse, better])
        p = float(dm.p_value(np.array(t), np.array(float(nu))))
        adjusted = max(p, float(tests.p_adjusted[worse, better]))
        se = effect / t if t else 0.0
        word = "differ" if adjusted <= spec.alpha else "no evidence"
        values = (
            pool.step, losses.models[better], losses.models[worse], effect, t, p, adjusted, n, pool.n_eff,
            (tests.critical + margin) * se, "not tested" if tests.reason else word, tests.reason,
        )  # fmt: skip
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)


def relative_losses(losses: Losses, pool: Pool, reference: str) -> Floats:
    """Losses by date of the pool and model (T, K), in units of the reference's mean loss of the ticker."""
    ticker = losses.ticker_U[pool.units]
    scale = group_mean(losses.of(reference)[pool.units], ticker, len(losses.tickers))[ticker]
    table = losses.crps_UK[pool.units] / np.where(scale > 0, scale, np.nan)[:, None]
    return np.stack([group_mean(np.nan_to_num(c), pool.date_of, pool.dates) for c in table.T], axis=1)
