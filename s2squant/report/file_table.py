"""Files section of a report: what each file of a run's folder is, and the newest forecast in prices as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from s2squant.files import guarded
from s2squant.report.fan_charts import Fan
from s2squant.report.panels import Panel
from s2squant.report.study_view import NEWEST, Contents, where
from s2squant.report.tables import Column, grid
from s2squant.series.long_table import FREE_RUNNING
from s2squant.series.tails import ALL_COLUMNS, all_quantiles

FORECAST = "forecast.csv"
"""The newest forecast of the recommended model, in prices."""

ABOUT = (
    ("forecasts", "forecasts.parquet", "every forecast of every model, as cumulative log returns, with its outcome y"),
    ("scores", "scores.parquet", "losses of each model, ticker, cutoff and step"),
    ("verdicts", "verdicts.parquet", "every test of the verdict"),
    ("risk", "risk.parquet", "value at risk and expected shortfall, counted and tested; docs/risk.md"),
    ("equity", "equity.parquet", "positions, costs and growth of the trading rule, bar by bar"),
    ("risk", "risk.parquet", "value at risk: exceedances, their tests, expected shortfall, by model and ticker"),
)
OTHERS = (
    (FORECAST, "the newest forecast of the recommended model, in prices: a row a ticker and step"),
    ("prices.parquet", "all bars that the run read"),
    ("tables/", "every table of these pages, a parquet file each"),
    ("models/", "what was fitted: safetensors with JSON inside"),
    ("experiment.json", "every setting; itself an input to s2squant backtest"),
    ("manifest.json", "status, tickers with reasons, versions, hashes, timings"),
)
COLUMNS = (
    Column("file", "File", "text"),
    Column("holds", "What it holds", "wide"),
    Column("rows", "Rows", ",d"),
    Column("columns", "Columns", ",d"),
)


def files(c: Contents) -> Panel:
    """Files of the run's folder."""
    known = [
        {"file": name, "holds": holds, "rows": c.study.rows.get(field), "columns": len(getattr(c.study, field).columns)}
        for field, name, holds in ABOUT
    ]
    rest = [{"file": name, "holds": holds, "rows": None, "columns": None} for name, holds in OTHERS]
    table = pd.DataFrame([*rest[:1], *known, *rest[1:]]).astype({"rows": "Float64", "columns": "Float64"})
    say = "All of it lies in the run’s folder; pandas.read_parquet reads the tables."
    shown = grid("file-table", "Files of this run’s folder", table, COLUMNS)
    return Panel("files", "Files", "Files to take away", say, grids=(shown,))


def forecast_csv(c: Contents, fans: Mapping[str, Fan]) -> bytes:
    """The newest forecast of the recommended model in prices: unique_id, cutoff, close, step, date, then quantiles.

    Where it goes beyond the steps that were trained, `free_running` is true there.
    """
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    free = any(fan.trained_steps for fan in fans.values())
    marked = [FREE_RUNNING] if free else []
    out.writerow(["unique_id", "cutoff", "close", "step", "date", *ALL_COLUMNS, *marked])
    for ticker, fan in fans.items():
        newest = where(c.of(NEWEST, ticker), {"model": c.recommended}).sort_values("step", kind="stable")
        close = float(fan.quantiles_HQ[0, 0])
        head = [guarded(ticker), str(fan.dates[0]), figure(close)]
        for step, levels_A in enumerate(close * np.exp(all_quantiles(newest)), 1):
            beyond = [str(fan.trained_steps is not None and step > fan.trained_steps).lower()] if free else []
            out.writerow([*head, step, str(fan.dates[step]), *figures(levels_A), *beyond])
    return text.getvalue().encode()


def figures(values: Sequence[float]) -> list[str]:
    """Numbers to eight significant digits."""
    return [figure(value) for value in values]


def figure(value: float) -> str:
    """A number to eight significant digits."""
    return f"{value:.8g}"
