"""Forecasts of any tickers without a backtest: prices, checks, forecast by pretrained weights; nothing is judged.

Shape legend: M tickers, H steps, Q levels, S paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from s2squant.config.asset_classes import AssetClass
from s2squant.config.experiment import Universe
from s2squant.config.fetching import QUICK
from s2squant.config.intervals import SECONDS, Interval
from s2squant.config.models import Forecasters
from s2squant.config.portfolio import PortfolioSpec
from s2squant.errors import CallerError, SourceError, first_of
from s2squant.evaluation.portfolio.currency import conversions
from s2squant.evaluation.portfolio.outcome import contributions, outlook
from s2squant.evaluation.portfolio.weights import check_rule, weights_of
from s2squant.forecasters.catalog import make
from s2squant.forecasters.fitting import origins_needed
from s2squant.forecasters.pretrained import load, newest, refusal
from s2squant.prices.calendars.grid import next_bars
from s2squant.prices.sources.from_store import LiveSource, stored_at
from s2squant.prices.sources.sample import SampleSource
from s2squant.prices.universe import Loaded, load_from, load_universe
from s2squant.series.forecast import Forecast
from s2squant.series.history import PriceHistory
from s2squant.series.joint_paths import Paths, joint_paths
from s2squant.series.outlook import Outlook
from s2squant.series.panel import Fold, Panel
from s2squant.series.past_paths import joinable, past_paths
from s2squant.series.tails import taken_apart
from s2squant.series.windows import last_rows, train_rows, unsettled

ANCHOR = Forecasters(models=("anchor",))
"""What is fitted where no pretrained weights are of such bars."""


@dataclass(frozen=True)
class Prediction:
    """Forecasts in the order asked for, the reason of each refusal, and what must be known of them."""

    outlooks: tuple[Outlook, ...]
    refused: Mapping[str, str]
    source: str
    remarks: tuple[str, ...] = ()
    """Where the prices are not what was asked for; one line each."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "refused", MappingProxyType(dict(self.refused)))


def predict(
    tickers: Sequence[str],
    source: str | None,
    horizon: int,
    classes: Mapping[str, AssetClass] | None = None,
    interval: Interval | Literal[""] = "",
) -> Prediction:
    """Forecast each ticker from its last bar, `horizon` sessions ahead, or bars of an `interval`.

    Without a `source` prices come from the price store, brought up to date from Yahoo where a bar can be missing, and
    from the sample where Yahoo gives none; without tickers all of the source's are meant, or the sample's. `classes`
    overrides guessed asset classes. Pretrained weights are of daily bars: the anchor is fitted to those within the day.
    Raises SourceError where no ticker can be forecast.
    """
    declared = dict(classes or {})
    loaded, name, remarks = _loaded(tuple(tickers), source, declared, interval)
    if strange := [
        ticker for ticker in declared if ticker not in {*loaded.refused, *(h.ticker for h in loaded.histories)}
    ]:
        raise SourceError(f"--class names {strange[0]}, which is not among the tickers")
    refused = dict(loaded.refused)
    refused |= {h.ticker: why for h in loaded.histories if (why := _refusal(h, horizon))}
    usable = [h for h in loaded.histories if h.ticker not in refused]
    if not usable:
        reasons = [f"{ticker}: {why}" for ticker, why in refused.items()]
        raise SourceError(f"no ticker can be forecast: {first_of(reasons, 3, between='; ')}")
    found: dict[str, Outlook] = {}
    daily, within = ([h for h in usable if h.is_intraday == wanted] for wanted in (False, True))
    if within:
        bars = ", ".join(f"{len(h)} of {h.ticker}" for h in within[:3])
        remarks += (f"pretrained weights are of daily bars: the anchor was fitted to these ({bars})",)
    for panel, forecast in (*newest(daily, horizon), *_fitted(within, horizon)):
        last = max(history.dates[-1] for history in panel.histories)
        common = next_bars(panel.market, last, horizon)
        tails_NHT = taken_apart(forecast.levels_NHA)[1]
        for history, quantiles_HQ, tails_HT in zip(panel.histories, forecast.quantiles_NHQ, tails_NHT, strict=True):
            ends = history.dates[-1]
            dates_H = common if ends == last else next_bars(panel.market, ends, horizon)
            widening = 1.0 if history.is_intraday else load(history.asset_class).widening(len(history), horizon)
            found[history.ticker] = Outlook(history, dates_H, quantiles_HQ, widening, tails_HT)
    return Prediction(tuple(found[h.ticker] for h in usable), refused, name, remarks)


def _refusal(history: PriceHistory, horizon: int) -> str:
    if not history.is_intraday:
        return refusal(history, horizon)
    needed = ANCHOR.anchor.warmup + origins_needed(ANCHOR) + horizon + 1
    return f"too short: {len(history)} bars, {needed} are needed" if len(history) < needed else unsettled(history)


