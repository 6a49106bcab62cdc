"""Parts of figures: plotly traces as plain dictionaries, ready for JSON.

Colours are tokens (`@m-blue`, `@m-blue/0.2` with opacity); report.js turns them into the CSS variables of the theme in
force. Plain dictionaries render ten times faster than graph objects; the tests check them against plotly's own schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from s2squant.report.styles import Style, style
from s2squant.series.arrays import in_days, table_dates

Trace = dict[str, Any]
MOST_POINTS = 400
"""Points of a line after decimation."""


@dataclass(frozen=True)
class Chart:
    """One figure of a page, or the reason why there is none."""

    id: str
    label: str
    """What it shows, for people who hear the page."""
    traces: tuple[Trace, ...] = ()
    layout: dict[str, Any] | None = None
    height: int = 360
    """Pixels."""
    reason: str = ""

    @property
    def json(self) -> Markup:
        """The figure as JSON that cannot end the script element it stands in."""
        text = json.dumps({"data": self.traces, "layout": self.layout or {}}, separators=(",", ":"), allow_nan=False)
        return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def absent(id: str, label: str, reason: str) -> Chart:
    """The place of a figure whose numbers were not computed."""
    return Chart(id, label, reason=reason)


def drawn(
    id: str, label: str, traces: Sequence[Trace], layout: dict[str, Any], *, missing: str, height: int = 360
) -> Chart:
    """A figure of these traces, or its place with the reason `missing` where there are none."""
    return Chart(id, label, tuple(traces), layout, height) if traces else absent(id, label, missing)


def plain(text: str) -> str:
    """Text that plotly shows as it stands: its labels understand a little HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def numbers(values: Iterable[Any], digits: int = 5) -> list[float | None]:
    """Finite values to `digits` significant digits; the others as gaps."""
    return [float(f"{v:.{digits}g}") if v is not None and math.isfinite(v) else None for v in values]


def days(values: Any) -> list[str]:
    """Dates as ISO text; moments of bars within the day to the minute, UTC."""
    return [str(d)[:16].replace("T", " ") for d in table_dates(values)]


def thin(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """The places to keep of a long line: first, last, and each bucket's lowest and highest, so no spike is lost."""
    if len(values) <= most:
        return list(range(len(values)))
    filled = np.nan_to_num(np.asarray(values, dtype=float))
    places = {0, len(filled) - 1}
    for bucket in np.array_split(np.arange(len(filled)), most // 2):
        places.add(int(bucket[filled[bucket].argmin()]))
        places.add(int(bucket[filled[bucket].argmax()]))
    return sorted(places)


def ordered(table: pd.DataFrame, along: str) -> pd.DataFrame:
    """The rows in the order of a column, in which most tables stand already."""
    return table if table[along].is_monotonic_increasing else table.sort_values(along)


def thinned(table: pd.DataFrame, along: str, column: str, most: int = MOST_POINTS) -> pd.DataFrame:
    """The rows of a long line along one column that are kept of another, see `thin`."""
    table = ordered(table, along)
    return table if len(table) <= most else table.iloc[thin([float(v) for v in table[column]], most)]


def broken(x: list[str], y: list[float | None]) -> tuple[list[str], list[float | None]]:
    """A line over dates interrupted where nothing was recorded: steps over 90 days and ten times the usual one."""
    steps = in_days(np.diff(np.asarray(x, dtype="datetime64[s]")))
    if not len(steps):
        return x, y
    gaps = np.flatnonzero(steps > max(90, 10 * float(np.median(steps)))) + 1
    dates, values = list(x), list(y)
    for place in gaps[::-1]:
        dates.insert(place, x[place - 1])
        values.insert(place, None)
    return dates, values


def line(
    model: str,
    x: list[Any],
    y: list[float | None],
    *,
    strong: bool = False,
    name: str = "",
    look: Style | None = None,
) -> Trace:
    """A model's line, in its colour and dash (or in `look`); `strong` for the one the page is about."""
    look = look or style(model)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plain(name or look.label),
        "legendrank": 1 if strong else 2,
        "legendgroup": model,
        "showlegend": True,
        "x": x,
        "y": y,
        "line": {"color": f"@{look.colour}", "dash": look.pattern, "width": 3.2 if strong else 1.7},
    }


def band(x: list[Any], low: list[float | None], high: list[float | None], colour: str, group: str) -> Trace:
    """A filled band between two lines over the same x."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x + x[::-1],
        "y": high + low[::-1],
        "fill": "toself",
        "fillcolor": colour,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": group,
    }


def axis(title: str, form: str = "", *, kind: str = "-") -> dict[str, Any]:
    """An axis: its title, d3 number format and type."""
    settings: dict[str, Any] = {"title": {"text": title}}
    if form:
        settings["tickformat"] = form
    if kind != "-":
        settings["type"] = kind
    return settings
