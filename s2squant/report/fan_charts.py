"""Fan charts: the only drawings where cumulative log returns become prices, P[t+h] = P[t] exp(quantile)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.intervals import intraday
from s2squant.config.models import phrase
from s2squant.prices.calendars.grid import clock_name, clock_text
from s2squant.report.charts import Chart, Trace, absent, axis, band, numbers
from s2squant.report.formats import THIN, price
from s2squant.report.styles import pattern, style
from s2squant.series.arrays import Dates, Floats, date_of, dates_of
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS
from s2squant.series.history import PriceHistory
from s2squant.series.long_table import FREE_RUNNING

BEFORE = 120
"""Bars of history before the last forecast."""
BEFORE_PAST = 45
"""Bars of history before a past forecast."""
BANDS = {"95": ("q0.025", "q0.975"), "80": ("q0.100", "q0.900"), "50": ("q0.250", "q0.750")}
"""The central intervals, widest first."""
FEW_TICKS = {"nticks": 2, "tickangle": 0, "title": {"text": ""}}
OPACITY = {"95": 0.14, "80": 0.2, "50": 0.28}


@dataclass(frozen=True)
class Fan:
    """One forecast in prices, cutoff first: `dates`, `realised` (H+1,), NaN where open, and `quantiles_HQ` (H+1, Q)."""

    model: str
    dates: Dates
    quantiles_HQ: Floats
    realised: Floats
    trained_steps: int | None = None
    """The steps that the model was trained on, where the fan goes on beyond them, free running."""
    market: str = ""

    @cached_property
    def labels(self) -> list[str]:
        """The dates for people, on the exchange's clock."""
        return clock_text(self.market, self.dates)

    @property
    def is_intraday(self) -> bool:
        """Whether its bars are shorter than a day."""
        return intraday(self.market) is not None

    def path(self, column: str) -> Floats:
        """One quantile's path in prices, the cutoff's price first."""
        return self.quantiles_HQ[:, QUANTILE_COLUMNS.index(column)]

    @property
    def is_open(self) -> bool:
        """Whether no step has been realised yet."""
        return bool(np.isnan(self.realised[1:]).all())


def fan_at(table: pd.DataFrame, model: str, cutoff: pd.Timestamp, history: PriceHistory) -> Fan | None:
    """The forecast of `model` from `cutoff`; None where there is none or the history lacks that bar."""
    own = table[table["model"] == model]
    return next(iter(_fans(own, model, [cutoff], history)), None)


def _fans(own: pd.DataFrame, model: str, cutoffs: Sequence[Any], history: PriceHistory) -> list[Fan]:
    """The forecasts of one model from these cutoffs, without those that the history lacks the bar of."""
    asked, cutoff_R = np.asarray(cutoffs, "datetime64[s]"), own["cutoff"].to_numpy("datetime64[s]")
    part = own.take(np.flatnonzero(np.isin(cutoff_R, asked) & own["ds"].notna().to_numpy()))
    cutoff_R, step_R = part["cutoff"].to_numpy("datetime64[s]"), part["step"].to_numpy()
    moves_RQ, y_R = part[list(QUANTILE_COLUMNS)].to_numpy(dtype=float), part["y"].to_numpy(dtype=float)
    dates_R = dates_of(history.calendar, part["ds"])
    free_R = part[FREE_RUNNING].eq(True).to_numpy(dtype=bool) if FREE_RUNNING in part else np.zeros(len(part), bool)
    fans = []
    for cutoff in asked:
        rows_H = np.flatnonzero(cutoff_R == cutoff)
        rows_H = rows_H[np.argsort(step_R[rows_H], kind="stable")]
        bar = np.flatnonzero(history.dates == date_of(history.calendar, cutoff))
        if not len(rows_H) or not len(bar):
            continue
        start, free_H = float(history.adj_close[bar[0]]), free_R[rows_H]
        fan = Fan(
            model=model,
            dates=np.concatenate([[history.dates[bar[0]]], dates_R[rows_H]]),
            quantiles_HQ=start * np.exp(np.vstack([np.zeros(len(LEVELS)), moves_RQ[rows_H]])),
            realised=start * np.exp(np.concatenate([[0.0], y_R[rows_H]])),
            trained_steps=int((~free_H).sum()) if free_H.any() else None,
            market=history.calendar,
        )
        fans.append(fan)
    return fans


def last_fan(table: pd.DataFrame, model: str, history: PriceHistory) -> Fan | None:
    """The newest forecast of a model."""
    if table.empty:
        return None
    own = table[table["model"] == model]
    return None if own.empty else next(iter(_fans(own, model, [own["cutoff"].max()], history)), None)


def past_fans(table: pd.DataFrame, model: str, history: PriceHistory, many: int = 6) -> list[Fan]:
    """`many` evenly spaced forecasts whose whole path is known: chosen by the calendar, not by eye."""
    if table.empty:
        return []
    own = table[table["model"] == model]
    cutoffs, of_R = np.unique(own["cutoff"].to_numpy("datetime64[s]"), return_inverse=True)
    cutoffs = cutoffs[np.bincount(of_R, own["y"].isna().to_numpy()) == 0]
    if not len(cutoffs):
        return []
    places = np.unique(np.linspace(0, len(cutoffs) - 1, many).round().astype(int))
    return _fans(own, model, cutoffs[places], history)


