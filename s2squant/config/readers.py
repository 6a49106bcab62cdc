"""Which models read which covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from s2squant.config.models import row_of


class Named(Protocol):
    """What is asked of a covariate here."""

    @property
    def name(self) -> str: ...

    @property
    def variance(self) -> bool: ...

    @property
    def measure(self) -> str: ...


def reads_of(model: str, covariates: Mapping[str, Sequence[Named]]) -> tuple[str, ...]:
    """Names of the covariates that a fitted model reads, of those given by kind: past, future, static.

    A network stands on the anchor, and so reads all of them.
    """
    reads = () if (row := row_of(model)) is None else row.reads
    return tuple(
        c.name
        for kind, columns in covariates.items()
        for c in columns
        if kind in reads or c.measure in reads or (c.variance and kind == "past" and "variance" in reads)
    )
