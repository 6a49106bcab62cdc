"""Covariates as predictors of a regression: past ones as they are, future-known ones as means over groups of steps.

Shape legend: T returns of a ticker, K predictors, H steps ahead; P past and F future-known covariates. Entry b of a
(T + 1, ...) array is that of bar b.
"""

from __future__ import annotations

import numpy as np

from s2squant.forecasters.covariate_scale import Scale, ahead_numbers, past_numbers
from s2squant.series.arrays import Floats
from s2squant.series.covariates import PanelCovariates
from s2squant.series.panel import Panel

STEP_GROUPS = (1, 5)
"""Ends of the groups of steps whose mean is one predictor; the last group ends with the horizon."""


def names_read(panel: Panel) -> tuple[str, ...]:
    """The covariates that a regression fitted on this panel reads: a static one tells a single ticker nothing."""
    covariates = panel.covariates
    return () if covariates is None else tuple(c.name for c in (*covariates.past, *covariates.future))


def covariates_of(panel: Panel, names: tuple[str, ...], model: str) -> PanelCovariates | None:
    """The columns that a model was fitted with, None for one without; raises ValueError where the panel lacks one."""
    if not names:
        return None
    own = None if panel.covariates is None else panel.covariates.only(names)
    if own is None or own.names != names:
        there = ", ".join(panel.covariates.names) if panel.covariates is not None else "none"
        raise ValueError(f"{model} was fitted with covariates {', '.join(names)}; the prices have {there}")
    return own


def exogenous(panel: Panel, ticker: str, covariates: PanelCovariates | None, sd_T: Floats, horizon: int) -> Floats:
    """Predictors (T + 1, K) of a ticker, not yet scaled, NaN where not known; K is 0 without covariates.

    `sd_T` (T + 1,) is the standard deviation of the next log return at each bar, which variances are compared with.
    """
    rows = panel.rows_of(ticker)
    if covariates is None:
        return np.empty((len(rows), 0))
    sd_R = np.ones(len(panel.dates))
    sd_R[rows] = sd_T
    ahead_THF = ahead_numbers(covariates.future, covariates.at_steps(rows, horizon))
    ends = (*(end for end in STEP_GROUPS if end < horizon), horizon)
    groups = [slice(first, end) for first, end in zip((0, *ends), ends, strict=False)]
    means = [_mean(ahead_THF[:, group]) for group in groups] if covariates.future else []
    return np.concatenate([past_numbers(covariates, sd_R)[rows], *means], axis=1)


def scaled_inputs(values_TK: Floats, centre_K: Floats, scale_K: Floats) -> Floats:
    """The predictors in standard deviations of the training bars; the centre where one is not known."""
    return np.nan_to_num(Scale(centre_K, scale_K).applied(values_TK), nan=0.0)


def _mean(values_TGF: Floats) -> Floats:
    """Mean over the steps of a group (T, F); NaN unless all are known."""
    return np.asarray(values_TGF.mean(axis=1))
