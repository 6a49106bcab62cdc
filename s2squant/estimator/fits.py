"""Fits of every model on all bars of a market, and their forecasts from the last bar.

What the jobs of a backtest do fold by fold, for a caller who holds the models himself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from s2squant.config.experiment import Experiment
from s2squant.config.models import Forecasters, ModelName
from s2squant.errors import ConfigError
from s2squant.forecasters.fitting import (
    Failing,
    fit_models,
    market_models,
    note_failure,
    origins_needed,
    raise_it,
    ticker_models,
)
from s2squant.forecasters.network import FittedSeq2Seq
from s2squant.forecasters.own_check import check_own
from s2squant.forecasters.own_features import with_features
from s2squant.forecasters.pretrained import LEAST_BARS, excluded
from s2squant.prices.universe import Loaded
from s2squant.runs.engines.worker import as_a_worker, reason_of
from s2squant.runs.plan import by_market
from s2squant.series.forecast import Fitted
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Fold, Panel
from s2squant.series.windows import train_rows, unsettled

Fits = dict[tuple[ModelName, str], Fitted]
"""By model and owner: a market, or one ticker of it."""


@dataclass(frozen=True)
class MarketFit:
    """The fits of a market."""

    panel: Panel | None
    """None where no ticker could be used."""
    fits: Fits
    refused: Mapping[str, str]
    """Why other tickers are not among them."""
    failed_models: Mapping[str, str]
    """Models of the user's own that failed on a ticker, and the first reason."""


def fit_markets(loaded: Loaded, experiment: Experiment) -> tuple[list[Panel], Fits, dict[str, str], Experiment]:
    """Fit every model on every market: panels, fits, what was left out and why, and the experiment without that.

    Left out are tickers, and models of the user's own that failed. Raises as `fit_market` does.
    """
    panels: list[Panel] = []
    fits, refused, failed = Fits(), dict(loaded.refused), dict[str, str]()
    for members in by_market(loaded.histories).values():
        with as_a_worker():  # the same bits in every process
            market = fit_market(members, experiment)
        refused |= market.refused
        failed |= market.failed_models
        panels += [market.panel] if market.panel is not None else []
        fits |= market.fits
    fits, experiment = without_failed(fits, experiment, failed) if failed else (fits, experiment)
    return panels, fits, refused | failed, experiment


def fit_market(members: tuple[PriceHistory, ...], experiment: Experiment) -> MarketFit:
    """Fit every model on all bars of a market.

    A ticker that is too short, or on which a model fails, takes no part: the others are fitted without it. Raises
    whatever goes wrong with a model that all tickers share, ConfigError for own code that cannot be used at all.
    """
    check_own(experiment.forecasters)
    models, refused, histories = experiment.forecasters, dict[str, str](), members
    need = bars_of_fit(models, experiment.walk.horizon)
    failed = {h.ticker: f"too short: {len(h)} bars, {need} are needed" for h in members if len(h) < need}
    failed |= {h.ticker: why for h in members if (why := excluded(h, models, experiment.walk.horizon))}
    failed |= {h.ticker: why for h in members if (why := unsettled(h))}
    while True:
        refused |= failed
        histories = tuple(h for h in histories if h.ticker not in failed)
        if not histories:
            return MarketFit(None, Fits(), refused, {})
        panel, broken = with_features(Panel(histories), models), dict[str, str]()
        fits, failed = _fit_panel(panel, experiment, broken)
        if not failed:
            return MarketFit(panel, fits, refused, broken)


def without_failed(fits: Fits, experiment: Experiment, failed: Mapping[str, str]) -> tuple[Fits, Experiment]:
    """The fits and the experiment without own models that failed; raises ConfigError where no model is left."""
    settings = experiment.forecasters.without(failed)
    if not settings.models:
        name, why = next(iter(failed.items()))
        raise ConfigError(f"{name} failed on {why}; there is no other model")
    verdict = {"reference": settings.models[0], "recommended": settings.models[0]}
    update = {"forecasters": settings, "verdict": experiment.verdict.model_copy(update=verdict)}
    return {key: fit for key, fit in fits.items() if key[0] not in failed}, experiment.model_copy(update=update)


