"""Covariates of a night: read and joined once, stored by content hash beside the weights, and read back from there.

One that cannot be read tonight is masked and told. So a replay asks no file and no source again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from s2squant.config.covariates import CovariateSpec
from s2squant.config.nightly import Nightly
from s2squant.errors import CheckpointError
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.prices import ingest, pinned_to
from s2squant.nightly.weights import ModelStore
from s2squant.prices.covariates.load import Masking, with_covariates
from s2squant.prices.covariates.long_table import read_long
from s2squant.prices.port import Source
from s2squant.prices.sources.from_store import stored_at
from s2squant.prices.store.refresh import Refresher
from s2squant.prices.universe import Loaded, open_source
from s2squant.runs.covariate_files import COLUMNS
from s2squant.series.arrays import dates_of
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.forecast import State
from s2squant.series.history import PriceHistory


@dataclass(frozen=True)
class Drawn:
    """A market's histories with tonight's covariates, and the version under which these are stored."""

    histories: tuple[PriceHistory, ...]
    version: str
    told: tuple[str, ...]
    """One line for each covariate that is late, or could not be read."""


def check_covariates(spec: Nightly, ledger: Ledger) -> None:
    """Raise SourceError for a file that cannot be read, before the nightly's first night; later ones go on without."""
    if ledger.runs(spec.name, newest=1):
        return
    for one in spec.experiment.covariates:
        if one.origin == "file":
            read_long(one)


def fetched_beside(refresher: Refresher, spec: Nightly, *, now: datetime) -> dict[str, Any]:
    """Bring the tickers that are covariates up to date in the store, where the nightly's source is asked for them."""
    return ingest(
        refresher,
        list(dict.fromkeys(s.ticker for s in _fetched(spec))),
        stored_at(spec.experiment.universe.interval),
        now=now,
    )


def draw(
    spec: Nightly, histories: Sequence[PriceHistory], plan: Mapping[str, Any], markets: Mapping[str, str]
) -> Drawn:
    """Read, join and store the covariates of one market's histories, which end with the due session.

    `plan` names the stored versions of the tickers that are covariates, `markets` those of all tickers asked for.
    """
    experiment, told = spec.experiment, list[str]()
    pinned = {one.name for one in _fetched(spec)}
    specs = tuple(one.model_copy(update={"source": ""}) if one.name in pinned else one for one in experiment.covariates)
    source: Source
    if pinned:
        beside = plan["beside"]
        source = pinned_to(spec, beside["versions"], beside["refused"])
    else:
        source = open_source(experiment.universe.source, experiment.universe)
    read = with_covariates(
        Loaded(tuple(histories), {}, source=source),
        experiment.model_copy(update={"covariates": specs}),
        Masking(markets, told.append),
    )
    version = ModelStore(Path(spec.models)).put(_state(read.histories))
    return Drawn(read.histories, version, tuple(told))


def recalled(store: ModelStore, version: str, histories: Sequence[PriceHistory]) -> tuple[PriceHistory, ...]:
    """The histories with the covariates stored under a version; raises CheckpointError where they do not fit."""
    state, again = store.get(version), list[PriceHistory]()
    try:
        past, future, static = COLUMNS.validate_python(state.meta["columns"])
        place = {ticker: n for n, ticker in enumerate(state.meta["tickers"])}
        for history in histories:
            n, arrays = place[history.ticker], state.arrays
            own = TickerCovariates(
                past=past,
                future=future,
                static=static,
                past_TP=arrays[f"{n} past"],
                days_S=dates_of(history.calendar, arrays[f"{n} days"]),
                future_SF=arrays[f"{n} future"],
                static_C=arrays[f"{n} static"],
            )
            again.append(replace(history, covariates=own))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{version[:12]}: these are no covariates of this night ({error})") from None
    return tuple(again)


def _fetched(spec: Nightly) -> list[CovariateSpec]:
    """The covariates that are tickers of the nightly's own live source."""
    source = spec.experiment.universe.source
    live = [one for one in spec.experiment.covariates if one.ticker and one.source in ("", source)]
    return live if source == "yfinance" else []


def _state(histories: Sequence[PriceHistory]) -> State:
    arrays, columns = dict[str, Any](), tuple[tuple[Covariate, ...], ...]()
    for n, history in enumerate(histories):
        own = history.covariates
        assert own is not None, "all of a market have them"
        arrays |= {f"{n} past": own.past_TP, f"{n} future": own.future_SF, f"{n} static": own.static_C}
        arrays[f"{n} days"], columns = own.days_S.astype(np.int64), own.columns
    tickers = [history.ticker for history in histories]
    return State(arrays, {"columns": COLUMNS.dump_python(columns, mode="json"), "tickers": tickers})
