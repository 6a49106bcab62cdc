"""Forecasts of any tickers by the pretrained weights: prices, checks, forecast; nothing is fitted, nothing is judged.

Shape legend: M tickers, H steps, Q levels, S paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from s2squant.config.asset_classes import AssetClass
from s2squant.config.experiment import Universe
from s2squant.config.fetching import QUICK
from s2squant.errors import CallerError, SourceError, first_of
from s2squant.forecasters.pretrained import load, newest, refusal
from s2squant.prices.calendars.grid import next_bars
from s2squant.prices.sources.from_store import LiveSource
from s2squant.prices.sources.sample import SampleSource
from s2squant.prices.universe import Loaded, load_from, load_universe
from s2squant.series.joint_paths import Paths, joint_paths
from s2squant.series.outlook import Outlook
from s2squant.series.past_paths import joinable, past_paths


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
    tickers: Sequence[str], source: str | None, horizon: int, classes: Mapping[str, AssetClass] | None = None
) -> Prediction:
    """Forecast each ticker from its last bar, `horizon` sessions ahead.

    Without a `source` prices come from the price store, brought up to date from Yahoo where a bar can be missing, and
    from the sample where Yahoo gives none; without tickers all of the source's are meant, or the sample's. `classes`
    overrides guessed asset classes.
    Raises SourceError where no ticker can be forecast.
    """
    declared = dict(classes or {})
    loaded, name, remarks = _loaded(tuple(tickers), source, declared)
    if strange := [
        ticker for ticker in declared if ticker not in {*loaded.refused, *(h.ticker for h in loaded.histories)}
    ]:
        raise SourceError(f"--class names {strange[0]}, which is not among the tickers")
    refused = dict(loaded.refused)
    refused |= {h.ticker: why for h in loaded.histories if (why := refusal(h, horizon))}
    usable = [h for h in loaded.histories if h.ticker not in refused]
    if not usable:
        reasons = [f"{ticker}: {why}" for ticker, why in refused.items()]
        raise SourceError(f"no ticker can be forecast: {first_of(reasons, 3, between='; ')}")
    found: dict[str, Outlook] = {}
    for panel, forecast in newest(usable, horizon):
        last = max(history.dates[-1] for history in panel.histories)
        common = next_bars(panel.market, last, horizon)
        for history, quantiles_HQ in zip(panel.histories, forecast.quantiles_NHQ, strict=True):
            ends = history.dates[-1]
            dates_H = common if ends == last else next_bars(panel.market, ends, horizon)
            widening = load(history.asset_class).widening(len(history), horizon)
            found[history.ticker] = Outlook(history, dates_H, quantiles_HQ, widening)
    return Prediction(tuple(found[h.ticker] for h in usable), refused, name, remarks)


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


def _loaded(
    tickers: tuple[str, ...], source: str | None, classes: Mapping[str, AssetClass]
) -> tuple[Loaded, str, tuple[str, ...]]:
    """Checked prices, the source they came from, and a remark where it is not the one a reader would expect."""
    universe = Universe(tickers=tickers, asset_classes=dict(classes))
    if source is not None:
        return load_universe(universe.model_copy(update={"source": source})), source, ()
    if not tickers:
        return load_universe(universe), universe.source, ("no ticker is named: these are the sample's",)
    try:
        return load_from(LiveSource(Path(universe.store), spec=QUICK), universe), LiveSource.name, ()
    except CallerError as error:
        sample = SampleSource()
        if not set(tickers) <= set(sample.tickers()):
            raise
        why = f"Yahoo gave no prices ({str(error).partition('; ')[0]}): these are the sample's"
        return load_from(sample, universe), sample.name, (why,)
