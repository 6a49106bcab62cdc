"""The figures of skill, calibration, equity and training: records in, charts out; nothing is estimated here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from s2squant.errors import shorten
from s2squant.report.charts import (
    Chart,
    Trace,
    absent,
    axis,
    band,
    broken,
    days,
    drawn,
    line,
    numbers,
    ordered,
    plain,
    thinned,
)
from s2squant.report.formats import THIN, interval, known, skill
from s2squant.report.study_view import Row, by
from s2squant.report.styles import WORDS, label, style

MOST_NAMES = 60
"""Tickers named along an axis."""
MARKS = {"better": "triangle-up", "no evidence": "circle-open", "worse": "triangle-down"}


def skill_by_step(id: str, table: pd.DataFrame, models: Sequence[str], strong: str, reference: str) -> Chart:
    """Relative CRPS skill at each step, a line per model, with the interval of `strong` where the table holds one."""
    title = "Skill against the reference by forecast step"
    parts = by(table, "model")
    traces: list[Trace] = []
    for model in _ordered(models, parts, strong):
        part = ordered(parts[model], "step")
        x, y = [int(s) for s in part["step"]], numbers(part["skill"], 4)
        if model == strong and {"low", "high"} <= set(part.columns) and part["low"].notna().all():
            colour = f"@{style(model).colour}/0.16"
            traces.append(band(x, numbers(part["low"], 4), numbers(part["high"], 4), colour, model))
        name = f"{label(model)} (reference)" if model == reference else ""
        traces.append(line(model, x, y, strong=model == strong, name=name) | {"hovertemplate": "%{y:+.2%}"})
    layout = {"xaxis": axis("Sessions ahead"), "yaxis": axis("CRPS skill", ".1%")}
    return drawn(id, title, traces, layout, missing="no scores by step were recorded.", height=400)


def _ordered(models: Sequence[str], parts: Mapping[str, pd.DataFrame], strong: str) -> list[str]:
    """The models there are, the strong one last so that it is drawn on top."""
    return [m for m in models if m in parts and m != strong] + ([strong] if strong in parts else [])


def caterpillar(id: str, verdicts: Sequence[Row]) -> Chart:
    """Skill of the recommended model on every ticker with its interval, best on top; the marker is the verdict."""
    title = "Skill by ticker with its interval, sorted"
    shown = sorted((r for r in verdicts if known(r["skill"])), key=lambda r: float(r["skill"]))
    if not shown:
        return absent(id, title, "no ticker has a scored forecast.")
    traces: list[Trace] = []
    for word, (css, text, _) in WORDS.items():
        places = [i for i, r in enumerate(shown) if r["word"] == word]
        part = [shown[i] for i in places]
        if not part:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": text,
                "legendgroup": css,
                "showlegend": True,
                "x": numbers((r["skill"] for r in part), 4),
                "y": places,
                "text": [plain(f"{r['unique_id']}: {skill(r['skill'])} {interval(r['low'], r['high'])}") for r in part],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"symbol": MARKS[word], "size": 9, "color": f"@w-{css}", "line": {"color": f"@w-{css}"}},
                "error_x": reach(
                    numbers((r["high"] - r["skill"] for r in part), 4),
                    numbers((r["skill"] - r["low"] for r in part), 4),
                    f"@w-{css}",
                ),
            }
        )
    layout = skill_by_ticker([str(r["unique_id"]) for r in shown], ".0%")
    return Chart(id, title, tuple(traces), layout, height=90 + 22 * min(len(shown), MOST_NAMES))


def reach(above: Sequence[float | None], below: Sequence[float | None], colour: str) -> dict[str, Any]:
    """The whisker of points along x."""
    ends = {"array": above, "arrayminus": below}
    return {"type": "data", "symmetric": False, **ends, "thickness": 1.4, "width": 0, "color": colour}


def skill_by_ticker(tickers: Sequence[str], form: str) -> dict[str, Any]:
    """The layout of skill by ticker, the last one on top; of many tickers every so many is named."""
    every = 1 + (len(tickers) - 1) // MOST_NAMES
    ticks = list(range(len(tickers) - 1, -1, -every))
    names = [plain(shorten(tickers[i], 16)) for i in ticks]
    return {
        "hovermode": "closest",
        "xaxis": axis("CRPS skill against the reference", form) | {"zeroline": True},
        "yaxis": {"tickvals": ticks, "ticktext": names, "range": [-0.8, len(tickers) - 0.2], "showgrid": False},
    }


def over_time(id: str, table: pd.DataFrame, models: Sequence[str], strong: str) -> Chart:
    """Cumulative CRPS gained over the reference, cutoff by cutoff."""
    title = "Cumulative CRPS gained over the reference"
    traces = _paths(table, "cutoff", "cumulative", models, strong, "%{y:+.2f}")
    layout = {
        "xaxis": axis("Cutoff", kind="date"),
        "yaxis": axis("CRPS gained, % log return, summed") | {"zeroline": True},
    }
    return drawn(id, title, traces, layout, missing="no scores over time were recorded.")


def equity(id: str, table: pd.DataFrame, models: Sequence[str], strong: str) -> Chart:
    """Equity of the pre-declared rule after costs, beside buy and hold."""
    title = "Equity of the pre-declared rule after costs"
    traces = _paths(table, "date", "equity_net", models, strong, "%{y:.3f}")
    layout = {"xaxis": axis("", kind="date"), "yaxis": axis("Growth of 1, net of costs")}
    return drawn(id, title, traces, layout, missing="no positions were recorded.")


def _paths(table: pd.DataFrame, when: str, what: str, models: Sequence[str], strong: str, hover: str) -> list[Trace]:
    traces: list[Trace] = []
    parts = by(table, "model")
    for model in _ordered(models, parts, strong):
        part = thinned(parts[model], when, what)
        x, y = broken(days(part[when]), numbers(part[what], 4))
        traces.append(line(model, x, y, strong=model == strong) | {"hovertemplate": hover})
    return traces


def coverage(id: str, board: Sequence[Row], models: Sequence[str], nominal: Sequence[str]) -> Chart:
    """Share of outcomes inside each central interval, a row per model and a dotted line at each nominal level."""
    title = "Coverage of the central intervals by model"
    scored = {str(r["model"]): r for r in board}
    shown = [m for m in reversed(models) if m in scored and known(scored[m][f"coverage_{nominal[0]}"])]
    if not shown:
        return absent(id, title, "no coverage was recorded.")
    traces: list[Trace] = []
    for level, symbol in zip(nominal, ("circle", "diamond", "square"), strict=True):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{level}{THIN}% interval",
                "legendgroup": level,
                "showlegend": True,
                "x": numbers((scored[m][f"coverage_{level}"] for m in shown), 4),
                "y": [plain(label(m)) for m in shown],
                "hovertemplate": "%{y}: %{x:.1%}",
                "marker": {"symbol": symbol, "size": 10, "color": [f"@{style(m).colour}" for m in shown]},
            }
        )
    lines = [
        {
            "type": "line",
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "x0": int(level) / 100,
            "x1": int(level) / 100,
            "line": {"color": "@ink-2", "width": 1, "dash": "dot"},
            "layer": "below",
        }
        for level in nominal
    ]
    layout = {
        "hovermode": "closest",
        "shapes": lines,
        "xaxis": axis("Outcomes inside the interval", ".0%"),
        "yaxis": {"showgrid": False, "type": "category"},
    }
    return Chart(id, title, tuple(traces), layout, height=110 + 28 * len(shown))


def training(id: str, own: pd.DataFrame, pooled: pd.DataFrame) -> Chart:
    """Loss at each optimiser step; a line per model, fold and seed, later folds fainter."""
    title = "Training loss by optimiser step"
    traces: list[Trace] = []
    for model, table in (by(pooled, "model") | by(own, "model")).items():
        folds = sorted(set(table["fold"]))
        named = False
        for (fold, seed), part in table.groupby(["fold", "seed"], sort=True, observed=True):
            curve = thinned(part, "step", "loss", 120)
            opacity = round(1.0 - 0.6 * folds.index(fold) / max(len(folds) - 1, 1), 2)
            traces.append(
                line(model, [int(s) for s in curve["step"]], numbers(curve["loss"], 4))
                | {"line": {"color": f"@{style(model).colour}", "dash": style(model).pattern, "width": 1.2}}
                | {"opacity": opacity, "showlegend": not named}
                | {"hovertemplate": f"{plain(label(model))}, fold {fold}, seed {seed}: %{{y:.4f}}<extra></extra>"}
            )
            named = True
    layout = {"hovermode": "closest", "xaxis": axis("Optimiser step"), "yaxis": axis("Training loss")}
    return drawn(id, title, traces, layout, missing="no training losses were recorded.")
