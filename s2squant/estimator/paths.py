"""Sample paths of prices: those that models draw themselves, ticker by ticker, and joint ones of any model.

Shape legend: M tickers, H steps, A quantile levels, S paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.experiment import Experiment
from s2squant.errors import ConfigError, SourceError, first_of
from s2squant.estimator.fits import Fits
from s2squant.estimator.forecasts import columns_of, forecast_table, forecasts, sessions_ahead, with_pretrained
from s2squant.estimator.keywords import warn
from s2squant.estimator.wide_table import paths_to_wide
from s2squant.forecasters.own_model import FittedOwn
from s2squant.runs.engines.worker import as_a_worker
from s2squant.series.arrays import Floats
from s2squant.series.joint_paths import joint_paths
from s2squant.series.panel import Panel
from s2squant.series.past_paths import joinable, past_paths
from s2squant.series.tails import all_quantiles


def drawn_paths(panels: Sequence[Panel], fits: Fits, experiment: Experiment, paths: int) -> pd.DataFrame:
    """Paths of the models that draw whole ones; raises ConfigError where none does, or one draws fewer."""
    parts = []
    for panel in panels:
        sessions = sessions_ahead(panel, experiment.walk.horizon)
        for ticker in panel.tickers:
            with as_a_worker():
                drawn = [f for _, f in forecasts(panel.only(ticker), fits, experiment.forecasters, {})]
            parts.append(paths_to_wide(ticker, panel, drawn, sessions[ticker], paths))
    return pd.concat(parts, ignore_index=True)


def only_of(model: str | None, table: pd.DataFrame, fits: Fits) -> pd.DataFrame:
    """The paths of one model, of all where it is None; raises ConfigError for one that has none."""
    if model is None:
        return table
    own = {fitted.inner.name: name for (name, _), fitted in fits.items() if isinstance(fitted, FittedOwn)}
    name = own.get(model, model)
    if name not in table.columns[3:]:
        raise ConfigError(f"model is {model}, which draws no paths here; those that do: {', '.join(table.columns[3:])}")
    return table[[*table.columns[:3], name]]


def joined_paths(panels: Sequence[Panel], fits: Fits, experiment: Experiment, paths: int) -> pd.DataFrame:
    """Joint paths of every model; a path is one history of all tickers and steps, the same dates for all models.

    Tickers that end earlier or share no dates are left out with a warning; raises SourceError where none is left.
    """
    fits, horizon = with_pretrained(fits, panels, experiment), experiment.walk.horizon
    histories, refused = joinable([h for panel in panels for h in panel.histories], horizon)
    whom = [f"{ticker}: {why}" for ticker, why in refused.items()]
    if not histories:
        raise SourceError(f"no ticker can be joined; {first_of(whom, 3, between='; ')}")
    if whom:
        warn(f"left out: {first_of(whom, 3, between='; ')}")
    past = past_paths(histories, horizon).known(max(h.dates[-1] for h in histories))
    order_MHW = past.order(experiment.seed)
    table = pd.concat([forecast_table(panel, fits, experiment) for panel in panels], ignore_index=True)
    drawn = {
        model: _of_model(table, model, past.tickers, order_MHW, paths, experiment.seed)
        for model in columns_of(experiment.forecasters, table)
    }
    sessions = {ticker: days for panel in panels for ticker, days in sessions_ahead(panel, horizon).items()}
    parts = []
    for history in histories:
        head = {
            "unique_id": history.ticker,
            "ds": np.tile(sessions[history.ticker].astype("datetime64[s]"), paths),
            "sample_id": np.repeat(np.arange(paths), horizon),
        }
        close = float(history.adj_close[-1])
        unknown = np.full((horizon, paths), np.nan)
        prices = {model: close * np.exp(own.get(history.ticker, unknown).T.ravel()) for model, own in drawn.items()}
        parts.append(pd.DataFrame(head | prices))
    return pd.concat(parts, ignore_index=True)


def _of_model(
    table: pd.DataFrame, model: str, tickers: Sequence[str], order_MHW: NDArray[np.int32], paths: int, seed: int
) -> dict[str, Floats]:
    """One model's joint paths (H, S) by ticker, of the tickers that it has forecast."""
    rows = table[table["model"] == model].sort_values("step", kind="stable")
    parts = {str(ticker): part for ticker, part in rows.groupby("unique_id", observed=True, sort=False)}
    place = [m for m, ticker in enumerate(tickers) if ticker in parts]
    if not place:
        return {}
    levels_MHA = np.stack([all_quantiles(parts[tickers[m]]) for m in place])
    made = joint_paths(levels_MHA, order_MHW[place], paths, seed=seed)
    return {tickers[m]: made[k].astype(np.float64) for k, m in enumerate(place)}
