"""A user's own features as past covariates of a market's tickers: ridge, gbm and the networks read them as any other.

They are computed once, on all bars of the market; the leak audit of every run computes them again on fewer.

Shape legend: R rows of a panel, T bars of a ticker, P past covariates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from s2squant.config.models import Forecasters
from s2squant.errors import ConfigError, one_line
from s2squant.forecasters.leaks import Features
from s2squant.forecasters.plugins import feature
from s2squant.series.arrays import Floats
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel


def with_features(panel: Panel, settings: Forecasters) -> Panel:
    """The panel of a market with a past covariate for each column of the features; itself without any.

    Raises ConfigError, in one line, for a feature that cannot be loaded or computed, for a column of another shape than
    the panel's rows, and for one that lacks a value once a ticker has `anchor.warmup` bars.
    """
    if not settings.features:
        return panel
    bare = Panel(tuple(without_features(history, settings) for history in panel.histories))
    columns: dict[str, Floats] = {}
    for name in settings.features:
        given = _computed(name, feature(name, settings.own.get(name, {})), bare)
        columns |= {f"{name} {key}": values for key, values in given.items()}
    _check(columns, bare, settings.anchor.warmup)
    values_RP, names = np.stack(list(columns.values()), axis=1), tuple(map(Covariate, columns))
    parts = [values_RP[a:b] for a, b in zip(bare.starts[:-1], bare.starts[1:], strict=True)]
    return Panel(tuple(_with(h, names, part_TP) for h, part_TP in zip(bare.histories, parts, strict=True)))


def without_features(history: PriceHistory, settings: Forecasters) -> PriceHistory:
    """The history without the columns that `with_features` adds."""
    own = history.covariates
    if own is None:
        return history
    every = [c.name for columns in own.columns for c in columns]
    left = [name for name in every if not any(name.startswith(f"{one} ") for one in settings.features)]
    return history if left == every else replace(history, covariates=own.only(left))


def _with(history: PriceHistory, columns: tuple[Covariate, ...], values_TP: Floats) -> PriceHistory:
    known = history.covariates
    if known is None:
        none = np.empty((len(history.dates), 0))
        own = TickerCovariates(columns, (), (), values_TP, history.dates, none, np.empty(0))
    else:
        past_TP = np.concatenate([known.past_TP, values_TP], axis=1)
        own = replace(known, past=(*known.past, *columns), past_TP=past_TP)
    return replace(history, covariates=own)


def _computed(name: str, function: Features, panel: Panel) -> dict[str, Floats]:
    try:
        given = function(panel)
    except Exception as error:  # whatever a user's function raises
        reason = one_line(f"{type(error).__name__}: {error}")[:200]
        raise ConfigError(f"feature {name} cannot be computed ({reason})") from None
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"feature {name} gives {type(given).__name__}; give arrays by name, each a value a row")
    try:
        return {str(key): np.asarray(values, np.float64) for key, values in given.items()}
    except (TypeError, ValueError):
        raise ConfigError(f"feature {name} gives something else than numbers; give arrays by name") from None


def _check(columns: Mapping[str, Floats], panel: Panel, warmup: int) -> None:
    rows = np.arange(len(panel.log_price))
    old = panel.bar_number(rows) >= warmup
    for column, values in columns.items():
        if values.shape != rows.shape:
            raise ConfigError(
                f"feature {column} has shape {values.shape}; it is one value for each of the panel's {len(rows)} rows"
            )
        bad = np.flatnonzero((old & np.isnan(values)) | np.isinf(values))
        if len(bad):
            where = f"{panel.tickers[panel.ticker_of[bad[0]]]} on {panel.dates[bad[0]]}"
            raise ConfigError(f"feature {column} is {values[bad[0]]} for {where}; fill it, with 0 for example")
