"""Exceedance tests one step ahead: Kupiec, Christoffersen and the dynamic quantile test.

One step ahead no two labels overlap and the misses of a right forecast are coin tosses, so nothing need be assumed:
Kupiec's p is summed over the binomial law, the others are ranks among tosses of the same length. The chi-square laws
of the textbooks are not used; with a dozen misses they are off by a factor of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import binom

from s2squant.evaluation.diagnostics import Readings
from s2squant.evaluation.losses import INTERVALS, Losses
from s2squant.evaluation.statistics.false_discovery import benjamini_hochberg
from s2squant.evaluation.statistics.ideal_forecaster import exceeding
from s2squant.series.arrays import Floats

FEWEST = 50
"""Fewer cutoffs are not tested."""
DRAWS = 1999
LAGS = 4
TAIL = 0.05
DETECTABLE = 2.8
ALPHA = 0.05

Hits = NDArray[np.bool_]


class MissTests(NamedTuple):
    """p-values of S series of misses, each (S,)."""

    kupiec: Floats
    independence: Floats
    joint: Floats
    dynamic: Floats


def miss_tests(missed_ST: Hits, rate: float, spread_ST: Floats) -> MissTests:
    """Test S series of T misses against independent tosses of probability `rate`.

    Kupiec 1995 (how many), Christoffersen 1998 (`independence` of the miss before, and `joint` of both), Engle and
    Manganelli 2004 (`dynamic`: foretold by four lags and by the forecast's own width, `spread_ST`).
    """
    n = missed_ST.shape[1]
    table, draws = _null(n, rate)
    independence, joint = markov_ratios(missed_ST, rate)
    return MissTests(
        table[missed_ST.sum(axis=1)],
        exceeding(independence, draws[0]),
        exceeding(joint, draws[1]),
        exceeding(dynamic_quantile(missed_ST, rate, spread_ST), draws[2]),
    )


def likelihood_ratio(misses: NDArray[np.integer], n: int, rate: float) -> Floats:
    """Kupiec's likelihood ratio of `misses` among `n`."""
    share = misses / n
    fitted = xlogy(misses, share) + xlogy(n - misses, 1.0 - share)
    return np.asarray(2.0 * (fitted - xlogy(misses, rate) - xlogy(n - misses, 1.0 - rate)))


def markov_ratios(missed_ST: Hits, rate: float) -> tuple[Floats, Floats]:
    """Christoffersen's likelihood ratios: of independence, and of independence with the promised rate, each (S,)."""
    before, now = missed_ST[:, :-1], missed_ST[:, 1:]
    stays = {(a, b): ((before == bool(a)) & (now == bool(b))).sum(axis=1).astype(float) for a in (0, 1) for b in (0, 1)}

    def fitted(none: Floats, some: Floats) -> Floats:
        share = np.divide(some, none + some, out=np.zeros_like(some), where=none + some > 0)
        return np.asarray(xlogy(none, 1.0 - share) + xlogy(some, share))

    chain = fitted(stays[0, 0], stays[0, 1]) + fitted(stays[1, 0], stays[1, 1])
    some, none = stays[0, 1] + stays[1, 1], stays[0, 0] + stays[1, 0]
    promised = xlogy(none, 1.0 - rate) + xlogy(some, rate)
    return np.asarray(2.0 * (chain - fitted(none, some))), np.asarray(2.0 * (chain - promised))


def dynamic_quantile(missed_ST: Hits, rate: float, spread_ST: Floats) -> Floats:
    """The DQ statistic (S,): how much of miss - rate its lags and the forecast's width explain."""
    excess = missed_ST - rate
    n = excess.shape[1]
    lags = [excess[:, LAGS - k : n - k] for k in range(1, LAGS + 1)]
    width = spread_ST[:, LAGS:]
    deviation = width.std(axis=1, keepdims=True)
    width = np.divide(
        width - width.mean(axis=1, keepdims=True), deviation, out=np.zeros_like(width), where=deviation > 0
    )
    design = np.stack([np.ones_like(width), *lags, width], axis=2)
    moments = np.einsum("stq,st->sq", design, excess[:, LAGS:])
    inverse = np.linalg.pinv(np.einsum("stq,stp->sqp", design, design), hermitian=True)
    return np.asarray(np.einsum("sq,sqp,sp->s", moments, inverse, moments) / (rate * (1.0 - rate)))


def exceedances(losses: Losses, readings: Readings) -> pd.DataFrame:
    """The tests of every model and ticker at step 1, of three kinds of miss; columns as in Evidence."""
    rows: list[dict[str, Any]] = []
    first_step = np.flatnonzero(losses.step_U == 1)
    bounds = np.searchsorted(losses.ticker_U[first_step], np.arange(len(losses.tickers) + 1))
    for m, ticker in enumerate(losses.tickers):
        units = first_step[bounds[m] : bounds[m + 1]]
        if not len(units):
            continue
        widths = readings.width_UKB[units].astype(np.float64)
        kinds = [
            (f"outside {percent} %", 1 - percent / 100, ~losses.covered_UKB[units, :, b].T, widths[:, :, b].T)
            for b, percent in enumerate(INTERVALS)
            if percent != 50
        ]
        kinds.append(("below 5 %", TAIL, readings.pit_UK[units].T < TAIL, widths[:, :, -1].T))
        for kind, rate, missed, width in kinds:
            rows += _rows(losses.models, ticker, kind, rate, missed, width)
    order = {m: k for k, m in enumerate(losses.models)}
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    table = _with_findings(pd.DataFrame(rows))[list(COLUMNS)]
    return table.sort_values("model", key=lambda c: c.map(order), kind="stable", ignore_index=True)


P_VALUES = ("kupiec_p", "independence_p", "joint_p", "dq_p")
"""The columns of MissTests."""
COLUMNS = (
    "model", "unique_id", "kind", "expected", "missed", *P_VALUES, "p_adjusted", "n", "n_eff", "smallest_detectable",
    "finding", "reason",
)  # fmt: skip


def _rows(
    models: tuple[str, ...], ticker: str, kind: str, rate: float, missed_KT: Hits, spread_KT: Floats
) -> Iterator[dict[str, Any]]:
    n = missed_KT.shape[1]
    if n >= FEWEST:
        tests, reason = miss_tests(missed_KT, rate, spread_KT), ""
    else:
        nothing = np.full(len(models), np.nan)
        tests, reason = MissTests(nothing, nothing, nothing, nothing), f"{n} cutoffs, at least {FEWEST} needed"
    detectable = DETECTABLE * np.sqrt(rate * (1 - rate) / n)
    head = {"unique_id": ticker, "kind": kind, "expected": rate}
    tail = {"n": n, "n_eff": float(n), "smallest_detectable": detectable, "reason": reason}
    for model, missed, *p in zip(models, missed_KT.mean(axis=1), *tests, strict=True):
        yield {"model": model, "missed": missed, **dict(zip(P_VALUES, p, strict=True)), **head, **tail}


def _with_findings(table: pd.DataFrame) -> pd.DataFrame:
    """`p_adjusted`, Benjamini-Hochberg over a model's tickers and kinds of miss, and `finding`, the fault in words.

    What is adjusted is twice the smaller of the joint and the DQ p (Bonferroni): between them they look at the share,
    at clusters and at the width.
    """
    tested = table["reason"] == ""
    both = (2.0 * table[["joint_p", "dq_p"]].min(axis=1)).clip(upper=1.0)
    table["p_adjusted"] = np.nan
    for _, p in both[tested].groupby(table["model"], sort=False):
        table.loc[p.index, "p_adjusted"] = benjamini_hochberg(p.to_numpy(float))
    significant, share = table["p_adjusted"] < ALPHA, table["kupiec_p"] < ALPHA
    more = table["missed"] > table["expected"]
    words = ["not tested", "no evidence", "too many", "too few"]
    table["finding"] = np.select([~tested, ~significant, share & more, share], words, "not at random")
    return table


@lru_cache(maxsize=256)
def _null(n: int, rate: float) -> tuple[Floats, tuple[Floats, Floats, Floats]]:
    """Kupiec's p for 0 .. n misses, and sorted draws of the other three statistics."""
    counts = np.arange(n + 1)
    ratio, weight = np.round(likelihood_ratio(counts, n, rate), 9), binom.pmf(counts, n, rate)
    order = np.argsort(ratio)
    above = np.r_[np.cumsum(weight[order][::-1])[::-1], 0.0]
    first = np.searchsorted(ratio[order], ratio, "left")
    last = np.searchsorted(ratio[order], ratio, "right")
    table = np.minimum(1.0, 0.5 * (above[first] + above[last]))

    rng = np.random.default_rng([n, round(1000 * rate)])
    tosses = rng.random((DRAWS, n)) < rate
    steps = rng.standard_normal((DRAWS, n))
    spread = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, n + 1))  # persistent, as a width is
    independence, joint = markov_ratios(tosses, rate)
    return table, (np.sort(independence), np.sort(joint), np.sort(dynamic_quantile(tosses, rate, spread)))
