"""The end of a night: compose what was forecast, issue it before its deadline, and enter what is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.models import RECALIBRATED
from s2squant.errors import first_of
from s2squant.nightly.agenda import Missing
from s2squant.nightly.compose import by_ticker, compose, issues_of
from s2squant.nightly.jobs import NightJob
from s2squant.nightly.ledger.entries import GapKind
from s2squant.nightly.ledger.tables import key_of_text
from s2squant.nightly.outcomes import raw_close
from s2squant.nightly.results import NightStatus, TickerNight
from s2squant.nightly.state import NightState
from s2squant.runs.runner import JobRunner
from s2squant.series.tails import ALL_COLUMNS


@dataclass(frozen=True)
class CollectedNight:
    """The results of a night's jobs: forecasts of the complete tickers, the facts of each job, and failures."""

    table: pd.DataFrame
    facts: Mapping[str, Mapping[str, Any]]
    """By job key: version, anchor_version, how, trained, parent, session, order, seconds."""
    failed: Mapping[str, str]
    """By ticker."""
    failed_models: Mapping[str, str]
    """Own models that failed on a ticker, and the first reason."""


@dataclass(frozen=True)
class IssuedNight:
    """What became of every ticker, and how many rows were issued, for the first time or again."""

    tickers: tuple[TickerNight, ...]
    issued: int
    reissued: int
    failed_models: Mapping[str, str] = field(default_factory=dict)


def collect(state: NightState, runner: JobRunner[NightJob]) -> CollectedNight:
    """Read the parts of all finished jobs."""
    parts, facts, failed = [], {}, dict[str, str]()
    for job in (job for stage in runner.stages for job in stage):
        if job.ticker and (why := runner.failure(job.ticker, job.market)):
            failed[job.ticker] = why
    for job in runner.finished_jobs():
        if state.folder.is_done(job.key):
            table, _, facts[job.key] = state.folder.read_part(job.key)
            parts.append(table)
    if not parts:
        return CollectedNight(pd.DataFrame(), facts, failed, {})
    table = pd.concat(parts, ignore_index=True)
    done = [f"ticker:{ticker}" in facts for ticker in table["unique_id"]]
    broken: dict[str, str] = {}
    for one in facts.values():
        broken = one.get("failed", {}) | broken
    return CollectedNight(table[np.array(done, bool)].reset_index(drop=True), facts, failed, broken)


def issue(state: NightState, collected: CollectedNight) -> IssuedNight:
    """Issue every complete ticker that is still in time; whatever else is due becomes a gap."""
    nights = dict(state.prices.tickers)
    composed = by_ticker(_composed(state, collected.table))
    live, issued, reissued = state.ledger.live_cutoffs(state.spec.name), 0, 0
    for key, job_facts in collected.facts.items():
        _add_model(state, key, job_facts)
    for missing in state.agenda.missed:
        if missing.kind == "missed":
            state.miss(missing)
    for ticker in state.plan["open"]:
        night = _checked(state, nights[ticker], collected, set(live))
        if night.status == "ok":
            issues = issues_of(
                composed[ticker], state.history(ticker), night.market, _versions(state, collected, night)
            )
            outcome = state.ledger.issue(state.spec.name, state.entry.run_id, issues, at=state.clock())
            rows = sum(len(one.sessions) for one in issues)
            issued += rows if outcome == "issued" else 0
            reissued += rows if outcome == "reissued" else 0
        else:
            kind: GapKind = night.status if night.status in ("stale", "late") else "failed"
            state.miss(Missing(ticker, night.market, state.due(night.market), kind, night.reason))
        nights[ticker] = night
    return IssuedNight(tuple(nights.values()), issued, reissued, collected.failed_models)


def _checked(
    state: NightState, night: TickerNight, collected: CollectedNight, live: set[tuple[str, date]]
) -> TickerNight:
    """The ticker as it stands after the jobs: still good, failed, or too late."""
    if night.status != "ok":
        return night
    night = replace(night, close=float(raw_close(state.history(night.ticker))[-1]))
    if night.ticker in collected.failed:
        return replace(night, status="failed", reason=collected.failed[night.ticker])
    job_facts = collected.facts.get(f"ticker:{night.ticker}")
    if job_facts is None or not ((night.ticker, state.due(night.market)) in live or state.in_time(night.market)):
        until = f"{state.agenda.markets[night.market].deadline:%Y-%m-%d %H:%M} UTC"
        return replace(night, status="late", reason=f"not ready before the deadline {until}")
    return replace(night, how=job_facts["how"], trained=job_facts["trained"])


