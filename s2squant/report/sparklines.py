"""Small pictures inside tables, drawn as SVG so that they need no script."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from s2squant.report.formats import known


def _scale(value: float, low: float, high: float, size: float, pad: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(pad + min(max(share, 0.0), 1.0) * (size - 2 * pad), 1)


def sparkline(values: Sequence[float], low: float, high: float, label: str) -> Markup:
    """A line of `values` on the scale [low, high] with zero marked, 96 x 22 pixels."""
    if len(values) < 2 or not all(known(v) for v in values):
        return Markup("")
    width, height = 96.0, 22.0
    points = " ".join(
        f"{_scale(i, 0, len(values) - 1, width, 2):g},{height - _scale(v, low, high, height, 2):g}"
        for i, v in enumerate(values)
    )
    zero = height - _scale(0.0, low, high, height, 2)
    return Markup(
        '<svg class="spark" viewBox="0 0 96 22" width="96" height="22" role="img" aria-label="{}">'
        '<line class="spark-zero" x1="0" x2="96" y1="{:g}" y2="{:g}"/><polyline points="{}"/></svg>'
    ).format(label, zero, zero, escape(points))


def whisker(value: float, low: float, high: float, least: float, most: float) -> Markup:
    """An estimate with its interval on the scale [least, most] with zero marked, 120 x 16 pixels.

    Hidden from screen readers: the cell beside it says the same in figures.
    """
    if not known(value):
        return Markup("")
    x = [_scale(v if known(v) else value, least, most, 120.0, 4) for v in (low, value, high, 0.0)]
    side = "up" if known(low) and low > 0 else "down" if known(high) and high < 0 else "flat"
    return Markup(
        '<svg class="whisker {}" viewBox="0 0 120 16" width="120" height="16" aria-hidden="true">'
        '<line class="spark-zero" x1="{:g}" x2="{:g}" y1="0" y2="16"/>'
        '<line class="reach" x1="{:g}" x2="{:g}" y1="8" y2="8"/><circle cx="{:g}" cy="8" r="3.5"/></svg>'
    ).format(side, x[3], x[3], x[0], x[2], x[1])
