"""Forecasts of the shipped models on one panel: bank and networks fitted once, baselines refitted as the walk goes on.

Shared by the benchmarks of skill; everything comes from the package's default settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.models import BASELINES, MODELS, ModelName, kind_of
from s2squant.evaluation.losses import score
from s2squant.evaluation.verdict import Judgement, judge
from s2squant.forecasters.anchor import FittedAnchor
from s2squant.forecasters.catalog import make
from s2squant.forecasters.fitting import fit_models
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.runs.collect import combine
from s2squant.series.arrays import Dates, Ints
from s2squant.series.forecast import Fitted, Forecast
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Panel

HORIZON, EVERY, REFIT = 20, 10, 250
RIVAL: ModelName = "gjr_shrunk"
OURS: tuple[ModelName, ...] = ("anchor", "seq2seq_per_ticker", "seq2seq_pooled")


def shipped(*baselines: ModelName, seed: int = 0) -> Experiment:
    """The default experiment with these baselines beside the blend and its members."""
    wanted = {RIVAL, *baselines, *OURS, "blend"}
    models = tuple(m for m in MODELS if m in wanted)
    default = Experiment(seed=seed)
    forecasters = default.forecasters.model_copy(update={"models": models})
    return default.model_copy(update={"forecasters": forecasters})


def cutoffs_between(panel: Panel, after: np.datetime64, until: np.datetime64 | None = None) -> Dates:
    """Every tenth date after `after` whose horizon ends by `until`, or with the panel."""
    days = panel.calendar_dates()
    first = int(np.searchsorted(days, after, side="right"))
    last = len(days) if until is None else int(np.searchsorted(days, until, side="right"))
    return days[first : last - HORIZON : EVERY]


def table(
    panel: Panel,
    fit_to: np.datetime64,
    cutoffs: Dates,
    experiment: Experiment,
    said: Callable[[str, float], None] = lambda _name, _seconds: None,
) -> pd.DataFrame:
    """The long table of all models, blended and recalibrated; `said` hears each model's CPU seconds."""
    settings, past = experiment.forecasters, panel.until(fit_to)
    origins = np.arange(len(past.dates))
    warm = past.bar_number(origins) >= settings.anchor.warmup
    rows = origins[warm & (past.bars_left(origins) >= HORIZON)]
    test = np.flatnonzero(np.isin(panel.dates, cutoffs))
    learnt = [panel.tickers.index(past.tickers[m]) for m in np.unique(past.ticker_of[rows])]
    test = test[np.isin(panel.ticker_of[test], learnt)]
    forecasts: list[Forecast] = []
    anchor: FittedAnchor | None = None
    for name in settings.models:
        start = time.process_time()
        if name in BASELINES:
            forecasts.append(refitted(name, experiment, panel, test, cutoffs))
        elif name != "blend":
            market: dict[ModelName, Fitted] = {} if anchor is None else {"anchor": anchor}
            made = fit_models([name], settings, past, rows, horizon=HORIZON, seed=experiment.seed, market=market)
            fitted = next(iter(made))[1]
            if isinstance(fitted, FittedAnchor):
                anchor = fitted
            forecasts.append(fitted.predict(panel, test))
        said(name, time.process_time() - start)
    sessions = {h.ticker: next_sessions(h.calendar, h.dates[-1], HORIZON) for h in panel.histories}
    frame = pd.concat([to_frame(panel, f, sessions) for f in forecasts], ignore_index=True)
    return combine(frame, experiment, dict.fromkeys(panel.tickers, panel.market))[0]


def refitted(name: ModelName, experiment: Experiment, panel: Panel, test: Ints, cutoffs: Dates) -> Forecast:
    """A baseline's forecast with a refit every REFIT bars."""
    parts = []
    for block in np.array_split(cutoffs, range(REFIT // EVERY, len(cutoffs), REFIT // EVERY)):
        past = panel.until(block[0])
        everything = np.arange(len(past.dates))
        model = make(name, experiment.forecasters).fit(past, everything, horizon=HORIZON, seed=experiment.seed)
        parts.append(model.predict(panel, test[np.isin(panel.dates[test], block)]))
    rows = np.concatenate([p.rows for p in parts])
    order = np.argsort(rows)
    quantiles = np.concatenate([p.quantiles_NHQ for p in parts])[order]
    return Forecast(name, rows[order], quantiles, np.concatenate([p.mean_NH for p in parts])[order])


def judged(frame: pd.DataFrame, experiment: Experiment, panel: Panel, reference: ModelName) -> Judgement:
    """The run's own verdict of a table against any reference."""
    losses = score(frame)
    spec = experiment.verdict.model_copy(update={"reference": reference})
    kinds = {m: kind_of(m, reference) for m in losses.models}
    markets = dict.fromkeys(losses.tickers, panel.market)
    return judge(losses, every=EVERY, horizon=HORIZON, spec=spec, kinds=kinds, markets=markets)
