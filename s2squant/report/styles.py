"""How each model looks everywhere: its name, its colour (a CSS variable of report.css) and its line.

Hues are Okabe and Ito's (2008), told apart by people with colour-blindness; the line's dash says the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dash = Literal["solid", "dot", "dash", "longdash", "dashdot", "longdashdot"]

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


STYLES: dict[str, Style] = {
    "historical_simulation": Style("Historical simulation", "m-grey", "solid"),
    "random_walk": Style("Random walk", "m-grey", "dot"),
    "ewma_t": Style("EWMA, Student t", "m-yellow", "dash"),
    "garch_t": Style("GARCH, Student t", "m-orange", "dash"),
    "gjr_t": Style("GJR-GARCH, Student t", "m-purple", "dashdot"),
    "drift": Style("Drift", "m-grey", "dashdot"),
    "block_bootstrap": Style("Block bootstrap", "m-grey", "longdash"),
    "gjr_fhs": Style("GJR-GARCH, filtered history", "m-purple", "solid"),
    "har": Style("HAR on ranges", "m-orange", "solid"),
    "ets": Style("AutoETS", "m-yellow", "dot"),
    "arima": Style("AutoARIMA", "m-yellow", "longdash"),
    "theta": Style("Theta", "m-yellow", "solid"),
    "ridge": Style("Ridge, direct", "m-purple", "dot"),
    "gbm": Style("Gradient-boosted quantiles", "m-orange", "dot"),
    "field": Style("Field average", "m-black", "longdash"),
    "anchor": Style("Anchor", "m-vermillion", "longdash"),
    "seq2seq_per_ticker": Style("Seq2seq, per ticker", "m-green", "solid"),
    "seq2seq_pooled": Style("Seq2seq, pooled", "m-sky", "longdashdot"),
    "seq2seq_adapted": Style("Seq2seq, adapted", "m-green", "dot"),
    "blend": Style("Blend", "m-blue", "solid"),
    "buy_and_hold": Style("Buy and hold", "m-grey", "dash"),
    "random_walk_sign": Style("Random walk, sign", "m-grey", "dot"),
}


def style(model: str) -> Style:
    """The style of a model; one that is not listed is shown by its own name, a recalibrated one beside its own."""
    raw, plus, _ = model.partition("+")
    if plus and raw:
        return Style(f"{style(raw).label}, recalibrated", style(raw).colour, "dot")
    return STYLES.get(model) or Style(model.replace("_", " ").capitalize(), "m-black", "dot")


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
    return STYLES.get(name) or Style(name, colour, dash)


def label(model: str) -> str:
    """The name people read."""
    return style(model).label


def inline(model: str) -> str:
    """The name inside a sentence: lower case unless it is an abbreviation."""
    name = label(model)
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]


WORDS = {
    "better": ("better", "Better than the reference", "▲"),
    "no evidence": ("none", "No evidence of skill", "●"),
    "worse": ("worse", "Worse than the reference", "▼"),
}
"""CSS class, badge text and glyph of each verdict word."""
