"""A report's charts as plotly figures, for notebooks and programs: the same lines in the colours of the light theme."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go

from s2squant.report.charts import Chart

TOKEN = re.compile(r"@([a-z0-9-]+)(?:/([\d.]+))?")
VARIABLE = re.compile(r"--([a-z0-9-]+):\s*(#[0-9a-f]{6})")


def figure_of(chart: Chart, title: str) -> go.Figure:
    """The plotly figure of a chart; raises ValueError for one that was not computed."""
    if chart.reason:
        raise ValueError(f"{chart.label}: {chart.reason}")
    layout = {
        "title": {"text": title},
        "height": chart.height,
        "paper_bgcolor": "@paper",
        "plot_bgcolor": "@paper",
        "font": {"color": "@ink"},
        "legend": {"orientation": "h", "y": -0.12},
    }
    figure = go.Figure(data=_dressed(list(chart.traces)), layout=_dressed(layout | (chart.layout or {})))
    return figure.update_xaxes(gridcolor=_colour("@grid")).update_yaxes(gridcolor=_colour("@grid"))


def _dressed(value: Any) -> Any:
    """The value with every colour token as a colour."""
    match value:
        case str():
            return _colour(value) if TOKEN.fullmatch(value) else value
        case dict():
            return {key: _dressed(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_dressed(inner) for inner in value]
    return value


def _colour(token: str) -> str:
    found = TOKEN.fullmatch(token)
    if found is None:
        return token
    colour = _palette()[found[1]]
    if found[2] is None:
        return colour
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{found[2]})"


@cache
def _palette() -> dict[str, str]:
    """The variables of the light theme, which stands first in report.css."""
    text = files("s2squant.report").joinpath("assets", "report.css").read_text(encoding="utf-8")
    colours: dict[str, str] = {}
    for name, colour in VARIABLE.findall(text):
        colours.setdefault(name, colour)
    return colours
