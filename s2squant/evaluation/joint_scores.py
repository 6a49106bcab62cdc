"""Energy and variogram scores of joint paths over tickers and steps, and their comparison with other dependence.

Shape legend: D components (tickers times steps), S paths, P pairs of components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from s2squant.evaluation.energy import energy_score
from s2squant.evaluation.statistics.diebold_mariano import examine
from s2squant.series.arrays import Floats, Ints

OWN, INDEPENDENT, RIVAL = "joint", "independent", "gjr_fhs"
"""The recommended model's joint paths; the same marginals with nothing in common; GJR-FHS on common dates."""
SCORES: tuple[str, ...] = ("energy", "variogram")
POOL = "all"
MOST_PAIRS = 1000
POWER = 0.5
COLUMNS: tuple[str, ...] = (
    "pool", "score", "against", "tickers", "own", "other", "effect", "low", "high", "p", "n", "n_eff", "finding",
    "reason",
)  # fmt: skip


def pairs_of(components: int, seed: int) -> tuple[Ints, Ints]:
    """All pairs of components, or MOST_PAIRS of them drawn."""
    first, second = np.triu_indices(components, 1)
    if len(first) <= MOST_PAIRS:
        return first, second
    some = np.sort(np.random.default_rng(seed).choice(len(first), MOST_PAIRS, replace=False))
    return first[some], second[some]


def variogram_score(paths_DS: Floats, y_D: Floats, pairs: tuple[Ints, Ints]) -> float:
    """Mean over pairs of (|y_i - y_j|^p - E|X_i - X_j|^p)^2 with p = 1/2; lower is better.

    Scheuerer and Hamill, Monthly Weather Review 143 (2015), equation 9, with equal weights.
    """
    first, second = pairs
    said_P = (np.abs(paths_DS[first] - paths_DS[second]) ** POWER).mean(axis=1)
    return float(np.square(np.abs(y_D[first] - y_D[second]) ** POWER - said_P).mean())


def scored(paths_DS: Floats, y_D: Floats, pairs: tuple[Ints, Ints]) -> dict[str, float]:
    """Both scores of one origin's paths, components in units of their own size."""
    energy = energy_score(paths_DS.T[None], y_D[None], np.ones(len(y_D)))
    return {"energy": float(energy[0]), "variogram": variogram_score(paths_DS, y_D, pairs)}


def joint_table(records: Sequence[Mapping[str, Any]], *, every: int, horizon: int) -> pd.DataFrame:
    """The table `joint` of Study: own paths against the others by pool and score; positive where own ones are better.

    `records` hold pool, tickers, cutoff, candidate, energy and variogram. Differences are in units of the other's mean
    score, averaged over pools by date, and tested as everywhere (EWC, Student t).
    """
    if not records:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.DataFrame(list(records))
    overlap, rows = ceil(horizon / every), []
    several = table["pool"].nunique() > 1
    for score in SCORES:
        wide = table.pivot_table(index=["pool", "cutoff"], columns="candidate", values=score)
        tickers = table.groupby("pool")["tickers"].max()
        for other in (INDEPENDENT, RIVAL):
            if other not in wide.columns:
                continue
            both = wide[[OWN, other]].dropna()
            unit = both.groupby("pool")[other].transform("mean")
            gain = (both[other] - both[OWN]) / unit
            for pool in ([POOL] if several else []) + list(dict.fromkeys(both.index.get_level_values("pool"))):
                mine = both if pool == POOL else both.loc[[pool]]
                series = (gain if pool == POOL else gain.loc[[pool]]).groupby("cutoff").mean()
                test = examine(series.to_numpy(np.float64), overlap)
                word = "no evidence" if test.reason or test.low <= 0 <= test.high else "worse"
                rows.append(
                    {
                        "pool": pool,
                        "score": score,
                        "against": other,
                        "tickers": int(tickers.sum() if pool == POOL else tickers[pool]),
                        "own": float(mine[OWN].mean()),
                        "other": float(mine[other].mean()),
                        "effect": test.mean,
                        "low": test.low,
                        "high": test.high,
                        "p": np.nan if test.reason else test.p,
                        "n": test.n,
                        "n_eff": test.n * min(1.0, every / horizon),
                        "finding": "not tested" if test.reason else "better" if test.low > 0 else word,
                        "reason": test.reason,
                    }
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))
