"""Steps ahead in the groups that a report shows: the next bar, the rest of a week, the rest."""

from __future__ import annotations

import numpy as np

from s2squant.records import Ints

BOUNDS = (1, 5)
"""Last steps of all groups but the final one."""


def step_groups(step_U: Ints) -> dict[str, Ints]:
    """The name of each group, "all" first, and the units (positions) in it; empty groups are left out."""
    last = int(step_U.max(initial=1))
    groups = {"all": np.arange(len(step_U))}
    first = 1
    for end in (*(b for b in BOUNDS if b < last), last):
        units = np.flatnonzero((step_U >= first) & (step_U <= end))
        if len(units) and len(units) < len(step_U):
            groups[str(first) if first == end else f"{first}-{end}"] = units
        first = end + 1
    return groups
