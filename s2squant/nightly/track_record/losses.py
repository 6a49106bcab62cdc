"""Scored outcomes of one model in the live record, with the reference's loss, as arrays.

Shape legend: U units (ticker, cutoff, step).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.evaluation.calibration import equal_correlation
from s2squant.evaluation.pools import step_groups
from s2squant.series.arrays import Dates, Floats, Ints, table_dates


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of one model beside the reference's loss on the same units (NaN where it lacks the unit)."""

    tickers: tuple[str, ...]
    cutoffs: Dates
    sessions: Dates
    ticker_U: Ints
    cutoff_U: Ints
    session_U: Ints
    step_U: Ints
    crps_U: Floats
    """In % log return, as `base_U`."""
    base_U: Floats
    pit_U: Floats

    def __len__(self) -> int:
        return len(self.step_U)

    def inside(self, percent: int) -> NDArray[np.bool_]:
        """Whether each outcome lay in the central interval."""
        edge = (100 - percent) / 200
        return np.asarray((self.pit_U >= edge) & (self.pit_U <= 1 - edge))


def outcomes_of(live: pd.DataFrame, model: str, reference: str) -> Outcomes:
    """The scored rows of `model`, sorted by ticker, cutoff and step; the reference's loss is NaN where it has none."""
    keys = ["unique_id", "cutoff", "step"]
    rows = live[(live["model"] == model) & live["y"].notna()]
    base = live.loc[(live["model"] == reference) & live["y"].notna(), [*keys, "crps"]]
    rows = rows.merge(base, how="left", on=keys, suffixes=("", "_base")).sort_values(keys, ignore_index=True)
    ticker, tickers = pd.factorize(rows["unique_id"])
    cutoffs, cutoff = np.unique(table_dates(rows["cutoff"]), return_inverse=True)
    sessions, session = np.unique(table_dates(rows["ds"]), return_inverse=True)
    return Outcomes(
        tuple(str(t) for t in tickers),
        cutoffs,
        sessions,
        ticker.astype(np.intp),
        cutoff,
        session,
        rows["step"].to_numpy(np.intp),
        100.0 * rows["crps"].to_numpy(float),
        100.0 * rows["crps_base"].to_numpy(float),
        rows["pit"].to_numpy(float),
    )


def common_correlation(live: pd.DataFrame, model: str) -> float:
    """How alike tickers move on a date, by a model's PIT values; 0 without any."""
    rows = live[(live["model"] == model) & live["pit"].notna()] if len(live) else live
    if not len(rows):
        return 0.0
    group = rows.groupby(["cutoff", "step"]).ngroup().to_numpy().astype(np.int64)
    return equal_correlation(rows["pit"].to_numpy(float), group)


def whole(s: Outcomes, units: Ints) -> Ints:
    """Those of `units` whose ticker and cutoff have every step among them."""
    if not len(units):
        return units
    pair = s.ticker_U[units] * len(s.cutoffs) + s.cutoff_U[units]
    return np.asarray(units[np.bincount(pair)[pair] == len(np.unique(s.step_U[units]))])


def complete_cutoffs(s: Outcomes, horizon: int) -> int:
    """Cutoff dates at which some ticker has every step scored."""
    if not len(s) or s.step_U.max() < horizon:
        return 0
    return len(np.unique(s.cutoff_U[whole(s, np.arange(len(s)))]))


def groups(s: Outcomes, horizon: int) -> dict[str, Ints]:
    """The groups of steps, "all" only once the last step has been scored somewhere."""
    named = {name: whole(s, units) for name, units in step_groups(s.step_U).items()} if len(s) else {}
    if not len(s) or s.step_U.max() < horizon:
        named.pop("all", None)
        if len(s) and s.step_U.max() == 1:
            named = {"1": np.arange(len(s))}  # step_groups leaves out a group that is everything
    return {name: units for name, units in named.items() if len(units)}
