"""Panels with covariates of every kind, known to the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from s2squant.config.covariates import CovariateKind
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


def with_variance(
    panel: Panel, kind: CovariateKind, draw: Callable[[np.ndarray, np.random.Generator], np.ndarray]
) -> Panel:
    """The panel with one variance covariate "x", drawn for each ticker from its returns; unknown after the last bar."""
    histories = []
    for m, h in enumerate(panel.histories):
        after = np.busday_offset(h.dates[-1], np.arange(1, AHEAD + 1), roll="backward")
        x = draw(np.diff(h.log_price, prepend=h.log_price[0]), np.random.default_rng(100 + m))[:, None]
        past, future = (((Covariate("x", variance=True),) if kind == k else ()) for k in ("past", "future"))
        ahead = np.concatenate([x, np.full((AHEAD, 1), np.nan)])
        own = TickerCovariates(
            past,
            future,
            (),
            x[:, : len(past)],
            np.concatenate([h.dates, after]),
            ahead[:, : len(future)],
            np.empty(0),
        )
        histories.append(replace(h, covariates=own))
    return Panel(tuple(histories))
