"""The page of an experiment: the same look, policy and scripts as a report, filled from plain sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from s2squant.report.charts import Chart, Trace, absent, axis, band, days, line, numbers
from s2squant.report.heatmaps import heatmap
from s2squant.report.sections import ExperimentPage, Heatmap, Lines, Section
from s2squant.report.styles import nth
from s2squant.report.tables import Column, Grid, grid
from s2squant.report.templating import assets, fill


def render_experiment(
    page: ExperimentPage, *, single_file: bool = False, runs: str = ""
) -> Iterator[tuple[str, bytes]]:
    """An experiment's page as (relative path, content): index.html and assets/; equal pages give equal bytes.

    `single_file` puts styles and scripts inside index.html and yields nothing else. `runs` leads to the list of all
    runs, where there is one.
    """
    if not single_file:
        yield from assets()
    shown = [_section(section, place) for place, section in enumerate(page.sections, 1)]
    values = {"page": page, "sections": shown}
    yield "index.html", fill("experiment.html.j2", values, single_file=single_file, runs=runs)


def _section(section: Section, place: int) -> dict[str, Any]:
    name = f"s{place}"
    charts = [lines_chart(f"{name}-{i}", lines) for i, lines in enumerate(section.lines, 1)]
    pairs = [(chart, lines.caption) for chart, lines in zip(charts, section.lines, strict=True)]
    if section.heatmap is not None:
        pairs.append((heatmap_chart(f"{name}-map", section.heatmap), section.heatmap.caption))
    return {"id": name, "section": section, "charts": pairs, "grid": _grid(section, name)}


def lines_chart(id: str, lines: Lines) -> Chart:
    """Lines over common axes, each in the colour of its model where its name is one, otherwise by its place."""
    traces: list[Trace] = []
    for place, (name, (x, y)) in enumerate(lines.series.items()):
        values = np.asarray(x)
        across: list[Any] = days(values) if values.dtype.kind == "M" else values.tolist()
        look = nth(name, place)
        if name in lines.bands:
            low, high = (numbers(np.asarray(side, dtype=float), 4) for side in lines.bands[name])
            traces.append(band(across, low, high, f"@{look.colour}/0.16", name))
        trace = line(name, across, numbers(np.asarray(y, dtype=float)), look=look)
        if lines.markers:
            trace |= {"mode": "markers", "marker": {"color": f"@{look.colour}", "size": 7, "symbol": look.symbol}}
        elif len(across) == 1:
            trace |= {"mode": "lines+markers"}
        traces.append(trace)
    if not traces:
        return absent(id, lines.title, "it has no line.")
    layout = {
        "hovermode": "closest" if lines.markers else "x unified",
        "xaxis": axis(lines.x_label),
        "yaxis": axis(lines.y_label, kind="log" if lines.log_y else "-"),
    }
    return Chart(id, lines.title, tuple(traces), layout)


def heatmap_chart(id: str, chosen: Heatmap) -> Chart:
    """A heat map of an experiment."""
    return heatmap(
        id,
        chosen.title,
        chosen.values,
        chosen.x_labels,
        chosen.y_labels,
        x_title=chosen.x_title,
        y_title=chosen.y_title,
        form=chosen.form,
    )


def _grid(section: Section, name: str) -> Grid | None:
    if section.table is None:
        return None
    columns = [Column(str(c), section.labels.get(c, ""), section.formats.get(c, "")) for c in section.table.columns]
    return grid(f"{name}-table", section.caption, section.table, columns, most=len(section.table))
