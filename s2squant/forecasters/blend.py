"""The blend: an average of quantiles whose weights are learnt from matured CRPS, market by market.

    w_k proportional to p_k exp(-rate R_k),   R_k = sum of (slope of the blend's pinball loss) x (member k's quantile)

Each member begins with the weight p_k that its kind has, and gains by what more of it would have done for the blend:
the slope asks that of the average, not of the member alone, so that one which errs at other times is kept. R_k is a
mean over tickers, steps and levels, relative to the blend's own loss. Cutoffs closer than a horizon tell the same story
and count as one between them. A network has no weight before `patience` horizons have matured.

Exponentially weighted averaging with the gradient trick (Cesa-Bianchi and Lugosi 2006, section 2.5), for the CRPS
(Berrisch and Ziel, J. Econometrics 237 (2023), CRPS learning). Only matured outcomes are read: those of cutoffs whose
last step had its date by then.

Shape legend: K members, N units, C cutoffs, Q levels, T tail levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.models import BlendSpec, Forecasters
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS
from s2squant.series.long_table import FREE_RUNNING, KEYS
from s2squant.series.tails import tail_columns

WEIGHT_COLUMNS = ["market", "cutoff", "member", "matured", "gain", "weight"]

BLOCK = 100_000
"""Units whose quantiles are held at once, at least one cutoff's."""


def blend(forecasts: pd.DataFrame, spec: BlendSpec, markets: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average the members (Vincent averaging of quantiles); returns the blend's rows and the members' weights.

    `forecasts` is the long table of the anchor and all members, with its outcomes `y` (NaN where unknown), `markets`
    the market of each ticker. The weights' `gain` is what more of a member would have gained so far, as a share of the
    blend's loss over one horizon. Raises ValueError where members forecast different units.
    """
    names = ("anchor", *spec.members)
    models = forecasts["model"].to_numpy()
    codes_KN = [pd.factorize(forecasts[name], sort=True)[0] for name in KEYS]
    parts: list[Ints] = []
    for model in names:
        chosen = np.flatnonzero(models == model)
        parts.append(chosen[np.lexsort([codes_N[chosen] for codes_N in reversed(codes_KN)])])
        if not all(np.array_equal(codes_N[parts[-1]], codes_N[parts[0]]) for codes_N in codes_KN):
            raise ValueError(f"{model} and the anchor forecast different units; they cannot be averaged")
    base = forecasts.iloc[parts[0]]
    market = base["unique_id"].map(markets).to_numpy()
    outer = tail_columns(forecasts)
    quantiles = np.empty((len(base), len(LEVELS)), np.float32)
    tails = np.empty((len(base), len(outer)), np.float32)
    mean, told = np.empty(len(base), np.float32), list[pd.DataFrame]()
    for name in sorted(set(market)):
        units = np.flatnonzero(market == name)
        told.append(
            _one_market(forecasts, [part[units] for part in parts], names, spec, (quantiles, tails, mean), units)
        )
        told[-1].insert(0, "market", name)
    blended = base.assign(model="blend", mean=mean)
    blended[[*QUANTILE_COLUMNS, *outer]] = np.concatenate([quantiles, tails], axis=1)
    if FREE_RUNNING in forecasts:
        free = forecasts[FREE_RUNNING].eq(True).to_numpy()
        blended[FREE_RUNNING] = np.any([free[part] for part in parts], axis=0)
    weights = pd.concat(told, ignore_index=True) if told else pd.DataFrame(columns=WEIGHT_COLUMNS)
    return blended.reset_index(drop=True), weights


def with_blend(
    forecasts: pd.DataFrame, models: Forecasters, markets: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table with the blend's rows after the others, if it is one of the models, and the members' weights."""
    if "blend" not in models.models:
        return forecasts, pd.DataFrame(columns=WEIGHT_COLUMNS)
    rows, weights = blend(forecasts, models.blending, markets)
    return pd.concat([forecasts, rows], ignore_index=True), weights


def _one_market(
    forecasts: pd.DataFrame,
    parts: list[Ints],
    names: tuple[str, ...],
    spec: BlendSpec,
    filled: tuple[Floats, Floats, Floats],
    units: Ints,
) -> pd.DataFrame:
    """Fill in quantiles, tails and means of the blend of one market's `units`, and return its weights."""
    quantiles, tails, mean = filled
    base = forecasts.iloc[parts[0]][["cutoff", "ds", "y"]]
    cutoffs, cutoff_of = np.unique(base["cutoff"].to_numpy(), return_inverse=True)
    due = base["ds"].groupby(cutoff_of).max().to_numpy()
    prior_K = np.array([spec.prior(name) for name in names])
    waiting_K = np.array([spec.waits(name) for name in names])
    lost_C, slope_CK = np.full(len(cutoffs), np.nan), np.full((len(cutoffs), len(names)), np.nan)
    rows: list[tuple[object, ...]] = []
    for c, at, y, said_KNQ, tails_KNT, mean_KN in _by_cutoff(
        forecasts, parts, base["y"].to_numpy(np.float64), cutoff_of
    ):
        known = np.flatnonzero((due[:c] <= cutoffs[c]) & np.isfinite(lost_C[:c]))
        horizon = _cutoffs_a_horizon(cutoffs[: c + 1], due, known)
        gain_K = _gain(lost_C[known], slope_CK[known]) / horizon
        weight_K = prior_K * np.exp(spec.rate * (gain_K - gain_K.max()))
        if len(known) < spec.patience * horizon and not waiting_K.all():
            weight_K[waiting_K] = 0.0
        weight_K /= weight_K.sum()
        blend_NQ = np.tensordot(weight_K, said_KNQ, axes=1)
        quantiles[units[at]], mean[units[at]] = blend_NQ, weight_K @ mean_KN
        tails[units[at]] = _outside(np.tensordot(weight_K, tails_KNT, axes=1), blend_NQ)
        lost_C[c], slope_CK[c] = _lesson(y, blend_NQ, said_KNQ)
        rows += [(cutoffs[c], name, len(known), gain_K[k], weight_K[k]) for k, name in enumerate(names)]
    return pd.DataFrame(rows, columns=WEIGHT_COLUMNS[1:])


def _by_cutoff(
    forecasts: pd.DataFrame, parts: list[Ints], y: Floats, cutoff_of: Ints
) -> Iterator[tuple[int, Ints, Floats, Floats, Floats, Floats]]:
    """Yield cutoff after cutoff: its number, its units, y (N,); quantiles (K, N, Q), tails and means of the members."""
    order = np.argsort(cutoff_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(cutoff_of))])
    columns, outer = list(QUANTILE_COLUMNS), tail_columns(forecasts)
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + BLOCK, side="right")) - 1)
        held = order[starts[first] : starts[last]]
        rows = [forecasts.iloc[part[held]] for part in parts]
        said_KNQ = np.stack([part[columns].to_numpy(np.float64) for part in rows])
        tails_KNT = np.stack([part[outer].to_numpy(np.float64) for part in rows])
        mean_KN = np.stack([part["mean"].to_numpy(np.float64) for part in rows])
        for c, (start, end) in enumerate(pairwise(starts[first : last + 1] - starts[first]), start=first):
            at = held[start:end]
            yield c, at, y[at], said_KNQ[:, start:end], tails_KNT[:, start:end], mean_KN[:, start:end]
        first = last


