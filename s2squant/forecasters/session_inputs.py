"""The time of day as networks read it: of each bar beside its inputs, and of every step ahead, known beforehand.

Shape legend: R rows, V scheduled bars, E numbers of a bar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from s2squant.forecasters.intraday_profile import Profiles, kinds_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.panel import Panel
from s2squant.series.slots import Places, Slots

if TYPE_CHECKING:  # torch takes a second that who has no network need not wait for
    from s2squant.nets.covariates import CovariateSizes, KnownAhead

NUMBERS = 4
"""Slot, share of the session passed, first bar after a night, logarithm of the profile."""


def slots_of(panel: Panel) -> Slots:
    """The slots of a panel of bars within the day."""
    assert panel.slots is not None, "it has a profile"
    return panel.slots


def session_beside(panel: Panel, profiles: Profiles) -> Floats:
    """Numbers (R, E) of each bar."""
    slots = slots_of(panel)
    return _numbers(slots.bars, slots.count, profiles.of(panel), panel.ticker_of)


def session_known(panel: Panel, profiles: Profiles) -> KnownAhead:
    """Numbers of every step ahead, as every row knows them."""
    import torch

    from s2squant.nets.covariates import KnownAhead

    slots = slots_of(panel)
    owner_V = np.searchsorted(slots.end_R[panel.starts[:-1]], np.arange(len(slots.slot_V)), side="right")
    grid_VE = _numbers(slots.grid, slots.count, profiles.of(panel), owner_V)
    none_R0 = torch.zeros(len(slots), 0)
    return KnownAhead(
        torch.from_numpy(np.concatenate([grid_VE, np.zeros((1, NUMBERS))]).astype(np.float32)),
        torch.from_numpy(slots.place_R.astype(np.int64)),
        torch.from_numpy(slots.end_R.astype(np.int64)),
        none_R0,
        none_R0.long(),
    )


def with_session(sizes: CovariateSizes) -> CovariateSizes:
    """What a network has to be built for that reads the time of day beside covariates."""
    return sizes._replace(past=sizes.past + NUMBERS, ahead=sizes.ahead + NUMBERS)


def _numbers(places: Places, count: int, profile_MK7: Floats, owner: Ints) -> Floats:
    log_sd = np.log(profile_MK7[owner, kinds_of(places, count), places.weekday])
    slot = 2.0 * places.slot / max(count - 1, 1) - 1.0
    return np.stack([slot, 2.0 * places.phase - 1.0, places.first.astype(float), log_sd], axis=-1)
