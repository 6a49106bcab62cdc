"""Covariates as predictors of a regression: past ones as they are, future-known ones as means over groups of steps.

Shape legend: T returns of a ticker, K predictors, H steps ahead; P past and F future-known covariates. Entry b of a
(T + 1, ...) array is that of bar b.
"""

from __future__ import annotations

from typing import NamedTuple

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
    ends = _ends(horizon)
    groups = [slice(first, end) for first, end in zip((0, *ends), ends, strict=False)]
    means = [_mean(ahead_THF[:, group]) for group in groups] if covariates.future else []
    return np.concatenate([past_numbers(covariates, sd_R)[rows], *means], axis=1)


def owners(covariates: PanelCovariates | None, horizon: int) -> tuple[str, ...]:
    """The covariate that each of the K predictors is made of."""
    if covariates is None:
        return ()
    ahead = tuple(column.name for column in covariates.future) * len(_ends(horizon))
    return (*(column.name for column in covariates.past), *ahead)


def _ends(horizon: int) -> tuple[int, ...]:
    return (*(end for end in STEP_GROUPS if end < horizon), horizon)


def scaled_inputs(values_TK: Floats, centre_K: Floats, scale_K: Floats) -> Floats:
    """The predictors in standard deviations of the training bars; the centre where one is not known."""
    return np.nan_to_num(Scale(centre_K, scale_K).applied(values_TK), nan=0.0)


def _mean(values_TGF: Floats) -> Floats:
    """Mean over the steps of a group (T, F); NaN unless all are known."""
    return np.asarray(values_TGF.mean(axis=1))


class Regressors(NamedTuple):
    """Covariates of a model that goes step by step: K columns, the P past ones first."""

    centre_K: Floats
    scale_K: Floats
    stays_P: Floats
    """What is left of a past covariate's distance from its centre a bar later, least squares within 0 and 1."""

    @classmethod
    def of(cls, past_TP: Floats, ahead_THF: Floats, recent: slice) -> Regressors:
        """Scale and persistence over the `recent` bars."""
        scale = Scale.of(np.concatenate([past_TP, ahead_THF[:, 0]], axis=1)[recent])
        places = slice(None, past_TP.shape[1])
        z_TP = scaled_inputs(past_TP[recent], scale.centre_K[places], scale.scale_K[places])
        both_P, square_P = (z_TP[1:] * z_TP[:-1]).sum(axis=0), np.square(z_TP[:-1]).sum(axis=0)
        return cls(*scale, np.clip(both_P / np.where(square_P > 0, square_P, 1.0), 0.0, 1.0))

    def paths(self, past_NP: Floats, ahead_NHF: Floats) -> Floats:
        """Scaled values at every step (N, H, K): past ones return to their centre, future-known ones are as known."""
        left_HP = self.stays_P ** np.arange(ahead_NHF.shape[1])[:, None]
        count = past_NP.shape[1]
        past_NP = scaled_inputs(past_NP, self.centre_K[:count], self.scale_K[:count])
        ahead_NHF = scaled_inputs(ahead_NHF, self.centre_K[count:], self.scale_K[count:])
        return np.concatenate([past_NP[:, None] * left_HP, ahead_NHF], axis=2)


def weighted(values_NHK: Floats, weights_K: Floats) -> Floats:
    """Sum of weighted columns (N, H), added term by term: the same bits for any number of rows."""
    total_NH = np.zeros(values_NHK.shape[:2])
    for column, weight in enumerate(weights_K):
        total_NH += weight * values_NHK[:, :, column]
    return total_NH


def by_step(panel: Panel, ticker: str, covariates: PanelCovariates, unit: float, horizon: int) -> tuple[Floats, Floats]:
    """Past (T + 1, P) and future-known (T + 1, H, F) numbers of a ticker, variances relative to `unit`."""
    rows = panel.rows_of(ticker)
    past_RP = past_numbers(covariates, np.full(len(panel.dates), unit))
    return past_RP[rows], ahead_numbers(covariates.future, covariates.at_steps(rows, horizon))
