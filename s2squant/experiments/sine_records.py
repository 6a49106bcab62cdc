"""The nouns of the sine experiment: a member, what it came to, and what is known of the best forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from s2squant.series.arrays import Floats

Place = Literal["unseen", "literature", "seen", "literature, clean inputs"]
"""Which windows: those that reach into the unseen part, the literature's one, those of training."""
FLOOR = 20.0
"""Of the printed loss: twenty steps, each with noise of variance one that nobody can forecast."""
GOALS = {"short": 0.10, "long": 0.085}
"""Median over the seeds of the error on the unseen windows, at most."""


@dataclass(frozen=True)
class Member:
    """A network of the family, and where it stands on the page."""

    name: str
    group: Literal["ladder", "member", "long"]
    cost: float
    """Seconds of one core, about."""
    about: str
    long: bool = False
    only_full: bool = False
    """Left out of a quick run."""


@dataclass(frozen=True)
class Scored:
    """Mean squared errors against the clean signal by kind of window, and the forecasts of the unseen ones (N, H)."""

    errors: Mapping[Place, float]
    said_NH: Floats


@dataclass(frozen=True)
class Outcome:
    """A trained network's losses as printed, and its score."""

    member: Member
    seed: int
    losses: tuple[float, ...]
    parameters: int
    scored: Scored


@dataclass(frozen=True)
class Bounds:
    """What no forecast can beat, two simple ones, and the test windows (N, W) with their futures (N, H)."""

    cramer_rao_average: float
    """Over all phases: noise variance / (points x mean squared slope) x mean squared slope."""
    cramer_rao: Mapping[str, float]
    posterior: Mapping[Place, float]
    last_value: Mapping[Place, float]
    zero: Mapping[Place, float]
    x: Floats
    clean: Floats
    past: Floats
    clean_future: Floats
    starts: Floats
