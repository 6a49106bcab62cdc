"""Forecasts of fitted models, from the last bar of each ticker or from earlier ones, as the long table of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.models import Forecasters, ModelName, is_own
from s2squant.estimator.fits import Fits, bars_served, without_failed
from s2squant.estimator.keywords import warn
from s2squant.forecasters.blend import blend
from s2squant.forecasters.fitting import MARKET_MODELS, note_failure
from s2squant.forecasters.own_model import FittedOwn
from s2squant.forecasters.pretrained import FittedPretrained, Pretrained
from s2squant.prices.calendars.grid import next_bars
from s2squant.runs.engines.worker import as_a_worker
from s2squant.series.arrays import Dates, Ints
from s2squant.series.forecast import Fitted, Forecast
from s2squant.series.long_table import KEYS, to_frame, together
from s2squant.series.panel import Panel
from s2squant.series.windows import last_rows

FitsOf = Mapping[tuple[ModelName, str], Fitted]
Origins = Callable[[Panel], Ints]
"""The rows of a panel that are forecast from."""


def with_pretrained(fits: Fits, panels: Sequence[Panel], experiment: Experiment) -> Fits:
    """The fits, and the pretrained model of each market that had none, where it is one of the models."""
    models, horizon, seed = experiment.forecasters, experiment.walk.horizon, experiment.seed
    if "pretrained" not in models.models:
        return fits
    new = {panel.market: panel for panel in panels if ("pretrained", panel.market) not in fits}
    forecaster, none = Pretrained(models.pretrained), np.arange(0)
    return fits | {("pretrained", m): forecaster.fit(p, none, horizon=horizon, seed=seed) for m, p in new.items()}


def forecasts(
    panel: Panel, fits: FitsOf, models: Forecasters, failed: dict[str, str], origins: Origins = last_rows
) -> Iterator[tuple[Panel, Forecast]]:
    """Each fitted model's forecast from the last bar of each ticker, or other origins, beside the panel of its rows.

    A ticker that was not fitted has those of the market's models that can serve it. A model of the user's own that
    fails is entered into `failed`.
    """
    for (name, owner), fitted in fits.items():
        if name in MARKET_MODELS and owner == panel.market:
            rows = origins(panel)
            rows = rows[panel.bar_number(rows) + 1 >= bars_served(name, models)]
            if isinstance(fitted, FittedPretrained):
                served = np.array([h.asset_class in fitted.weights for h in panel.histories])
                rows = rows[served[panel.ticker_of[rows]]]
            if len(rows):
                yield panel, fitted.predict(panel, rows)
        elif name not in MARKET_MODELS and owner in panel.tickers:
            alone = panel.only(owner)
            if len(rows := origins(alone)) == 0:
                continue
            try:
                yield alone, fitted.predict(alone, rows)
            except Exception as error:  # whatever a user's code raises
                if not isinstance(fitted, FittedOwn):
                    raise
                note_failure(failed, owner, name, error)


def sessions_ahead(panel: Panel, horizon: int) -> dict[str, Dates]:
    """Each ticker's sessions after its last bar."""
    return {h.ticker: next_bars(h.calendar, h.dates[-1], horizon) for h in panel.histories}


def forecast_table(
    panel: Panel, fits: FitsOf, experiment: Experiment, origins: Origins = last_rows, *, steps: int = 0
) -> pd.DataFrame:
    """The newest forecasts, or those of other origins, as the long table of files with the blend's; perhaps empty.

    Own models that fail are warned of. Of the newest none has matured yet, so the blend has the weights that it begins
    with, and networks have none in it. Of as many steps as the fits have, `steps` where some go beyond the horizon.
    """
    models, markets = experiment.forecasters, dict.fromkeys(panel.tickers, panel.market)
    sessions = sessions_ahead(panel, max(steps, experiment.walk.horizon))
    failed: dict[str, str] = {}
    with as_a_worker():
        drawn = forecasts(panel, fits, models, failed, origins)
        parts = [to_frame(part, forecast, sessions) for part, forecast in drawn]
    if failed:
        warn("left out: " + "; ".join(f"{name}: {why}" for name, why in failed.items()))
        models = without_failed({}, experiment, failed)[1].forecasters
    if not parts:
        return pd.DataFrame(columns=["model", *KEYS, "y"])
    table = together(parts)
    table = table[~table["model"].isin(failed)] if failed else table
    if "blend" not in models.models:
        return table
    blended, within = [table], table[table["step"] <= experiment.walk.horizon]
    for have, rows in within.groupby(_models_of(within), sort=False):
        members = tuple(m for m in models.blending.members if m in have)
        if "anchor" in have:
            blended.append(blend(rows, models.blending.model_copy(update={"members": members}), markets)[0])
    return together(blended)


def _models_of(table: pd.DataFrame) -> pd.Series:
    """The models that forecast the ticker of each row."""
    have = {ticker: frozenset(rows) for ticker, rows in table.groupby("unique_id")["model"]}
    return table["unique_id"].map(have)


def columns_of(models: Forecasters, table: pd.DataFrame) -> list[ModelName]:
    """The models that have columns: all but a user's own that failed."""
    present = set(table["model"])
    return [m for m in models.models if m in present or not is_own(m)]
