"""Night record for the page and the manifest, from the ledger and the state of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.models import RECALIBRATED
from s2squant.config.nightly import Nightly
from s2squant.errors import S2squantError, one_line
from s2squant.files import json_values
from s2squant.nightly.issue import CollectedNight, IssuedNight
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import key_of_text
from s2squant.nightly.results import Band, MarketNight, Monitor, Night, NightStatus, text_of
from s2squant.nightly.state import NightState
from s2squant.nightly.track_record.drift import watch
from s2squant.nightly.track_record.losses import complete_cutoffs, outcomes_of
from s2squant.nightly.track_record.track import band_of, track
from s2squant.runs.manifest import provenance
from s2squant.runs.study_files import load_study
from s2squant.series.panel import Panel

RUNS_SHOWN = 60
"""Runs that a night's page lists."""


def view(
    state: NightState,
    status: NightStatus,
    message: str,
    issued: IssuedNight,
    *,
    scored: int,
    workers: int,
    seconds: Mapping[str, float],
) -> Night:
    """The night with its track record, as the ledger has it now."""
    experiment, name, ledger = state.spec.experiment, state.spec.name, state.ledger
    recommended, reference = experiment.verdict.recommended, experiment.verdict.reference
    record = state.record(dict.fromkeys((recommended, recommended + RECALIBRATED, reference, "anchor")))
    sessions = {market: pd.Timestamp(night.session) for market, night in state.agenda.markets.items()}
    today = ledger.record(name, since=min(map(key_of_text, (m.session for m in state.agenda.markets.values()))))
    gaps = ledger.gaps(name)
    facts = provenance(
        experiment,
        state.prices.histories,
        command=state.command,
        engine="local",
        workers=workers,
        timings=seconds,
    )
    return Night(
        spec=state.spec,
        run_id=state.entry.run_id,
        scheduled_at=state.entry.scheduled_at.astimezone(UTC),
        started_at=state.entry.started_at.astimezone(UTC),
        finished_at=state.clock().astimezone(UTC),
        status=status,
        message=message,
        issued=issued.issued,
        scored=scored,
        reissued=issued.reissued,
        markets=tuple(_aged(state, night) for night in state.agenda.markets.values()),
        tickers=issued.tickers,
        today=today[today["cutoff"] == today["market"].map(sessions)].reset_index(drop=True),
        record=record,
        histories=dict(state.prices.histories),
        gaps=gaps,
        events=ledger.events(name),
        runs=pd.DataFrame([asdict(run) for run in ledger.runs(name, newest=RUNS_SHOWN)]),
        track=track(
            record,
            gaps,
            state.spec.monitoring,
            recommended=recommended,
            reference=reference,
            band=_band(state.spec, record),
        ),
        monitor=drift(ledger, state.spec, record),
        provenance=facts | {"ledger": ledger.name},
    )


def drift(ledger: Ledger, spec: Nightly, record: pd.DataFrame) -> Monitor:
    """The drift monitor on the recommended model as it was issued, from the last alarm on."""
    events = ledger.events(spec.name)
    alarms = events.loc[events["kind"] == "drift", "session"]
    since = alarms.max() if len(alarms) else None
    return watch(record, spec.monitoring, model=spec.experiment.verdict.recommended, since=since)


def last_fit(ledger: Ledger, spec: Nightly, market: str) -> str:
    """The session of a market's last full fit; empty when there was none."""
    rows = ledger.models(spec.name)
    fits = rows[(rows["kind"] == "market") & (rows["key"] == market) & (rows["how"] == "trained")]
    return text_of(fits["session"].iloc[-1]) if len(fits) else ""


def age_of(panel: Panel, trained: str) -> int:
    """Sessions since a fit."""
    return int((panel.calendar_dates() > np.datetime64(trained)).sum()) if trained else 0


def facts_of(state: NightState, collected: CollectedNight) -> dict[str, Any]:
    """What a replay needs to know beside the ledger's rows."""
    return {
        "planned_at": state.plan["at"],
        "known_at": state.known().isoformat(),
        "due": {market: night.session for market, night in state.agenda.markets.items()},
        "panels": {market: list(panel.tickers) for market, panel in state.panels.items()},
        "price_versions": state.plan["versions"],
        "covariates": state.plan.get("covariates", {}),
        "models": {
            key: {"version": model["version"], "anchor_version": model["anchor_version"]}
            for key, model in collected.facts.items()
        },
    }


def manifest_of(night: Night, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A finished night as plain values."""
    manifest: dict[str, Any] = {
        "status": night.status,
        "run_id": night.run_id,
        "created_at": night.started_at.isoformat(),
        "finished_at": night.finished_at.isoformat(),
        "scheduled_at": night.scheduled_at.isoformat(),
        "sentence": night.message,
        "issued": night.issued,
        "scored": night.scored,
        "tickers": {t.ticker: {k: v for k, v in asdict(t).items() if k != "ticker"} for t in night.tickers},
        **facts,
        **night.provenance,
    }
    plain: dict[str, Any] = json_values(manifest)
    return plain


def _aged(state: NightState, night: MarketNight) -> MarketNight:
    trained = last_fit(state.ledger, state.spec, night.market)
    panel = state.panels.get(night.market)
    return replace(night, trained=trained, age=age_of(panel, trained) if panel else 0)


def _band(spec: Nightly, record: pd.DataFrame) -> Band | None:
    """What the backtest lets one expect of as many cutoffs; None where the nightly names no backtest.

    One that cannot be read is a reason on the page, not the end of the night.
    """
    if not spec.backtest:
        return None
    verdict = spec.experiment.verdict
    try:
        study = load_study(Path(spec.backtest), models=(), without=("forecasts",))
    except S2squantError as error:
        return Band(0, np.nan, np.nan, np.nan, 0, reason=one_line(str(error)))
    complete = complete_cutoffs(
        outcomes_of(record, verdict.recommended, verdict.reference), spec.experiment.walk.horizon
    )
    return band_of(study, complete, verdict.recommended, verdict.reference)
