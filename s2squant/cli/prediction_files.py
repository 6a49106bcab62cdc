"""A prediction for other programs: plain values, and a table of every step and quantile in prices."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pandas as pd

from s2squant.evaluation.statistics.expected_shortfall import expected_loss
from s2squant.files import guarded, json_values
from s2squant.predict import Held, Joined, Prediction
from s2squant.series.joint_paths import paths_table
from s2squant.series.outlook import RANGES, Outlook, short_history
from s2squant.series.tails import ALL_COLUMNS

HEAD = ("ticker", "asset_class", "cutoff", "close", "step", "date")


def as_plain(made: Prediction, whole: Held | None = None) -> dict[str, Any]:
    """Every ticker's steps: median, central ranges, probability of a fall, value at risk at 95 %."""
    plain: dict[str, Any] = json_values(
        {
            "source": made.source,
            "remarks": list(made.remarks),
            "tickers": {o.history.ticker: _ticker(o) for o in made.outlooks},
            "refused": dict(made.refused),
        }
        | ({} if whole is None else {"portfolio": _portfolio(whole)})
    )
    return plain


def _portfolio(whole: Held) -> dict[str, Any]:
    steps, tickers = (table.to_dict("records") for table in (whole.outlook, whole.parts))
    return {"steps": steps, "tickers": tickers, "refused": dict(whole.refused)}


def as_csv(made: Prediction) -> str:
    """One row a ticker and step, the quantiles in prices, dates as ISO has them."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*HEAD, *ALL_COLUMNS])
    for o in made.outlooks:
        head = [guarded(o.history.ticker), o.history.asset_class, str(o.history.dates[-1]), f"{o.close:.10g}"]
        for step, (day, levels_A) in enumerate(zip(o.dates_H, o.levels_HA, strict=True), 1):
            rows.writerow([*head, step, str(day), *(f"{price:.8g}" for price in o.close * np.exp(levels_A))])
    return text.getvalue()


def as_parquet(drawn: Joined) -> bytes:
    """A row a ticker and path: unique_id, sample_id, cutoff, close, then the cumulative log return of each step.

    The same sample_id is the same history of all tickers.
    """
    parts = [
        paths_table(o.history.ticker, o.history.dates[-1], o.close, paths_HS)
        for o, paths_HS in zip(drawn.outlooks, drawn.paths_MHS, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True).astype({"unique_id": "category"})
    content: bytes = table.to_parquet(index=False)
    return content


def _ticker(o: Outlook) -> dict[str, Any]:
    history = o.history
    return {
        "asset_class": history.asset_class,
        "asset_class_guessed": history.declared_class is None,
        "calendar": history.calendar,
        "bars": len(history),
        "cutoff": str(history.dates[-1]),
        "close": o.close,
        "short_history": short_history(o),
        "notes": list(history.notes),
        "warnings": [f"{f.name}: {f.text}" for f in history.findings if f.severity == "warning"],
        "steps": [
            {
                "step": step,
                "date": str(day),
                "median": o.price(step, 0.5),
                "ranges": {str(percent): list(o.range(step, percent)) for percent in RANGES},
                "probability_of_fall": o.fall(step),
                "value_at_risk_95": o.value_at_risk(step),
                "value_at_risk_99": o.value_at_risk(step, 0.01),
                "expected_shortfall_95": float(expected_loss(o.levels_HA, 0.05)[step - 1]),
                "expected_shortfall_99": float(expected_loss(o.levels_HA, 0.01)[step - 1]),
            }
            for step, day in enumerate(o.dates_H, 1)
        ],
    }
