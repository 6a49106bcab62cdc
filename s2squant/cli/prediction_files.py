"""A prediction for other programs: plain values, and a table of every step and quantile in prices."""

from __future__ import annotations

import csv
import io
from typing import Any

from s2squant.files import guarded, json_values
from s2squant.predict import Prediction
from s2squant.series.forecast import QUANTILE_COLUMNS
from s2squant.series.outlook import RANGES, Outlook, short_history

HEAD = ("ticker", "asset_class", "cutoff", "close", "step", "date")


def as_plain(made: Prediction) -> dict[str, Any]:
    """Every ticker's steps: median, central ranges, probability of a fall, value at risk at 95 %."""
    plain: dict[str, Any] = json_values(
        {
            "source": made.source,
            "remarks": list(made.remarks),
            "tickers": {o.history.ticker: _ticker(o) for o in made.outlooks},
            "refused": dict(made.refused),
        }
    )
    return plain


def as_csv(made: Prediction) -> str:
    """One row a ticker and step, the quantiles in prices, dates as ISO has them."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*HEAD, *QUANTILE_COLUMNS])
    for o in made.outlooks:
        head = [guarded(o.history.ticker), o.history.asset_class, str(o.history.dates[-1]), f"{o.close:.10g}"]
        for step, (day, prices_Q) in enumerate(zip(o.dates_H, o.prices_HQ, strict=True), 1):
            rows.writerow([*head, step, str(day), *(f"{price:.8g}" for price in prices_Q)])
    return text.getvalue()


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
            }
            for step, day in enumerate(o.dates_H, 1)
        ],
    }