def bars_of_fit(models: Forecasters, horizon: int) -> int:
    """Bars that every model can be fitted on."""
    return LEAST_BARS if models.models == ("pretrained",) else models.anchor.warmup + horizon + origins_needed(models)


def bars_served(name: ModelName, models: Forecasters) -> int:
    """Bars from which on a market's model forecasts a ticker that it was not fitted on."""
    return LEAST_BARS if name == "pretrained" else models.anchor.warmup + 1


def bars_of_newcomer(models: Forecasters) -> int | None:
    """The same of any of the models; None where none of them serves such a ticker."""
    serving = [m for m in market_models(models) if m == "pretrained" or models.anchor.scope == "pooled"]
    return min((bars_served(m, models) for m in serving), default=None)


def bars_looked_at(models: Forecasters) -> int:
    """Bars that the models look back on: the longest of their windows."""
    windows = {
        "random_walk": models.random_walk.window,
        "historical_simulation": models.historical_simulation.window,
        "block_bootstrap": models.block_bootstrap.window,
        "drift": max(models.drift.window, models.drift.scale_window),
        "ets": models.ets.scale_window,
        "arima": models.arima.scale_window,
        "theta": models.theta.scale_window,
    }
    return 1 + max(models.anchor.warmup, *(bars for name, bars in windows.items() if name in models.models), 0)


def reads_market(models: Forecasters) -> bool:
    """Whether a ticker's forecast depends on what the others of its market did."""
    networks = bool(models.networks) and models.seq2seq.market
    return networks or ("anchor" in models.models and models.anchor.market)


def _fit_panel(panel: Panel, experiment: Experiment, broken: dict[str, str]) -> tuple[Fits, dict[str, str]]:
    settings, failed = experiment.forecasters, dict[str, str]()
    market = dict(_fit(market_models(settings), panel, experiment, {}, raise_it))
    fits: Fits = {(name, panel.market): fitted for name, fitted in market.items()}
    together = _side_by_side(panel, experiment, market)
    for ticker in panel.tickers:
        try:
            failing = partial(note_failure, broken, ticker)
            names = [name for name in ticker_models(settings) if together is None or name != together.name]
            own = _fit(names, panel.only(ticker), experiment, market, failing)
            fits |= {(name, ticker): fitted for name, fitted in own}
            fits |= {} if together is None else {("seq2seq_per_ticker", ticker): together.of(ticker)}
        except Exception as error:  # one ticker's trouble is told by name, and the others go on
            failed[ticker] = reason_of(error)
    return fits, failed


def _side_by_side(panel: Panel, experiment: Experiment, market: Mapping[ModelName, Fitted]) -> FittedSeq2Seq | None:
    """Own networks of all tickers in one fit, where a device may train them together; None where each is fitted alone.

    So it is, too, where a ticker is too short for a network: it is then refused by name.
    """
    models = experiment.forecasters
    if models.seq2seq.training.device == "cpu" or "seq2seq_per_ticker" not in models.models or len(panel.tickers) < 2:
        return None
    try:
        ((_, fitted),) = _fit(("seq2seq_per_ticker",), panel, experiment, market, raise_it)
    except ValueError:
        return None
    return fitted if isinstance(fitted, FittedSeq2Seq) and set(fitted.nets) == set(panel.tickers) else None


def _fit(
    names: Sequence[ModelName],
    panel: Panel,
    experiment: Experiment,
    market: Mapping[ModelName, Fitted],
    failing: Failing,
) -> Iterator[tuple[ModelName, Fitted]]:
    """Fit on every origin of the panel whose labels are known."""
    days = panel.calendar_dates()
    fold = Fold(panel.market, 0, days[0], days[-1], days[-1:], experiment.walk.horizon)
    rows = train_rows(panel, fold, warmup=experiment.forecasters.anchor.warmup)
    settings, seed = experiment.forecasters, experiment.seed
    horizon = fold.horizon
    return fit_models(names, settings, panel, rows, horizon=horizon, seed=seed, market=market, failing=failing)
