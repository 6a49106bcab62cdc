"""Sections of an experiment's page: text, tables, lines and heat maps; plain values, nothing computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Lines:
    """One chart of lines over the same axes; `series` maps a name to its (x, y), equally long, NaN where y has a gap.

    x holds numbers, dates or text. `bands` maps a name of `series` to the (low, high) drawn around its line.
    """

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, tuple[ArrayLike, ArrayLike]]
    log_y: bool = False
    markers: bool = False
    """Points without a line between them."""
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] = field(default_factory=dict)
    caption: str = ""

    def __post_init__(self) -> None:
        for name, (x, y) in self.series.items():
            if len(np.atleast_1d(x)) != len(np.atleast_1d(y)):
                raise ValueError(f"{self.title}: the line {name!r} has {np.shape(x)} x and {np.shape(y)} y values")
        for name, (low, high) in self.bands.items():
            if name not in self.series:
                raise ValueError(f"{self.title}: a band around {name!r}, which is no line; lines are {[*self.series]}")
            if not np.shape(low) == np.shape(high) == np.shape(self.series[name][1]):
                raise ValueError(f"{self.title}: the band around {name!r} is not as long as its line")


@dataclass(frozen=True)
class Heatmap:
    """A table of numbers as colours: `values` (len(y_labels), len(x_labels)), the first row on top, NaN left blank.

    Values of both signs get two colours that meet at zero, others one.
    """

    title: str
    x_labels: tuple[str, ...]
    y_labels: tuple[str, ...]
    values: ArrayLike
    x_title: str = ""
    y_title: str = ""
    form: str = ".3g"
    """d3 format of a value."""
    caption: str = ""

    def __post_init__(self) -> None:
        if np.shape(self.values) != (len(self.y_labels), len(self.x_labels)):
            wanted = f"{len(self.y_labels)} rows and {len(self.x_labels)} columns"
            raise ValueError(f"{self.title}: values {np.shape(self.values)} for {wanted}")


@dataclass(frozen=True)
class Section:
    """One part of a page: heading, the takeaway in one sentence, then paragraphs, charts and a table, where given.

    `labels` and `formats` map columns of `table` to the heading shown and to a Python format such as ".3f" or "+.1%";
    a column without a format shows its numbers to four significant digits.
    """

    heading: str
    takeaway: str = ""
    paragraphs: tuple[str, ...] = ()
    table: pd.DataFrame | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    lines: tuple[Lines, ...] = ()
    heatmap: Heatmap | None = None


@dataclass(frozen=True)
class ExperimentPage:
    """A whole page: what was done, its conclusion in one sentence, the sections that show it, and how to repeat it."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    command: str = ""
    """The command that makes the page again."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Provenance by name: seed, versions, seconds."""
