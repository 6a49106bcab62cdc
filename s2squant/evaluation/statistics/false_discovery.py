"""Many tests at once: the false discovery rate under positive and under any dependence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from s2squant.config.experiment import VerdictSpec
from s2squant.series.arrays import Floats


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p within one family (Benjamini and Hochberg 1995); a NaN counts as 1, harmless to the others."""
    return np.asarray(false_discovery_control(np.nan_to_num(p, nan=1.0))) if len(p) else p


def benjamini_yekutieli(p: Floats) -> Floats:
    """The same under any dependence (Benjamini and Yekutieli 2001): larger by the sum of 1 / i."""
    return np.asarray(false_discovery_control(np.nan_to_num(p, nan=1.0), method="by")) if len(p) else p


def with_findings(table: pd.DataFrame, spec: VerdictSpec, *, effect: str, words: tuple[str, str]) -> pd.DataFrame:
    """A table of tests with `p_adjusted` over all its rows, and `finding`: a word for the sign of the column `effect`.

    A word takes p below `spec.alpha` and the adjusted one within `spec.fdr`; a row with a reason was not tested.
    """
    tested = table["reason"] == ""
    table["p_adjusted"] = 1.0
    table.loc[tested, "p_adjusted"] = benjamini_hochberg(table.loc[tested, "p"].to_numpy(float))
    clear = tested & (table["p"] < spec.alpha) & (table["p_adjusted"] <= spec.fdr)
    word = np.where(table[effect].to_numpy(float) > 0, *words)
    table["finding"] = np.where(tested, np.where(clear, word, "no evidence"), "not tested")
    return table
