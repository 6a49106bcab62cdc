"""All rows of all versions of a ticker's bars: which stood when, and what a new version changes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2squant.prices.store.bars import COLUMNS, Bars


@dataclass(frozen=True)
class Rows:
    """All rows of all versions: each stood from version `since` until `until`, or stands where that is 0."""

    times: NDArray[Any]
    columns: dict[str, NDArray[Any]]
    since: NDArray[Any]
    until: NDArray[Any]

    def of_versions(self, versions: Sequence[int]) -> Rows:
        """Only what stood in at least one of these versions."""
        stood = np.zeros(len(self.times), bool)
        for version in versions:
            stood |= self._stood(version)
        columns = {name: values[stood] for name, values in self.columns.items()}
        return Rows(self.times[stood], columns, self.since[stood], self.until[stood])

    def _stood(self, version: int) -> NDArray[np.bool_]:
        return np.asarray((self.since <= version) & ((self.until == 0) | (self.until > version)))

    def as_of(self, version: int) -> Bars:
        """The bars of a version."""
        stood = self._stood(version)
        if stood.all():
            return Bars(self.times, self.columns)
        return Bars(self.times[stood], {name: values[stood] for name, values in self.columns.items()})


def first_rows(bars: Bars) -> Rows:
    """The rows of a first version."""
    count = len(bars)
    return Rows(bars.times, dict(bars.columns), np.ones(count, np.int32), np.zeros(count, np.int32))


def next_rows(rows: Rows, before: Bars, bars: Bars, number: int) -> Rows:
    """Close the rows that the new bars replace, add their successors and what is new; `before` are those that stand."""
    place = np.minimum(np.searchsorted(before.times, bars.times), len(before) - 1)
    unchanged = before.times[place] == bars.times
    for name in COLUMNS:
        old, new = before.columns[name][place], bars.columns[name]
        unchanged &= (old == new) | (np.isnan(old) & np.isnan(new))
    stays = np.zeros(len(before), bool)
    stays[place[unchanged]] = True
    until = rows.until.copy()
    until[np.flatnonzero(rows.until == 0)[~stays]] = number
    fresh = bars.where(~unchanged)
    times = np.concatenate([rows.times, fresh.times])
    since = np.concatenate([rows.since, np.full(len(fresh), number, np.int32)])
    until = np.concatenate([until, np.zeros(len(fresh), np.int32)])
    columns = {name: np.concatenate([rows.columns[name], fresh.columns[name]]) for name in COLUMNS}
    if (np.diff(times).astype(np.int64) > 0).all():
        return Rows(times, columns, since, until)
    order = np.lexsort((since, times))
    return Rows(times[order], {name: values[order] for name, values in columns.items()}, since[order], until[order])
