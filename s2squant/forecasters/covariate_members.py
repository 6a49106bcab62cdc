"""Members of the anchor's bank made of variance covariates, at the level of the ticker's own variance.

A covariate such as VIX says how variance moves, not how large it is for a ticker: the ratio of the two is learnt from
their slow averages, causally. A past one is a member for every step; a future-known one has its mean over the steps.

Shape legend: R rows, N origins, H steps, P past and F future-known variances, J = P + F.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2squant.forecasters.features import SLOW, VARIANCE_FLOOR, ewma
from s2squant.series.arrays import Floats, Ints
from s2squant.series.covariates import PanelCovariates
from s2squant.series.panel import Panel

ENOUGH = 0.1
"""Weight of the bars with a value in the slow average before their ratio to the ticker's variance counts."""


def variance_names(panel: Panel) -> tuple[str, ...]:
    """The panel's covariates that are variances and change with time."""
    covariates = panel.covariates
    return () if covariates is None else tuple(c.name for c in (*covariates.past, *covariates.future) if c.variance)


@dataclass(frozen=True)
class CovariateMembers:
    """Daily variances in scaled units: past ones (R, P), NaN where not known, and the ratios (R, F) of future ones."""

    covariates: PanelCovariates
    past_RP: Floats
    ratio_RF: Floats

    def of(self, rows: Ints, horizon: int) -> Floats:
        """The members (N, H, J), each the mean variance of a bar over the steps up to h; NaN where one is not known."""
        past_NHP = np.broadcast_to(self.past_RP[rows][:, None], (len(rows), horizon, self.past_RP.shape[1]))
        ahead_NHF = self.ratio_RF[rows][:, None] * self.covariates.at_steps(rows, horizon)
        mean_NHF = np.cumsum(ahead_NHF, axis=1) / np.arange(1, horizon + 1)[:, None]
        return np.concatenate([past_NHP, np.maximum(mean_NHF, VARIANCE_FLOOR)], axis=2)


def covariate_members(panel: Panel, names: tuple[str, ...], bounded_R: Floats) -> CovariateMembers | None:
    """The members of the named covariates, None without names; `bounded_R` are the returns of the bank's filters.

    Raises ValueError where the panel lacks one.
    """
    if not names:
        return None
    there = variance_names(panel)
    if lacking := [name for name in names if name not in there]:
        have = ", ".join(there) or "none"
        raise ValueError(f"the anchor was fitted with the covariate {lacking[0]}; these prices have {have}")
    assert panel.covariates is not None, "it has their names"
    covariates = panel.covariates.only(names)
    assert covariates is not None, "it has them"
    seen_RJ = np.concatenate([covariates.past_RP, covariates.now_RF], axis=1)
    ratio_RJ = np.empty(seen_RJ.shape)
    for a, b in zip(panel.starts[:-1], panel.starts[1:], strict=True):
        for j in range(seen_RJ.shape[1]):
            ratio_RJ[a:b, j] = _ratio(bounded_R[a:b] ** 2, seen_RJ[a:b, j])
    past = len(covariates.past)
    past_RP = np.maximum(ratio_RJ[:, :past] * covariates.past_RP, VARIANCE_FLOOR)
    return CovariateMembers(covariates, past_RP, ratio_RJ[:, past:])


def _ratio(square_T: Floats, value_T: Floats) -> Floats:
    """Slow average of the squares over that of the covariate, both of the bars so far that have a value; else NaN."""
    known = np.isfinite(value_T)
    own, theirs = ewma(np.where(known, square_T, 0.0), SLOW), ewma(np.where(known, value_T, 0.0), SLOW)
    usable = (ewma(known.astype(float), SLOW) >= ENOUGH) & (theirs > 0)
    return np.where(usable, own / np.where(usable, theirs, 1.0), np.nan)