def fan_chart(id: str, fan: Fan | None, outline: Fan | None, history: PriceHistory) -> Chart:
    """The newest forecast in prices: history, median, 50/80/95 % bands, and the reference's 95 % band as an outline."""
    title = "History and forecast in prices"
    if fan is None:
        return absent(id, title, "this ticker has no forecast.")
    traces = [*_bands(fan, ("95", "80", "50"), legend=True), _history(fan, history, BEFORE)]
    if outline is not None:
        look = style(outline.model)
        for side, column in enumerate(BANDS["95"]):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"95{THIN}% of {phrase(outline.model)}",
                    "legendgroup": "outline",
                    "showlegend": side == 0,
                    "x": outline.labels,
                    "y": numbers(outline.path(column)),
                    "line": {"color": f"@{look.colour}", "width": 1.5, "dash": pattern("dot")},
                    "hoverinfo": "skip",
                }
            )
    traces.append(_median(fan))
    layout = {
        "hovermode": "closest",
        "shapes": [_cutoff(fan)],
        "xaxis": _when(fan),
        "yaxis": axis("Adjusted close") | {"separatethousands": True},
    }
    return Chart(id, title, tuple(traces), layout, height=400)


def past_chart(id: str, fan: Fan, history: PriceHistory) -> Chart:
    """One past forecast (80 % band and median) with the path that came."""
    traces = [*_bands(fan, ("80",), legend=False), _history(fan, history, BEFORE_PAST), _median(fan), _path(fan)]
    for trace in traces:
        trace["showlegend"] = False
    layout = {
        "hovermode": "closest",
        "margin": {"l": 44, "r": 8, "t": 6, "b": 26},
        "xaxis": _when(fan) | (FEW_TICKS if fan.is_intraday else {"nticks": 4, "tickformat": _months(fan)}),
        "yaxis": axis("") | {"nticks": 5, "separatethousands": True},
    }
    return Chart(id, f"Forecast of {fan.labels[0]} and what came", tuple(traces), layout, height=210)


def fan_rows(fan: Fan) -> list[tuple[int, str, list[str]]]:
    """The newest forecast as a table: step, date, and prices from the lowest bound to the highest."""
    columns = ("q0.025", "q0.100", "q0.250", "q0.500", "q0.750", "q0.900", "q0.975")
    return [
        (step, fan.labels[step], [price(float(fan.path(column)[step])) for column in columns])
        for step in range(1, len(fan.dates))
    ]


def _when(fan: Fan) -> dict[str, Any]:
    """The axis of time; bars within the day stand side by side, without the nights."""
    if not fan.is_intraday:
        return axis("", kind="date")
    return axis(clock_name(fan.market), kind="category") | {"categoryorder": "category ascending", "nticks": 6}


def _moment(fan: Fan) -> str:
    return "%{x}" if fan.is_intraday else "%{x|%Y-%m-%d}"


def _months(fan: Fan) -> str:
    return "%b %Y" if len(fan.dates) > 60 else "%d %b"


def _cutoff(fan: Fan) -> dict[str, Any]:
    """A dotted line at the cutoff: left of it history, right of it forecast."""
    day = fan.labels[0]
    place = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": day, "x1": day}
    return place | {"line": {"color": "@ink-2", "width": 1, "dash": "dot"}, "layer": "below"}


def _bands(fan: Fan, levels: Sequence[str], *, legend: bool) -> list[Trace]:
    x, colour = fan.labels, style(fan.model).colour
    return [
        band(x, numbers(fan.path(low)), numbers(fan.path(high)), f"@{colour}/{OPACITY[level]}", f"band{level}")
        | {"name": f"{level}{THIN}% band", "showlegend": legend}
        for level in levels
        for low, high in (BANDS[level],)
    ]


def _history(fan: Fan, history: PriceHistory, before: int) -> Trace:
    end = int(np.searchsorted(history.dates, fan.dates[0]))
    part = slice(max(end - before, 0), end + 1)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Adjusted close",
        "legendgroup": "history",
        "showlegend": True,
        "x": clock_text(history.calendar, history.dates[part]),
        "y": numbers(history.adj_close[part], 6),
        "line": {"color": "@ink", "width": 1.6},
        "hovertemplate": f"{_moment(fan)}: %{{y}}<extra></extra>",
    }


def _median(fan: Fan) -> Trace:
    spans = zip(fan.path("q0.100"), fan.path("q0.900"), strict=True)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"Median of {phrase(fan.model)}",
        "legendgroup": "median",
        "legendrank": 1,
        "showlegend": True,
        "x": fan.labels,
        "y": numbers(fan.path("q0.500")),
        "text": [f"80{THIN}%: {price(float(low))} to {price(float(high))}" for low, high in spans],
        "line": {"color": f"@{style(fan.model).colour}", "width": 2.6, "dash": "solid"},
        "hovertemplate": f"{_moment(fan)}: median %{{y}}<br>%{{text}}<extra></extra>",
    }


def _path(fan: Fan) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "What came",
        "x": fan.labels,
        "y": numbers(fan.realised),
        "line": {"color": "@m-vermillion", "width": 2, "dash": pattern("dash")},
        "hovertemplate": f"{_moment(fan)}: %{{y}}<extra></extra>",
    }
