"""Many tests at once: the false discovery rate under positive and under any dependence."""

from __future__ import annotations

import numpy as np
from scipy.stats import false_discovery_control

from s2squant.records import Floats


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p within one family (Benjamini and Hochberg 1995); a NaN counts as 1, harmless to the others."""
    return np.asarray(false_discovery_control(np.nan_to_num(p, nan=1.0))) if len(p) else p


def benjamini_yekutieli(p: Floats) -> Floats:
    """The same under any dependence (Benjamini and Yekutieli 2001): larger by the sum of 1 / i."""
    return np.asarray(false_discovery_control(np.nan_to_num(p, nan=1.0), method="by")) if len(p) else p
