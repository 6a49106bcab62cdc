"""How lines look everywhere: label, colour (a CSS variable of report.css), dash and mark; models' from their table."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from s2squant.config import models
from s2squant.config.models import RECALIBRATED, Dash

STROKES: dict[Dash, str] = {
    "solid": "none",
    "dot": "1.5 3",
    "dash": "5 3",
    "longdash": "9 3",
    "dashdot": "6 2.5 1.5 2.5",
    "longdashdot": "9 2.5 1.5 2.5",
}
"""The SVG dash array of each line style."""

SYMBOLS: dict[Dash, str] = {
    "solid": "circle",
    "dot": "circle-open",
    "dash": "diamond",
    "longdash": "square",
    "dashdot": "triangle-up",
    "longdashdot": "triangle-down",
}
"""The mark of a point, told apart without colour."""


@dataclass(frozen=True)
class Style:
    """Label, colour token and dash of one model."""

    label: str
    colour: str
    dash: Dash

    @property
    def stroke(self) -> str:
        """The dash as SVG writes it."""
        return STROKES[self.dash]

    @property
    def symbol(self) -> str:
        """The mark of a point, another for each dash."""
        return SYMBOLS[self.dash]

    @property
    def pattern(self) -> str:
        """The dash as plotly writes it."""
        return pattern(self.dash)


def pattern(dash: Dash) -> str:
    """A line style for plotly, in the lengths the legends and tables use: `5px,3px`."""
    return "solid" if dash == "solid" else ",".join(f"{length}px" for length in STROKES[dash].split())


RULES: dict[str, Style] = {
    "buy_and_hold": Style("Buy and hold", "m-grey", "dash"),
    "equal_volatility": Style("Equal volatility", "m-grey", "longdash"),
    "random_walk_sign": Style("Random walk, sign", "m-grey", "dot"),
}
"""What a trading rule is held against, beside the models."""


OWN: tuple[tuple[str, Dash], ...] = (
    ("m-black", "dot"),
    ("m-black", "dash"),
    ("m-vermillion", "dot"),
    ("m-sky", "dash"),
)
"""Looks of a user's own models, chosen by their names."""


def style(name: str) -> Style:
    """The style of a model or of a rule; a recalibrated model has the colour of its own, a stranger his own name."""
    row = models.row_of(name)
    if row is None:
        colour, dash = OWN[zlib.crc32(name.encode()) % len(OWN)]
        return RULES.get(name) or Style(models.label(name), colour, dash)
    return Style(models.label(name), row.colour, "dot" if name.endswith(RECALIBRATED) else row.dash)


SERIES: tuple[tuple[str, Dash], ...] = (
    ("m-blue", "solid"),
    ("m-vermillion", "longdash"),
    ("m-green", "dash"),
    ("m-purple", "dashdot"),
    ("m-orange", "solid"),
    ("m-sky", "longdashdot"),
    ("m-grey", "dash"),
    ("m-yellow", "solid"),
)
"""Colour and dash of lines that are no model, by their place."""


def nth(name: str, place: int) -> Style:
    """The style of a line: the model's if `name` is one, otherwise its own name in the look of its place."""
    colour, dash = SERIES[place % len(SERIES)]
    return style(name) if models.row_of(name) or name in RULES else Style(name, colour, dash)


def label(name: str) -> str:
    """The name people read."""
    return style(name).label


WORDS = {
    "better": ("better", "Better than the reference", "▲"),
    "no evidence": ("none", "No evidence of skill", "●"),
    "worse": ("worse", "Worse than the reference", "▼"),
}
"""CSS class, badge text and glyph of each verdict word."""

BADGES = WORDS | {"borderline": ("edge", "Borderline", "◆")}
"""The same, and of a run whose tests do not agree."""
