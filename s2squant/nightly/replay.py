"""Replay: recomputes a past night from its stored prices, weights and settings.

Recomputed forecasts are compared with the ledger's rows bit by bit. Nothing is issued and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.files import recorded_nightly
from s2squant.config.nightly import Nightly
from s2squant.errors import CheckpointError, PriceError, RunError
from s2squant.forecasters.own_features import with_features
from s2squant.nightly.compose import compose
from s2squant.nightly.covariates import recalled
from s2squant.nightly.jobs import NightInputs, forecast, restored
from s2squant.nightly.ledger.entries import RunEntry
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.prices import pinned_to
from s2squant.nightly.state import MEMORY
from s2squant.nightly.weights import ModelStore
from s2squant.prices.universe import load_ticker
from s2squant.runs.folder import RunFolder
from s2squant.runs.plan import sessions_of
from s2squant.series.forecast import QUANTILE_COLUMNS
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Panel
from s2squant.series.windows import last_rows, of_tickers


@dataclass(frozen=True)
class Replay:
    """Outcome of a recomputation."""

    run_id: str
    rows: int
    """Rows of the ledger that were compared."""
    different: tuple[str, ...]
    """Ticker, model and step of every row that did not come out the same, with the largest difference."""
    problems: tuple[str, ...]
    """Why tickers could not be recomputed, one line each."""

    @property
    def identical(self) -> bool:
        """Whether every row of the run was recomputed to the bit."""
        return self.rows > 0 and not self.different and not self.problems


def replay(run_id: str, ledger: Ledger) -> Replay:
    """Recompute a finished night and compare; raises RunError for a run the ledger has not, or that issued nothing."""
    entry = ledger.run(run_id)
    if entry is None:
        near = ", ".join(run.run_id for run in ledger.runs(newest=3)) or "it has none"
        raise RunError(f"the ledger has no run {run_id!r}; its newest are: {near}")
    facts: dict[str, Any] = json.loads(entry.facts)
    issued = ledger.record(entry.nightly, run_id=run_id, live=False)
    if issued.empty or "panels" not in facts:
        raise RunError(f"run {run_id} ({entry.status}) issued no forecast; there is nothing to replay")
    spec = recorded_nightly(entry.settings, where=f"the settings of run {run_id}")
    problems: list[str] = []
    parts: list[pd.DataFrame] = []
    markets: dict[str, str] = {}
    for market, tickers in facts["panels"].items():
        try:
            panel = _panel(spec, market, tickers, facts)
        except (PriceError, CheckpointError) as error:
            problems.append(f"{market}: its prices cannot be read as they were: {error}")
            continue
        markets |= dict.fromkeys(tickers, market)
        asked = [t for t in tickers if t in set(issued["unique_id"])]
        tables, failed = _forecasts(spec, panel, asked, facts)
        parts += tables
        problems += failed
    if not parts:
        return Replay(run_id, 0, (), tuple(problems))
    tonight = pd.concat(parts, ignore_index=True)
    record = _record(ledger, spec, entry, tonight, _moment(facts["known_at"]))
    again = compose(tonight, record, spec.experiment, markets)
    return _compared(run_id, issued, again, problems)


def _panel(spec: Nightly, market: str, tickers: list[str], facts: Mapping[str, Any]) -> Panel:
    source = pinned_to(spec, facts["price_versions"])
    now, due = _moment(facts["planned_at"]), facts["due"][market]
    histories = tuple(
        load_ticker(source, ticker, spec.experiment.universe, now).between(None, due) for ticker in tickers
    )
    if version := facts.get("covariates", {}).get(market):
        histories = recalled(ModelStore(Path(spec.models)), version, histories)
    return with_features(Panel(histories), spec.experiment.forecasters)


def _forecasts(
    spec: Nightly, panel: Panel, tickers: list[str], facts: Mapping[str, Any]
) -> tuple[list[pd.DataFrame], list[str]]:
    """The long tables of a market's fitted models, and the tickers whose weights are gone."""
    market, store, settings = panel.market, ModelStore(Path(spec.models)), spec.experiment.forecasters
    inputs = NightInputs(
        spec=spec,
        panels={market: panel},
        sessions=sessions_of({market: panel}, spec.experiment.walk),
        due={market: np.datetime64(facts["due"][market])},
        parents={},
        retrain={},
        folder=RunFolder(Path(f"replay of {facts['planned_at']}")),
    )
    parts, problems = [], []
    keys = {f"market:{market}": tickers} | {f"ticker:{ticker}": [ticker] for ticker in tickers}
    for key, asked in keys.items():
        model = facts["models"].get(key)
        if model is None:
            continue
        try:
            fitted, _ = restored(store.get(model["version"]), settings)
        except CheckpointError as error:
            problems.append(f"{key}: its weights cannot be read: {error}")
            continue
        rows = of_tickers(panel, last_rows(panel), asked)
        forecasts = forecast(inputs, market, fitted, rows, model["anchor_version"])
        parts += [to_frame(panel, one, inputs.sessions) for one in forecasts]
    return parts, problems


def _record(ledger: Ledger, spec: Nightly, entry: RunEntry, tonight: pd.DataFrame, known_at: datetime) -> pd.DataFrame:
    """The live record before that night, as it was known then."""
    since = entry.scheduled_at.date() - MEMORY
    models = list(spec.experiment.forecasters.models)
    record = ledger.record(spec.name, models=models, since=since, known_by=known_at)
    first = tonight.groupby("unique_id")["cutoff"].first()
    cutoff = record["unique_id"].map(first)
    before = (record["cutoff"] < cutoff) | (cutoff.isna() & (record["cutoff"] < first.max()))
    earlier: pd.DataFrame = record[before.to_numpy(bool)]
    return earlier


def _compared(run_id: str, issued: pd.DataFrame, again: pd.DataFrame, problems: list[str]) -> Replay:
    keys = ["model", "unique_id", "cutoff", "step"]
    both = issued[[*keys, *QUANTILE_COLUMNS]].merge(again, on=keys, how="left", suffixes=("", "_again"), validate="m:1")
    was = both[list(QUANTILE_COLUMNS)].to_numpy(np.float32)
    now = both[[f"{name}_again" for name in QUANTILE_COLUMNS]].to_numpy(np.float32)
    recomputed = ~np.isnan(now).any(axis=1)
    same = (was == now).all(axis=1)
    wrong = np.flatnonzero(recomputed & ~same)
    different = tuple(
        f"{both['unique_id'][k]} {both['model'][k]} step {both['step'][k]}: off by {np.abs(was[k] - now[k]).max():.2g}"
        for k in wrong
    )
    gone = both.loc[~recomputed, "unique_id"].unique()
    lost = [
        f"{ticker}: {int((both['unique_id'][~recomputed] == ticker).sum())} rows could not be recomputed"
        for ticker in gone
    ]
    return Replay(run_id, int(recomputed.sum()), different, (*problems, *lost))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
