"""Newcomers of a backtest: listings too young for a fit at the first cutoff, forecast by the pretrained weights.

They stand beside the run: no other model speaks of them, so no comparison counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from s2squant.evaluation.results import TickerReport
from s2squant.forecasters.pretrained import LEAST_BARS, NAME, excluded
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.runs.engines.worker import as_a_worker
from s2squant.runs.jobs import Inputs, forecast_rows, load_fitted
from s2squant.series.history import PriceHistory
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Panel


@as_a_worker()
def newcomers(inputs: Inputs, left_out: Sequence[PriceHistory]) -> pd.DataFrame:
    """The pretrained forecasts of tickers that were left out, at every cutoff with LEAST_BARS bars behind it.

    Columns as `forecasts` of Study, the forecast of tomorrow included; without rows where there is none.
    """
    experiment, parts = inputs.experiment, [pd.DataFrame(columns=["unique_id"])]
    walk = experiment.walk
    for history in left_out if NAME in experiment.forecasters.models else ():
        if history.calendar not in inputs.panels or excluded(history, experiment.forecasters, walk.horizon):
            continue
        market = history.calendar
        panel = Panel((history,), inputs.panels[market])
        sessions = {history.ticker: next_sessions(market, history.dates[-1], walk.horizon)}
        folds = inputs.folds[market]
        for fold in folds:
            rows = forecast_rows(panel, folds, fold)
            rows = rows[panel.bar_number(rows) + 1 >= LEAST_BARS]
            if len(rows):
                forecast = load_fitted(inputs, NAME, market, fold).predict(panel, rows)
                parts.append(to_frame(panel, forecast, sessions))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def told(reports: Sequence[TickerReport], table: pd.DataFrame) -> tuple[TickerReport, ...]:
    """The reports, in the reason of each newcomer how often it was forecast, and the share its 80 % bands held."""
    rows = dict(list(table.groupby("unique_id", sort=False))) if len(table) else {}
    return tuple(
        replace(report, reason=f"{report.reason}; {_word(rows[report.ticker])}") if report.ticker in rows else report
        for report in reports
    )


def _word(rows: pd.DataFrame) -> str:
    known = rows[rows["y"].notna()]
    text = f"forecast by the pretrained weights from {rows['cutoff'].nunique()} cutoffs, beside the comparison"
    if known.empty:
        return text
    held = ((known["y"] >= known["q0.100"]) & (known["y"] <= known["q0.900"])).mean()
    return f"{text}: their 80 % bands held {100 * float(np.asarray(held)):.0f} % of {len(known)} outcomes"
