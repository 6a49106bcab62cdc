"""Slots: the place of each bar within its session, and those of the bars to come.

Shape legend: V scheduled bars of the session grid, R bars (of a ticker, or of a panel laid end to end), N origins, H
steps ahead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2squant.series.arrays import Floats, Ints, frozen_array


class Places(NamedTuple):
    """Places of scheduled bars, all of one shape."""

    slot: Ints
    weekday: Ints
    first: NDArray[np.bool_]
    phase: Floats
    """Share of the session that has passed at the bar's close, above 0 to 1."""


@dataclass(frozen=True, eq=False)
class Slots:
    """The grid of a ticker's sessions, known ahead, and where its bars stand on it.

    The grid holds every scheduled bar from the ticker's first one on and enough of them beyond its last. A slot counts
    the bars of a full session before it, so that a bar has the same slot at the same local time of any day: 0 is the
    opening. Raises ValueError where the arrays do not agree.
    """

    count: int
    """Slots of a full session."""
    slot_V: Ints
    weekday_V: Ints
    """Of the session, 0 a Monday."""
    first_V: NDArray[np.bool_]
    """Whether the market was closed overnight, or longer, before the bar: its return spans that."""
    place_R: Ints
    """The scheduled bar that each bar is."""
    first_R: NDArray[np.bool_]
    """Whether a bar's return spans a night: that of the first bar after one, though the opening may be missing."""
    end_R: Ints
    """Where the grid of the bar's ticker ends in V."""

    def __post_init__(self) -> None:
        for name in ("slot_V", "weekday_V", "place_R", "end_R"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.intp))
        for name in ("first_V", "first_R"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.bool_))
        if not len(self.slot_V) == len(self.weekday_V) == len(self.first_V):
            raise ValueError("slots, weekdays and nights of a grid differ in length")
        if not len(self.place_R) == len(self.first_R) == len(self.end_R):
            raise ValueError("places, nights and ends of bars differ in length")
        if len(self.slot_V) and (self.slot_V.min() < 0 or self.slot_V.max() >= self.count):
            raise ValueError(f"slots must lie between 0 and {self.count - 1}, the last of a full session")
        if len(self.weekday_V) and (self.weekday_V.min() < 0 or self.weekday_V.max() > 6):
            raise ValueError("weekdays are 0 (Monday) to 6")
        if (self.place_R < 0).any() or (self.place_R >= self.end_R).any():
            raise ValueError("a bar stands outside its grid")

    @classmethod
    def on_grid(cls, count: int, slot_V: Ints, weekday_V: Ints, first_V: NDArray[np.bool_], place_R: Ints) -> Slots:
        """The slots of one ticker whose bars stand at `place_R`, increasing, of its grid."""
        if (np.diff(place_R) <= 0).any():
            raise ValueError("bars must increase along their grid")
        nights_V = np.cumsum(first_V)
        nights_R = nights_V[place_R]
        first_R = np.diff(nights_R, prepend=nights_R[:1]) > 0
        first_R[:1] = np.asarray(first_V)[place_R[:1]]
        return cls(count, slot_V, weekday_V, first_V, place_R, first_R, np.full(len(place_R), len(slot_V)))

    def __len__(self) -> int:
        return len(self.place_R)

    @cached_property
    def phase_V(self) -> Floats:
        """Share of the session that has passed at each scheduled bar's close."""
        opens_V = np.append(True, self.slot_V[1:] <= self.slot_V[:-1]) if len(self.slot_V) else np.zeros(0, bool)
        starts = np.flatnonzero(opens_V)
        lengths = np.diff(np.append(starts, len(self.slot_V)))
        within_V = np.arange(len(self.slot_V)) - np.repeat(starts, lengths)
        passed_V: Floats = (within_V + 1) / np.repeat(lengths, lengths)
        return passed_V

    @property
    def grid(self) -> Places:
        """Places of all scheduled bars, each (V,)."""
        return Places(self.slot_V, self.weekday_V, self.first_V, self.phase_V)

    @property
    def bars(self) -> Places:
        """Places of the bars themselves, each (R,)."""
        at = self.place_R
        return Places(self.slot_V[at], self.weekday_V[at], self.first_R, self.phase_V[at])

    def ahead(self, rows: Ints, horizon: int) -> Places:
        """Places (N, H) of the next scheduled bars after some bars; raises ValueError where the grid ends before."""
        index_NH = self.place_R[rows][:, None] + np.arange(1, horizon + 1)
        if len(rows) and (index_NH[:, -1] >= self.end_R[rows]).any():
            left = int((self.end_R[rows] - 1 - self.place_R[rows]).min())
            raise ValueError(f"the session grid ends {left} bars after a bar, before the horizon of {horizon}")
        return Places(self.slot_V[index_NH], self.weekday_V[index_NH], self.first_V[index_NH], self.phase_V[index_NH])

    def of_bars(self, keep: NDArray[np.bool_]) -> Slots:
        """The slots of some bars (R,) of one ticker on the same grid."""
        return self.on_grid(self.count, self.slot_V, self.weekday_V, self.first_V, self.place_R[keep])

    def digest(self) -> bytes:
        """Hash of all places: equal slots, equal bytes."""
        hashed = hashlib.sha256(str(self.count).encode())
        for values in (self.slot_V, self.weekday_V, self.first_V, self.place_R):
            hashed.update(values.tobytes())
        return hashed.digest()


def slots_laid_out(each: Sequence[Slots | None]) -> Slots | None:
    """The slots of several tickers end to end; None where none has any.

    Raises ValueError where some lack them, or their sessions have different lengths.
    """
    some = [slots for slots in each if slots is not None]
    if not some:
        return None
    if len(some) < len(each):
        raise ValueError("some tickers of a panel have bars within the day and others do not; give them one interval")
    if len({slots.count for slots in some}) > 1:
        raise ValueError("the tickers of a panel have sessions of different lengths; give them one calendar")
    starts = np.cumsum([0, *(len(slots.slot_V) for slots in some[:-1])])
    return replace(
        some[0],
        slot_V=np.concatenate([slots.slot_V for slots in some]),
        weekday_V=np.concatenate([slots.weekday_V for slots in some]),
        first_V=np.concatenate([slots.first_V for slots in some]),
        place_R=np.concatenate([start + slots.place_R for start, slots in zip(starts, some, strict=True)]),
        first_R=np.concatenate([slots.first_R for slots in some]),
        end_R=np.concatenate([start + slots.end_R for start, slots in zip(starts, some, strict=True)]),
    )
