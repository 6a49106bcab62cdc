"""What a search may see and what it may not: the walk's cutoffs in two parts, a horizon apart.

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
class Ground:
    """One part of the walk: the markets, and the folds with the cutoffs of this part alone."""

    panels: Mapping[str, Panel]
    folds: Mapping[str, tuple[Fold, ...]]
    sessions: Mapping[str, Dates]

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of the folds of any market, oldest first."""
        return tuple(sorted({fold.number for folds in self.folds.values() for fold in folds}))

    def step(self, number: int) -> Ground:
        """The folds of one number, in the markets that have it."""
        folds = {m: tuple(f for f in held if f.number == number) for m, held in self.folds.items()}
        folds = {market: held for market, held in folds.items() if held}
        return Ground({m: self.panels[m] for m in folds}, folds, self.sessions)

    @property
    def cutoffs(self) -> Dates:
        """Every cutoff of any market, increasing."""
        return np.unique(np.concatenate([fold.cutoffs for held in self.folds.values() for fold in held]))


@dataclass(frozen=True)
class Split:
    """The part that is searched, the rest, and the date from which cutoffs are held out."""

    search: Ground
    rest: Ground
    """The cutoffs that the search did not see; those before `first`, whose labels reach past it, are never scored."""
    first: np.datetime64
    held_out: int
    """Dates with a held-out cutoff."""


def split(plan: Plan, share: float, walk: Walk) -> Split:
    """Hold the last `share` of a plan's cutoffs out; raises ConfigError when either part is too short.

    The date is one for all markets. A cutoff is searched when its last label (a horizon on) is known at the first
    held-out cutoff.
    """
    every = np.sort(np.concatenate([fold.cutoffs for held in plan.folds.values() for fold in held]))
    first = every[min(len(every) - 1, int(np.ceil((1 - share) * len(every))))]
    panels, before, after = dict[str, Panel](), dict[str, tuple[Fold, ...]](), dict[str, tuple[Fold, ...]]()
    for market, panel in plan.panels.items():
        days = session_dates(panel)
        known = int(np.searchsorted(days, first, side="right")) - 1 - walk.horizon
        last = days[known] if known >= 0 else days[0] - 1
        before[market] = tuple(_kept(plan.folds[market], until=last))
        after[market] = tuple(_kept(plan.folds[market], beyond=last))
        if before[market]:
            panels[market] = panel.until(first)
    before = {market: folds for market, folds in before.items() if folds}
    after = {market: folds for market, folds in after.items() if folds}
    held = np.unique(every[every >= first])
    searched = len(np.unique([d for folds in before.values() for fold in folds for d in fold.cutoffs]))
    if searched < LEAST:
        raise ConfigError(
            f"{searched} cutoffs are left to search in before {first}, {LEAST} are needed; "
            "raise walk.cutoffs or lower the held-out share"
        )
    if len(held) < MIN_CUTOFFS:
        raise ConfigError(
            f"{len(held)} cutoffs are held out from {first} on, too few to test ({MIN_CUTOFFS} are needed); "
            "raise walk.cutoffs or the held-out share"
        )
    return Split(
        search=Ground(panels, before, sessions_of(panels, walk)),
        rest=Ground({m: plan.panels[m] for m in after}, after, dict(plan.sessions)),
        first=first,
        held_out=len(held),
    )


def _kept(
    folds: tuple[Fold, ...], *, until: np.datetime64 | None = None, beyond: np.datetime64 | None = None
) -> Iterator[Fold]:
    """The folds with their cutoffs up to one date, or after one; those without any left out."""
    for fold in folds:
        cutoffs = fold.cutoffs
        cutoffs = cutoffs[cutoffs <= until] if until is not None else cutoffs
        cutoffs = cutoffs[cutoffs > beyond] if beyond is not None else cutoffs
        if len(cutoffs):
            yield replace(fold, cutoffs=cutoffs)
