"""Covariates as numbers without a unit: variances as logarithms, all centred and scaled by a model's training rows.

Shape legend: N rows, K columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s2squant.series.arrays import Floats
from s2squant.series.covariates import Covariate, PanelCovariates

BOUND = 5.0
"""Farthest that a scaled value is from zero, in standard deviations."""
FEWEST_VALUES = 60
"""Below so many known values a column has no centre and scale of its own."""
STILLEST_VARIANCE = 1e-12


class Scale(NamedTuple):
    """Centre and standard deviation of columns; NaN for one with too few values."""

    centre_K: Floats
    scale_K: Floats

    @classmethod
    def of(cls, values_NK: Floats) -> Scale:
        """The scale of the known values; a column that does not move is left at its centre, zero."""
        known_K = np.isfinite(values_NK).sum(axis=0)
        enough = known_K >= FEWEST_VALUES
        centre_K, scale_K = np.full(len(known_K), np.nan), np.full(len(known_K), np.nan)
        centre_K[enough] = np.nanmean(values_NK[:, enough], axis=0)
        scale_K[enough] = np.nanstd(values_NK[:, enough], axis=0)
        return cls(centre_K, np.where(scale_K > 1e-9 * np.abs(centre_K), scale_K, np.where(enough, np.inf, np.nan)))

    def applied(self, values_NK: Floats) -> Floats:
        """Scaled values within BOUND of zero; NaN where a value is not known, or nothing is known of its column."""
        return np.clip((values_NK - self.centre_K) / self.scale_K, -BOUND, BOUND)


def past_numbers(covariates: PanelCovariates, sd_R: Floats) -> Floats:
    """Past covariates (R, P), variances as the log of their root over `sd_R`, the deviation of the next log return."""
    return _logs(covariates.past, covariates.past_RP, np.log(sd_R)[:, None])


def ahead_numbers(columns: Sequence[Covariate], values: Floats) -> Floats:
    """Future-known covariates (..., F), variances as the log of their root."""
    return _logs(columns, values, np.zeros(1))


def _logs(columns: Sequence[Covariate], values: Floats, less: Floats) -> Floats:
    variance = np.array([column.variance for column in columns], bool)
    logs = 0.5 * np.log(np.maximum(np.where(variance, values, 1.0), STILLEST_VARIANCE)) - less
    return np.where(variance, logs, values)
