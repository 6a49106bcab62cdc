"""Plots of an estimator's forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from s2squant.config.experiment import Experiment
from s2squant.config.models import ModelName, phrase
from s2squant.errors import ConfigError, first_of
from s2squant.estimator.forecasts import forecast_table
from s2squant.series.forecast import Fitted
from s2squant.series.panel import Panel

NAMED = 10


def plot_fan(
    ticker: object,
    model: str | None,
    panels: Sequence[Panel],
    fits: Mapping[tuple[ModelName, str], Fitted],
    experiment: Experiment,
) -> Any:
    """The newest forecast of one ticker as a plotly figure; `model` is the blend, or the last one, where none is named.

    Raises ConfigError for a ticker or a model that there is not.
    """
    if find_spec("plotly") is None:
        raise ConfigError("plot needs a package that is missing: pip install 's2squant[plot]'")
    from s2squant.report.fan_charts import fan_chart, last_fan  # plotly: a second that a forecast need not wait for
    from s2squant.report.figure_objects import figure_of

    holding = [panel for panel in panels if str(ticker) in panel.tickers]
    if not holding:
        known = [name for panel in panels for name in panel.tickers]
        raise ConfigError(f"plot: no ticker {ticker!r}; there are {first_of(known, NAMED)}")
    panel = holding[0].only(str(ticker))
    table = forecast_table(panel, fits, experiment)
    models = [str(name) for name in table["model"].unique()]
    chosen = model or ("blend" if "blend" in models else models[-1])
    if chosen not in models:
        raise ConfigError(f"plot: no forecast of {ticker!r} by {model!r}; there are {', '.join(models)}")
    history = panel.histories[0]
    chart = fan_chart("fan", last_fan(table, chosen, history), None, history)
    return figure_of(chart, f"{ticker}: forecast of {history.dates[-1]}, {phrase(chosen)}")
