"""Panels with covariates of every kind, known to the test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

PAST = (Covariate("fear", variance=True), Covariate("mood"))
FUTURE = (Covariate("weekday"), Covariate("event"))
STATIC = (Covariate("sector", categories=("bank", "oil")), Covariate("size"))
AHEAD = 30
"""Scheduled sessions after the last bar."""


def of_every_kind(history: PriceHistory, seed: int = 0) -> PriceHistory:
    """The history with two covariates of every kind, drawn; one bar of `mood` is missing."""
    rng = np.random.default_rng(seed)
    after = np.busday_offset(history.dates[-1], np.arange(1, AHEAD + 1), roll="backward")
    days = np.concatenate([history.dates, after])
    past = np.stack([rng.exponential(1e-4, len(history)), rng.normal(size=len(history))], axis=1)
    past[7, 1] = np.nan
    weekday = (days.astype("int64") + 3) % 7
    future = np.stack([weekday, rng.random(len(days)) < 0.05], axis=1).astype(float)
    static = np.array([float(rng.integers(2)), rng.normal()])
    return replace(history, covariates=TickerCovariates(PAST, FUTURE, STATIC, past, days, future, static))


def with_every_kind(panel: Panel, seed: int = 0) -> Panel:
    """The panel with two covariates of every kind for each ticker."""
    return Panel(tuple(of_every_kind(h, seed + m) for m, h in enumerate(panel.histories)))
