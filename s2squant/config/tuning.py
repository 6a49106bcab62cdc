"""Settings of a search for better settings, as frozen values: trials, ranges, held-out share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Literal

from pydantic import Field, field_validator

from s2squant.config.defaults import TRIALS
from s2squant.config.part import Part

Value = bool | int | float | str
FORMS = "LOW:HIGH, log:LOW:HIGH, int:LOW:HIGH, logint:LOW:HIGH or choice:A,B,..."


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both included; `log` draws their logarithm evenly."""

    low: float
    high: float
    whole: bool
    log: bool

    @property
    def ends(self) -> tuple[Value, ...]:
        """What has to be a possible value for the whole span to be."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Whether a value lies in the span."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.whole or value == int(value))


@dataclass(frozen=True)
class Choice:
    """One of a few values, in no order."""

    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """All of them."""
        return self.values

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        return any(type(value) is type(one) and value == one for one in self.values)


Range = Span | Choice


class Tuning(Part):
    """A search by TPE over walk-forward folds; the last cutoffs are held out and scored once, at the end."""

    trials: int = Field(
        TRIALS, ge=1, le=100_000, description="configurations tried, the experiment as it is among them"
    )
    timeout: float | None = Field(None, gt=0, le=1e8, description="seconds after which no further trial starts")
    holdout: float = Field(1 / 3, gt=0.05, lt=0.9, description="share of the cutoffs, the last ones, held out")
    prune: bool = Field(True, description="end a trial that is worse than the median of those before it at that fold")
    startup: int = Field(
        8, ge=1, le=10_000, description="trials drawn at random before the search learns; four of them unpruned"
    )
    space: dict[str, str] = Field({}, description=f"dotted key -> {FORMS}; empty: a default for the model tuned")
    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] | None = Field(
        None, description="name under which the search is kept and goes on; left out: made of what decides it"
    )

    @field_validator("space")
    @classmethod
    def _ranges(cls, space: dict[str, str]) -> dict[str, str]:
        for key, text in space.items():
            read_range(key, text)
        return space

    @property
    def ranges(self) -> Mapping[str, Range]:
        """The space, read."""
        return {key: read_range(key, text) for key, text in self.space.items()}


def read_range(key: str, text: str) -> Range:
    """A range of a setting from its text; raises ValueError with one line."""
    kind, _, rest = text.partition(":")
    if kind == "choice":
        values = tuple(_value(part.strip()) for part in rest.split(",") if part.strip())
        if len(values) < 2 or len({json.dumps(v) for v in values}) < len(values):
            raise ValueError(f"{key} = '{text}': a choice names two or more different values, as in choice:lstm,gru")
        return Choice(values)
    if kind not in ("log", "int", "logint"):
        kind, rest = "real", text
    low, _, high = rest.partition(":")
    try:
        ends = (float(low), float(high))
    except ValueError:
        raise ValueError(f"{key} = '{text}': write it as {FORMS}") from None
    whole, log = kind in ("int", "logint"), kind in ("log", "logint")
    if not all(map(isfinite, ends)) or ends[0] >= ends[1]:
        raise ValueError(f"{key} = '{text}': the first number is the lower one, the second the higher")
    if whole and any(end != int(end) for end in ends):
        raise ValueError(f"{key} = '{text}': int has whole ends")
    if log and ends[0] <= 0:
        raise ValueError(f"{key} = '{text}': a logarithm needs numbers above 0")
    return Span(*ends, whole=whole, log=log)


def _value(text: str) -> Value:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


Ending = Literal["done", "pruned", "refused", "failed"]
"""How a trial ended: scored on every fold; stopped early; its settings do not go together; interrupted or broken."""