def _composed(state: NightState, table: pd.DataFrame) -> pd.DataFrame:
    """What is issued tonight; a run that goes on composes it from what was known the first time."""
    if table.empty:
        return pd.DataFrame(columns=["unique_id", "model", "step", "ds", "mean", *ALL_COLUMNS])
    experiment = state.spec.experiment
    record = state.record(experiment.forecasters.models, known_by=state.known())
    tonight = set(zip(table["unique_id"], table["cutoff"], strict=True))
    pairs = zip(record["unique_id"], record["cutoff"], strict=True)
    earlier = np.array([pair not in tonight for pair in pairs], bool)
    markets = {ticker: night.market for ticker, night in state.prices.tickers.items()}
    return compose(table, record[earlier], experiment, markets)


def _versions(state: NightState, collected: CollectedNight, night: TickerNight) -> dict[str, str]:
    """By model, the weights behind it; those of an average are named by the hash of its parts'."""
    market, own = collected.facts.get(f"market:{night.market}", {}), collected.facts[f"ticker:{night.ticker}"]
    both = hashlib.sha256(f"{market.get('version', '')} {own['version']}".encode()).hexdigest()
    known = {name: str(market["version"]) for name in market.get("order", ())}
    known |= {name: str(own["version"]) for name in own["order"]}
    experiment = state.spec.experiment
    models = (*experiment.forecasters.models, experiment.verdict.recommended + RECALIBRATED)
    return {model: known.get(model.removesuffix(RECALIBRATED), both) for model in models}


def _add_model(state: NightState, key: str, job_facts: Mapping[str, Any]) -> None:
    kind, _, name = key.partition(":")
    row = {name: job_facts[name] for name in ("version", "parent", "how")}
    facts = {"nightly": state.spec.name, "kind": kind, "key": name, "session": key_of_text(job_facts["session"])}
    state.ledger.add_model(row | facts | {"run_id": state.entry.run_id, "at": state.clock()})


def note_events(state: NightState) -> None:
    """Enter what a person should know of tonight beside the forecasts."""
    for market, due in state.agenda.markets.items():
        for session in due.missed:
            state.event(session, "missed", f"{market}: no forecast from {session}")
        if market in state.plan["retrain"]:
            why = state.plan["retrain"][market]
            state.event(due.session, "drift" if why.startswith("drift") else "retrained", f"{market}: {why}")
    if told := state.plan.get("told"):
        state.event(max(due.session for due in state.agenda.markets.values()), "covariate", "; ".join(told))
    for ticker, what in state.plan["revised"].items():
        state.event(state.due(state.agenda.market_of[ticker]), "revised", what, ticker)
    for ticker, night in state.prices.tickers.items():
        if night.status == "stale":
            state.event(state.due(night.market), "stale", night.reason, ticker)


def verdict(
    tickers: Sequence[TickerNight], asked: Sequence[str], failed_models: Mapping[str, str], told: Sequence[str] = ()
) -> tuple[NightStatus, str]:
    """How a night ended, in a word and a line; tickers not `asked` for had their forecasts from an earlier run.

    `told` are lines about covariates.
    """
    due = [night for night in tickers if night.ticker in asked]
    good = [night for night in due if night.status == "ok"]
    lost = [night for night in due if night.status != "ok"]
    named = "; ".join(f"{night.ticker} {night.status}: {night.reason}" for night in lost[:5])
    more = f"; and {len(lost) - 5} more" if len(lost) > 5 else ""
    before = sum(night.status == "ok" and night.ticker not in asked for night in tickers)
    stand = f"; {before} {'stands' if before == 1 else 'stand'} from an earlier run" if before else ""
    message = f"{len(good)} of {len(due)} tickers forecast{stand}" + (f"; {named}{more}" if lost else "")
    message += "".join(f"; {name} failed on {why}" for name, why in failed_models.items())
    message += "; " + first_of(told, 2, between="; ") if told else ""
    if not lost:
        return ("partial" if failed_models else "done"), message
    if good or len(due) < len(tickers):
        return "partial", message
    return ("late" if all(night.status == "late" for night in lost) else "failed"), message