def _outside(tails_NT: Floats, blend_NQ: Floats) -> Floats:
    """Tails that do not end inside the even grid for a rounding."""
    half = tails_NT.shape[1] // 2
    low, high = np.minimum(tails_NT[:, :half], blend_NQ[:, :1]), np.maximum(tails_NT[:, half:], blend_NQ[:, -1:])
    return np.concatenate([low, high], axis=1)


def _cutoffs_a_horizon(cutoffs: NDArray[np.datetime64], due: NDArray[np.datetime64], known: Ints) -> float:
    """How many cutoffs fall into one horizon, the median over those that have matured; at least 1."""
    if len(known) == 0:
        return 1.0
    return max(1.0, float(np.median(np.searchsorted(cutoffs, due[known]) - known)))


def _lesson(y: Floats, blend_NQ: Floats, said_KNQ: Floats) -> tuple[float, Floats]:
    """Mean pinball loss of the blend at one cutoff, and the slope of it along each member (K,), both in band widths.

    A unit counts in widths of the first member's 95 % band, so that a wide ticker does not outvote a narrow one; NaN
    where no outcome is known.
    """
    known = np.flatnonzero(np.isfinite(y))
    if len(known) == 0:
        return np.nan, np.full(len(said_KNQ), np.nan)
    said_KNQ, blend_NQ = said_KNQ[:, known], blend_NQ[known]
    width_N = np.maximum(said_KNQ[0, :, -1] - said_KNQ[0, :, 0], np.finfo(np.float64).tiny)
    miss_NQ = (y[known, None] - blend_NQ) / width_N[:, None]
    slope_NQ = ((miss_NQ < 0) - LEVELS) / width_N[:, None]
    lost = float(np.maximum(LEVELS * miss_NQ, (LEVELS - 1.0) * miss_NQ).mean())
    return lost, np.einsum("nq,knq->k", slope_NQ, said_KNQ - blend_NQ) / slope_NQ.size


def _gain(lost_C: Floats, slope_CK: Floats) -> Floats:
    """What more of each member would have gained over the matured cutoffs (K,), in mean losses of the blend."""
    if len(lost_C) == 0:
        return np.zeros(slope_CK.shape[1])
    scale = float(lost_C.mean())
    return -slope_CK.sum(axis=0) / scale if scale > 0 else np.zeros(slope_CK.shape[1])
