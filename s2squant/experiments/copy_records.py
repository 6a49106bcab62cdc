"""What a member of the copy experiment is, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from s2squant.config.networks import DecoderSpec, EncoderSpec

Group = Literal["headline", "attention", "feeding"]
Regime = Literal["teacher", "scheduled", "free"]

BATCH = 100
EXAMPLES = 300_100
"""After which the literature's run printed its loss."""
LITERATURE = 0.1073
SHORTEST, LONGEST = 3, 8
UNSEEN = (9, 10, 11, 12)
"""Lengths that no network is trained on."""


@dataclass(frozen=True)
class Member:
    """One network and how it is trained."""

    name: str
    group: Group
    encoder: EncoderSpec
    decoder: DecoderSpec
    lr: float
    clip: float
    examples: int
    seed: int
    regime: Regime = "teacher"
    searched: bool = False
    """Whether beams and samples are tried on it, and its attention is kept."""


@dataclass(frozen=True)
class Search:
    """A beam against greedy decoding on the same sequences."""

    width: int
    length_power: float
    gain: float
    """Mean of log likelihood minus greedy's, nats."""
    least: float
    """The smallest of these differences."""
    higher: float
    """Share of sequences for which it is larger than 0."""
    exact: float


@dataclass(frozen=True)
class Samples:
    """Ancestral samples against the probability the net gives to the truth: equal but for chance."""

    exact: float
    probability: float
    error: float
    """Standard error of `exact` about `probability`."""


@dataclass(frozen=True)
class Alignment:
    """Attention (T, L) of each said token, EOS included, on each source token."""

    source: tuple[int, ...]
    said: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """A trained member on fresh sequences. Exact matches are free-running greedy decoding, whole sequences, 0 to 1."""

    member: Member
    losses: tuple[float, ...]
    """Of each batch before the step that it leads to, nats a token."""
    loss: float
    exact: float
    exact_by_length: dict[int, float]
    cpu_seconds: float
    parameters: int
    searches: tuple[Search, ...] = ()
    greedy_exact: float = float("nan")
    samples: Samples | None = None
    alignment: Alignment | None = None

    @property
    def reached(self) -> int | None:
        """Examples seen when a batch's loss was first at or below the literature's; None if never."""
        return next((BATCH * k for k, loss in enumerate(self.losses, 1) if loss <= LITERATURE), None)
