"""Walk-forward cross-validation: every model's forecasts from the last cutoffs of a long frame."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from s2squant.config.experiment import Experiment
from s2squant.estimator.frames import load_frame, warn_left_out
from s2squant.estimator.wide_table import to_wide
from s2squant.forecasters.blend import with_blend
from s2squant.runs.collect import collect, reports_after
from s2squant.runs.engines.choose import make_pool
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, stages_of
from s2squant.runs.plan import make_plan
from s2squant.runs.runner import JobRunner
from s2squant.series.arrays import table_dates


def cross_validate(
    df: object, static_df: object, experiment: Experiment, edges: Mapping[str, float], workers: int
) -> Any:
    """The wide table of the forecasts from the cutoffs that `experiment.walk` asks for, as far as their prices came.

    Warns of the tickers left out.
    """
    keys, loaded = load_frame(df, experiment, static_df=static_df)
    plan = make_plan(experiment, loaded)
    with tempfile.TemporaryDirectory(prefix="s2squant-") as folder:
        inputs = Inputs(experiment, plan.panels, plan.folds, plan.sessions, RunFolder(Path(folder)))
        start_pool = partial(make_pool, "local", inputs)
        with JobRunner(inputs.folder, stages_of(inputs), workers, start_pool) as runner:
            for _ in runner.execute_stages():
                pass
            collected = collect(inputs, runner)
            reports = reports_after(plan.tickers, runner)
    failed, forecasts = collected.failed_models, collected.forecasts
    settings = experiment.forecasters.without(failed)
    left_out = {report.ticker: report.reason for report in reports if report.status != "ok"}
    warn_left_out(left_out | dict(failed), everything=not settings.models)
    calendar = inputs.markets
    forecasts, _ = with_blend(forecasts, settings, calendar)
    asked = {market: {day for fold in folds for day in fold.cutoffs} for market, folds in plan.folds.items()}
    days = table_dates(forecasts["cutoff"])
    is_asked = [day in asked[calendar[t]] for t, day in zip(forecasts["unique_id"], days, strict=True)]
    scored = forecasts[np.array(is_asked) & forecasts["y"].notna().to_numpy()]
    return keys.back(to_wide(scored, plan.panels.values(), settings.models, edges))
