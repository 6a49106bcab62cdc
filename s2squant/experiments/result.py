"""What an experiment gives back, and how it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from s2squant.report.sections import ExperimentPage

Progress = Callable[[str, float], None]
"""Told what is under way and the share of the whole experiment that is done, 0 to 1."""


@dataclass(frozen=True)
class Result:
    """The figures of an experiment, plain values for `result.json`, and the page that shows them."""

    figures: Mapping[str, Any]
    page: ExperimentPage