def _fitted(histories: Sequence[PriceHistory], horizon: int) -> list[tuple[Panel, Forecast]]:
    """The forecast of each ticker from its last bar by an anchor fitted to all bars of its market."""
    forecasts = []
    for market in dict.fromkeys(history.calendar for history in histories):
        panel = Panel(tuple(history for history in histories if history.calendar == market))
        days = panel.calendar_dates()
        fold = Fold(market, 0, days[0], days[-1], days[-1:], horizon)
        rows = train_rows(panel, fold, warmup=ANCHOR.anchor.warmup)
        fitted = make("anchor", ANCHOR).fit(panel, rows, horizon=horizon, seed=0)
        forecasts.append((panel, fitted.predict(panel, last_rows(panel))))
    return forecasts


@dataclass(frozen=True)
class Joined:
    """Joint paths of some of a prediction's tickers, and the reason of each that is left out."""

    outlooks: tuple[Outlook, ...]
    paths_MHS: Paths
    """Cumulative log returns."""
    refused: Mapping[str, str]


def joined(made: Prediction, paths: int, *, seed: int = 0) -> Joined:
    """Join a prediction's forecasts over steps and tickers by the rank order of past outcomes.

    Raises SourceError where no ticker has past dates enough.
    """
    horizon = len(made.outlooks[0].dates_H)
    histories, refused = joinable([o.history for o in made.outlooks], horizon)
    if not histories:
        reasons = [f"{ticker}: {why}" for ticker, why in refused.items()]
        raise SourceError(f"no joint paths; {first_of(reasons, 3, between='; ')}")
    kept = {h.ticker for h in histories}
    outlooks = tuple(o for o in made.outlooks if o.history.ticker in kept)
    past = past_paths(histories, horizon).known(max(h.dates[-1] for h in histories))
    levels_MHA = np.stack([o.levels_HA for o in outlooks])
    return Joined(outlooks, joint_paths(levels_MHA, past.order(seed), paths, seed=seed), refused)


@dataclass(frozen=True)
class Held:
    """What to expect of a portfolio of a prediction's tickers: a row a step, a row a ticker, and who is left out."""

    outlook: pd.DataFrame
    parts: pd.DataFrame
    refused: Mapping[str, str]


def held(made: Prediction, spec: PortfolioSpec, *, seed: int = 0) -> Held:
    """Weigh a prediction's tickers by a rule, from joint paths, and read return, drawdown and risk off the same paths.

    Raises ConfigError for weights that cannot be had, SourceError where no two tickers can be joined.
    """
    added, refused = conversions([o.history for o in made.outlooks], spec)
    check_rule(spec, {"all": tuple(added)})
    drawn = joined(made, spec.draws, seed=seed)
    refused = {**refused, **drawn.refused}
    paths = {o.history.ticker: p.astype(np.float64) for o, p in zip(drawn.outlooks, drawn.paths_MHS, strict=True)}
    base = {
        t: own + sum((sign * paths[rate] for rate, sign in added[t]), np.zeros_like(own))
        for t, own in paths.items()
        if t in added and all(rate in paths for rate, _ in added[t])
    }
    if len(base) < 2:
        reasons = [f"{ticker}: {why}" for ticker, why in refused.items()]
        raise SourceError(f"a portfolio needs two tickers; {first_of(reasons, 3, between='; ') or 'name more'}")
    whole = np.stack(list(base.values()))
    weights = weights_of(np.expm1(whole[:, -1]), tuple(base), spec)
    steps = sorted({1, whole.shape[1]})
    return Held(outlook(whole, weights, steps), contributions(whole, weights, tuple(base)), refused)


def _loaded(
    tickers: tuple[str, ...], source: str | None, classes: Mapping[str, AssetClass], interval: Interval | Literal[""]
) -> tuple[Loaded, str, tuple[str, ...]]:
    """Checked prices, the source they came from, and a remark where it is not the one a reader would expect."""
    universe = Universe(tickers=tickers, asset_classes=dict(classes), interval=interval)
    if source is not None:
        return load_universe(universe.model_copy(update={"source": source})), source, ()
    if not tickers and interval in SECONDS:
        universe = universe.model_copy(update={"source": "sample:hourly"})
        return load_universe(universe), universe.source, ("no ticker is named: these are the sample's hours",)
    if not tickers:
        return load_universe(universe), universe.source, ("no ticker is named: these are the sample's",)
    try:
        return (
            load_from(LiveSource(Path(universe.store), spec=QUICK, interval=stored_at(interval)), universe),
            LiveSource.name,
            (),
        )
    except CallerError as error:
        sample = SampleSource()
        if interval in SECONDS:
            raise
        if not set(tickers) <= set(sample.tickers()):
            raise
        why = f"Yahoo gave no prices ({str(error).partition('; ')[0]}): these are the sample's"
        return load_from(sample, universe), sample.name, (why,)
