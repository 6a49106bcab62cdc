"""Split of the walk's cutoffs into those a search sees and those held out, a horizon apart.

The first part comes on panels that end at the first held-out cutoff: no later price is there to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from s2squant.config.experiment import Walk
from s2squant.errors import ConfigError
from s2squant.evaluation.statistics.diebold_mariano import MIN_CUTOFFS
from s2squant.runs.plan import Plan, sessions_of
from s2squant.series.arrays import Dates
from s2squant.series.panel import Fold, Panel
from s2squant.series.windows import session_dates

LEAST = 2
"""Cutoffs without which nothing can be searched."""


@dataclass(frozen=True)
class WalkPart:
    """One part of the walk: the markets, and the folds with the cutoffs of this part alone."""

    panels: Mapping[str, Panel]
    folds: Mapping[str, tuple[Fold, ...]]
    sessions: Mapping[str, Dates]

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of the folds of any market, oldest first."""
        return tuple(sorted({fold.number for folds in self.folds.values() for fold in folds}))

    def step(self, number: int) -> WalkPart:
        """The folds of one number, in the markets that have it."""
        folds = {m: tuple(f for f in folds if f.number == number) for m, folds in self.folds.items()}
        folds = {market: chosen for market, chosen in folds.items() if chosen}
        return WalkPart({m: self.panels[m] for m in folds}, folds, self.sessions)

    @property
    def cutoffs(self) -> Dates:
        """Every cutoff of any market, increasing."""
        return np.unique(np.concatenate([fold.cutoffs for folds in self.folds.values() for fold in folds]))


@dataclass(frozen=True)
class Split:
    """The part that is searched, the rest, and the date from which cutoffs are held out."""

    search: WalkPart
    rest: WalkPart
    """The cutoffs that the search did not see; those before `first`, whose labels reach past it, are never scored."""
    first: np.datetime64
    held_out: int
    """Dates with a held-out cutoff."""


def split(plan: Plan, share: float, walk: Walk) -> Split:
    """Hold the last `share` of a plan's cutoffs out; raises ConfigError when either part is too short.

    The date is one for all markets. A cutoff is searched when its last label (a horizon on) is known at the first
    held-out cutoff.
    """
    every = np.sort(np.concatenate([fold.cutoffs for folds in plan.folds.values() for fold in folds]))
    first = every[min(len(every) - 1, int(np.ceil((1 - share) * len(every))))]
    panels, before, after = dict[str, Panel](), dict[str, tuple[Fold, ...]](), dict[str, tuple[Fold, ...]]()
    for market, panel in plan.panels.items():
        days = session_dates(panel)
        known = int(np.searchsorted(days, first, side="right")) - 1 - walk.horizon
        last = days[known] if known >= 0 else days[0] - np.timedelta64(1, "D")
        before[market] = tuple(_limited(plan.folds[market], until=last))
        after[market] = tuple(_limited(plan.folds[market], beyond=last))
        if before[market]:
            panels[market] = panel.until(first)
    before = {market: folds for market, folds in before.items() if folds}
    after = {market: folds for market, folds in after.items() if folds}
    beyond = np.unique(every[every >= first])
    searched = len(np.unique([d for folds in before.values() for fold in folds for d in fold.cutoffs]))
    if searched < LEAST:
        raise ConfigError(
            f"{searched} cutoffs are left to search in before {first}, {LEAST} are needed; "
            "raise walk.cutoffs or lower the held-out share"
        )
    if len(beyond) < MIN_CUTOFFS:
        raise ConfigError(
            f"{len(beyond)} cutoffs are held out from {first} on, too few to test ({MIN_CUTOFFS} are needed); "
            "raise walk.cutoffs or the held-out share"
        )
    return Split(
        search=WalkPart(panels, before, sessions_of(panels, walk)),
        rest=WalkPart({m: plan.panels[m] for m in after}, after, dict(plan.sessions)),
        first=first,
        held_out=len(beyond),
    )


def _limited(
    folds: tuple[Fold, ...], *, until: np.datetime64 | None = None, beyond: np.datetime64 | None = None
) -> Iterator[Fold]:
    """The folds with their cutoffs up to one date, or after one; those without any left out."""
    for fold in folds:
        cutoffs = fold.cutoffs
        cutoffs = cutoffs[cutoffs <= until] if until is not None else cutoffs
        cutoffs = cutoffs[cutoffs > beyond] if beyond is not None else cutoffs
        if len(cutoffs):
            yield replace(fold, cutoffs=cutoffs)
