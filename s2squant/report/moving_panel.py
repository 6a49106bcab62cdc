"""Moving forecast of a ticker: a bar ahead of every cutoff, beside the last close, which any such line resembles."""

from __future__ import annotations

import numpy as np

from s2squant.config.models import phrase
from s2squant.report.charts import Chart, Trace, axis, band, days, line, numbers
from s2squant.report.fan_charts import OPACITY
from s2squant.report.formats import THIN
from s2squant.report.panels import Panel
from s2squant.report.study_view import Contents
from s2squant.report.styles import Style, label, style
from s2squant.series.arrays import Floats, dates_of

SHOWN = 120
"""Cutoffs drawn, the newest."""
FEWEST = 20
LATE = Style("Last close, a bar late", "m-vermillion", "dot")


def moving_forecast(c: Contents, ticker: str) -> Panel | None:
    """The recommended model's median a bar ahead, where the run forecast from every bar; else None."""
    history, every = c.study.histories.get(ticker), c.study.experiment.walk.every
    table = c.of("forecasts", ticker)
    if history is None or every != 1 or table.empty:
        return None
    first = table[(table["model"] == c.recommended) & (table["step"] == 1) & table["y"].notna()].sort_values("cutoff")
    bar_N = np.searchsorted(history.dates, dates_of(history.calendar, first["cutoff"]))
    if len(first) < FEWEST:
        return None
    last_N = history.adj_close[bar_N]
    came_N = last_N * np.exp(first["y"].to_numpy(dtype=float))
    low_N, median_N, high_N = (last_N * np.exp(first[q].to_numpy(dtype=float)) for q in ("q0.100", "q0.500", "q0.900"))
    own, naive = _missed(median_N, came_N), _missed(last_N, came_N)
    say = (
        f"The line follows the price because each point begins at the close before it. So does that close itself: on "
        f"average {phrase(c.recommended)} missed the next close by {own:.3f}{THIN}%, the last close by "
        f"{naive:.3f}{THIN}%. {_closer(own, naive)}"
    )
    shown = slice(-SHOWN, None)
    x = days(first["ds"][shown])
    look = style(c.recommended)
    traces: list[Trace] = [
        band(x, numbers(low_N[shown]), numbers(high_N[shown]), f"@{look.colour}/{OPACITY['80']}", "band"),
        line(
            c.recommended,
            x,
            numbers(median_N[shown]),
            strong=True,
            name=f"{label(c.recommended)}, a bar ahead",
            look=look,
        ),
        line("last", x, numbers(last_N[shown]), look=LATE),
        _close(x, came_N[shown]),
    ]
    layout = {"xaxis": axis("", kind="date"), "yaxis": axis("Adjusted close") | {"separatethousands": True}}
    chart = Chart("moving", "Forecasts one bar ahead, day after day", tuple(traces), layout, height=360)
    caption = f"The newest {len(x)} cutoffs; the band is {phrase(c.recommended)}'s 80{THIN}% range."
    title = "Does the moving forecast know more than the last close?"
    return Panel("moving", "Moving forecast", title, say, charts=((chart, caption),))


def _missed(said_N: Floats, came_N: Floats) -> float:
    """Mean absolute miss, % of the price."""
    return 100 * float(np.mean(np.abs(said_N / came_N - 1)))


def _closer(own: float, naive: float) -> str:
    gain = 100 * (1 - own / naive) if naive > 0 else 0.0
    if abs(gain) < 1:
        return "As points the two are the same; what the forecast adds is the band."
    return (
        f"As points that is {abs(gain):.1f}{THIN}% {'less' if gain > 0 else 'more'}; the verdict says what it is worth."
    )


def _close(x: list[str], came_N: Floats) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Close",
        "legendgroup": "close",
        "showlegend": True,
        "x": x,
        "y": numbers(came_N),
        "line": {"color": "@ink", "width": 1.4},
    }
