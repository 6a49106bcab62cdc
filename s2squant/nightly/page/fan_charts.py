"""Fan charts of a night: tonight's forecast in prices, last night's ghosted behind it."""

from __future__ import annotations

from dataclasses import replace

from s2squant.nightly.page.rows import Tonight, TonightRow
from s2squant.nightly.results import Night, before_of
from s2squant.report.charts import Chart, Trace, absent, axis, line, numbers
from s2squant.report.fan_charts import BANDS, FEW_TICKS, fan_at, fan_chart
from s2squant.report.styles import Style

MOST_FANS = 12
MOST_OTHERS = 60


def flagged_fans(night: Night, shown: Tonight) -> tuple[tuple[Chart, str], ...]:
    """The fan of every flagged ticker, at most MOST_FANS."""
    return tuple(_fan(night, shown, row, f"flag-{i}") for i, row in enumerate(shown.flagged[:MOST_FANS]))


def other_fans(night: Night, shown: Tonight) -> tuple[tuple[Chart, str], ...]:
    """The fans of the others, drawn when they are opened."""
    drawn = {row.ticker for row in shown.flagged[:MOST_FANS]}
    rest = [row for row in shown.rows if row.ticker not in drawn][:MOST_OTHERS]
    return tuple(_fan(night, shown, row, f"fan-{i}") for i, row in enumerate(rest))


def _fan(night: Night, shown: Tonight, row: TonightRow, id: str) -> tuple[Chart, str]:
    """Tonight's fan with last night's ghosted, and why it is shown."""
    history, table = night.histories.get(row.ticker), shown.forecasts[row.ticker]
    why = "; ".join(text for _, text in row.flags)
    if history is None:
        return absent(id, row.ticker, f"the prices of {row.ticker} are not at hand."), why
    fan = fan_at(table, shown.model, table["cutoff"].max(), history)
    chart = fan_chart(id, fan, None, history)
    if chart.reason or fan is None:
        return replace(chart, label=row.ticker), why
    traces = [t for t in chart.traces if t.get("legendgroup") != "band50"]
    before = shown.before.get(row.ticker)
    ghost = fan_at(table, shown.model, before, history) if before is not None else None
    if ghost is not None:
        traces[-1:-1] = [
            _ghost(before_of(night), ghost.labels, numbers(ghost.path(q))) for q in (*BANDS["80"], "q0.500")
        ]
    for trace in traces:
        trace["showlegend"] = False
    by_day = axis("", kind="date") | {"nticks": 5, "tickformat": "%d %b"}
    layout = {
        "hovermode": "closest",
        "margin": {"l": 48, "r": 8, "t": 6, "b": 26},
        "xaxis": (chart.layout or {})["xaxis"] | FEW_TICKS if fan.is_intraday else by_day,
        "yaxis": axis("") | {"nticks": 5, "separatethousands": True},
    }
    return Chart(id, row.ticker, tuple(traces), layout, height=230), why


def _ghost(name: str, x: list[str], y: list[float | None]) -> Trace:
    drawn = line(name, x, y, look=Style(name, "m-vermillion", "dot")) | {"hoverinfo": "skip"}
    drawn["line"]["width"] = 1.3
    return drawn
