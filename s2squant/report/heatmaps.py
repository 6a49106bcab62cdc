"""Heat maps: attention weights, and any other table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from s2squant.report.charts import Chart, Trace, absent, axis, numbers, plain
from s2squant.series.arrays import Floats

MOST_WRITTEN = 160
"""Cells up to which each carries its figure."""
ONE_SIGN = [[0, "@heat-0"], [0.5, "@heat-1"], [1, "@heat-2"]]
TWO_SIGNS = [[0, "@m-vermillion"], [0.5, "@paper"], [1, "@m-blue"]]


def heatmap(
    id: str,
    title: str,
    values: ArrayLike,
    x_labels: Sequence[Any],
    y_labels: Sequence[Any],
    *,
    x_title: str = "",
    y_title: str = "",
    form: str = ".3g",
    hover: str = "",
    texts: Sequence[Sequence[str]] = (),
    written: bool = True,
) -> Chart:
    """`values` (rows, columns) as colours, first row on top; figures are `written` in the cells where there are few.

    `texts` says more of each cell when it is pointed at, as %{text} in `hover`.
    """
    table = np.asarray(values, dtype=float)
    if not np.isfinite(table).any():
        return absent(id, title, "no value of it is known.")
    names = [[plain(str(label)) for label in labels] for labels in (x_labels, y_labels)]
    trace: Trace = {
        "type": "heatmap",
        "x": names[0],
        "y": names[1],
        "z": [numbers(row, 4) for row in table],
        "colorscale": ONE_SIGN,
        "xgap": 1 if table.shape[1] <= 40 else 0,
        "ygap": 1 if table.shape[0] <= 40 else 0,
        "hovertemplate": (hover or f"%{{y}}, %{{x}}: %{{z:{form}}}") + "<extra></extra>",
        "colorbar": {"thickness": 12, "outlinewidth": 0, "tickformat": form, "tickfont": {"color": "@ink-2"}},
    }
    if np.nanmin(table) < 0 < np.nanmax(table):
        trace |= {"colorscale": TWO_SIGNS, "zmid": 0}
    if texts:
        trace |= {"text": [[plain(text) for text in row] for row in texts]}
    if written and table.size <= MOST_WRITTEN and table.shape[1] <= 16:
        trace |= {"texttemplate": f"%{{z:{form}}}", "textfont": {"size": 11}}
    layout = {
        "hovermode": "closest",
        "xaxis": axis(x_title) | {"type": "category", "showgrid": False, "nticks": 12},
        "yaxis": axis(y_title) | {"type": "category", "showgrid": False, "autorange": "reversed", "nticks": 20},
    }
    height = 110 + max(160, min(26 * table.shape[0], 420))
    return Chart(id, title, (trace,), layout, height=height)


def attention_heatmap(weights_HW: Floats, *, id: str = "attention", newest: str = "") -> Chart:
    """Attention of each forecast step (H rows) on each bar of the input window (W columns, the newest last).

    Weights are those of the newest forecast; a row sums to 1 where the attention is a softmax over the whole window.
    `newest` is the date of the last bar, named on the axis.
    """
    steps, bars = weights_HW.shape
    lags = [f"{lag}" for lag in range(-(bars - 1), 1)]
    where = f"Input bar, counted back from the cutoff{f' {newest}' if newest else ''}"
    return heatmap(
        id,
        "Attention of each forecast step on the input window",
        weights_HW,
        lags,
        [str(step) for step in range(1, steps + 1)],
        x_title=where,
        y_title="Step ahead",
        form=".2%",
        hover="step %{y} looks at bar %{x} with weight %{z:.2%}",
    )
