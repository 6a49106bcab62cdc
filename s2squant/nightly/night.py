"""The nightly line, from fresh bars to a forecast on record: a table of contents.

with open_night(spec, scheduled=...) as night:
    for result in night.execute_stages():
        ...
    ended = night.finish()

A night is known by the sessions it forecasts from: started again after it was killed, it goes on in its folder with
the same prices, the same decisions and the jobs it had finished; started again when everything is issued, it is
skipped. Nothing is issued after a cutoff's deadline, and what is not issued is a gap in the ledger.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from s2squant import __version__
from s2squant.config.fetching import Fetching
from s2squant.config.nightly import Nightly
from s2squant.errors import CallerError
from s2squant.forecasters.own_check import check_own
from s2squant.forecasters.own_features import with_features
from s2squant.nightly.agenda import Agenda, agenda
from s2squant.nightly.corrections import REACH, rescore
from s2squant.nightly.covariates import check_covariates, draw, fetched_beside, recalled
from s2squant.nightly.issue import IssuedNight, collect, issue, note_events, verdict
from s2squant.nightly.jobs import NightInputs, NightJob, night_stages, perform
from s2squant.nightly.ledger.entries import RunEntry
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import key_of_text
from s2squant.nightly.outcomes import outcomes
from s2squant.nightly.page.night_page import render_night
from s2squant.nightly.prices import Prices, acquaint, bars_of_former, ingest, open_prices, read_prices
from s2squant.nightly.results import Night, text_of
from s2squant.nightly.state import PLAN, Clock, NightState
from s2squant.nightly.summary import age_of, drift, facts_of, last_fit, manifest_of, view
from s2squant.nightly.weights import ModelStore
from s2squant.prices.sources.from_store import stored_at
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.store.refresh import Refresher
from s2squant.report.runs_page import runs_page
from s2squant.runs.engines.local import local_pool
from s2squant.runs.engines.time_limit import half_of
from s2squant.runs.folder import RunFolder
from s2squant.runs.plan import sessions_of
from s2squant.runs.run_list import write_list
from s2squant.runs.runner import JobResult, JobRunner
from s2squant.series.panel import Panel

__all__ = ["NightJob", "NightRun", "forecast", "open_night"]

AHEAD = timedelta(days=1)
"""A run may begin before its slot, on the same evening; about a later day it would enter gaps that are none."""


def open_night(
    spec: Nightly,
    *,
    scheduled: datetime,
    clock: Clock | None = None,
    workers: int | None = None,
    out: Path | None = None,
    flow: str = "forecast",
    command: str = "",
    fetching: Fetching | None = None,
) -> NightRun:
    """Find what is due at the scheduled time, fetch, score what has matured, and decide how models are fitted.

    `scheduled` (with its zone) decides the sessions, `clock` what may still be issued. `workers` processes carry out
    the jobs, as many as there are processors when None, none but this one when 0. Raises CallerError before anything
    is written where the nightly cannot be run as it is, LedgerError where the ledger cannot be used.
    """
    if scheduled.tzinfo is None:
        raise CallerError(f"the scheduled time {scheduled} has no time zone; write 2026-11-20T17:30-05:00")
    experiment = spec.experiment.at_interval(spec.experiment.universe.interval)
    spec, clock = spec.model_copy(update={"experiment": experiment}), clock or _now
    started, began = clock(), time.perf_counter()
    if scheduled > started + AHEAD:
        raise CallerError(
            f"the scheduled time {scheduled.astimezone(UTC):%Y-%m-%d %H:%M} UTC lies ahead, "
            f"it is {started.astimezone(UTC):%Y-%m-%d %H:%M} UTC; a night is about a time that has come"
        )
    check_own(spec.experiment.forecasters, stored=True)
    refresher, tickers = open_prices(spec, fetching or Fetching(), clock)
    ledger = Ledger()
    check_covariates(spec, ledger)
    interval = stored_at(spec.experiment.universe.interval)
    acquaint(refresher, tickers, interval)
    todo = agenda(spec, tickers, ledger, scheduled=scheduled, now=started)
    due = {market: night.session for market, night in todo.markets.items()}
    identity = {"nightly": json.loads(spec.model_dump_json()), "due": due, "version": __version__}
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    name = f"{spec.name}-{max(due.values()).replace(':', '')}-{tag}"
    folder = RunFolder(out) if out is not None else RunFolder.unfinished(spec.name, name)
    works = bool(todo.open_tickers) or folder.is_under_way()
    # A folder of the caller's choice may have any name, and another nightly's the same one.
    own = folder.name if out is None else f"{name}-{hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:6]}"
    entry = RunEntry(
        run_id=own if works else f"{spec.name}-{scheduled.astimezone(UTC):%Y%m%dT%H%MZ}",
        nightly=spec.name,
        flow=flow,
        scheduled_at=scheduled,
        started_at=started,
        status="running",
        folder=str(folder.path) if works else "",
        settings=spec.model_dump_json(),
    )
    if works:
        folder.claim(identity)
    try:
        ledger.start_run(entry)
        plan, prices, panels = dict[str, Any](), Prices({}, {}), dict[str, Panel]()
        scored = 0
        if works:
            plan = folder.read_work(PLAN) or _ingested(refresher, spec, tickers, todo, started)
            prices = read_prices(spec, tickers, plan, todo)
            panels = _panels(spec, prices, todo, plan, clock)
            scored = _score(ledger, spec, entry, prices, todo, refresher, clock)
        state = NightState(spec, entry, ledger, folder, clock, command, todo, prices, plan, panels)
        if works and "parents" not in plan:
            plan |= {"parents": _parents(state), "retrain": _retrain(state)}
            folder.write_work(PLAN, plan)
        return NightRun(state, workers=workers, scored=scored, seconds=time.perf_counter() - began)
    except BaseException:
        folder.release()
        raise


class NightRun(JobRunner[NightJob]):
    """A night under way: its jobs, the pool that carries them out, and its end."""

    def __init__(self, state: NightState, *, workers: int | None, scored: int, seconds: float) -> None:
        spec, panels = state.spec, state.panels
        todo = {m: tuple(t for t in panel.tickers if t in state.plan["open"]) for m, panel in panels.items()}
        inputs = NightInputs(
            spec=spec,
            panels=panels,
            sessions=sessions_of(panels, spec.experiment.walk),
            due={market: np.datetime64(state.agenda.markets[market].session) for market in panels},
            parents=state.plan.get("parents", {}),
            retrain=state.plan.get("retrain", {}),
            folder=state.folder,
        )
        super().__init__(
            state.folder,
            night_stages(spec, todo),
            workers,
            lambda count: local_pool(inputs, count, perform, half_of(state.seconds_left())),
        )
        self.skipped = "" if state.entry.folder else state.agenda.skipped
        self._state, self._scored, self._seconds = state, scored, {"prices": round(seconds, 3)}

    def finish(self) -> Night:
        """Blend, recalibrate, issue, note what is missing, and write the page; the manifest is written last."""
        self.close()
        state, began = self._state, time.perf_counter()
        if self.skipped:
            night = view(
                state, "skipped", self.skipped, IssuedNight((), 0, 0), scored=0, workers=0, seconds=self._seconds
            )
            state.ledger.end_run(state.entry.run_id, "skipped", self.skipped, at=state.clock())
            return night
        collected = collect(state, self)
        issued = issue(state, collected)
        note_events(state)
        status, message = verdict(issued.tickers, state.plan["open"], issued.failed_models, state.plan.get("told", ()))
        self._seconds |= {key: job_facts["seconds"] for key, job_facts in collected.facts.items()}
        self._seconds["issue"] = round(time.perf_counter() - began, 3)
        night = view(state, status, message, issued, scored=self._scored, workers=self.workers, seconds=self._seconds)
        folder, facts = state.folder, facts_of(state, collected)
        folder.write_pages(render_night(night, runs=folder.runs_page))
        folder.write_table("forecasts.parquet", night.today)
        folder.write_text("experiment.json", state.spec.experiment.to_json())
        folder.write_text("nightly.json", state.spec.model_dump_json(indent=1) + "\n")
        state.ledger.end_run(night.run_id, status, message, at=night.finished_at, facts=json.dumps(facts))
        folder.finish(manifest_of(night, facts))
        write_list(folder, runs_page)
        return night


def _ingested(
    refresher: Refresher, spec: Nightly, tickers: Sequence[str], todo: Agenda, now: datetime
) -> dict[str, Any]:
    interval = stored_at(spec.experiment.universe.interval)
    plan = ingest(refresher, tickers, interval, now=now) | {"open": list(todo.open_tickers)}
    if not spec.experiment.covariates:
        return plan
    return plan | {"beside": fetched_beside(refresher, spec, now=now), "covariates": {}, "told": []}


def _panels(spec: Nightly, prices: Prices, todo: Agenda, plan: dict[str, Any], clock: Clock) -> dict[str, Panel]:
    """The bars of each market that can still be forecast; one that a killed run had begun is not given up.

    The versions of the covariates that are drawn for them are entered into the plan.
    """
    panels: dict[str, Panel] = {}
    for market, night in todo.markets.items():
        ready = [ticker for ticker, n in prices.tickers.items() if n.market == market and n.status == "ok"]
        in_time = night.deadline is not None and clock() < night.deadline
        if set(ready) & set(plan["open"]) and (in_time or "parents" in plan):
            histories = tuple(prices.histories[ticker].between(None, night.session) for ticker in ready)
            if version := plan.get("covariates", {}).get(market):
                histories = recalled(ModelStore(Path(spec.models)), version, histories)
            elif spec.experiment.covariates:
                drawn = draw(spec, histories, plan, todo.market_of)
                histories = drawn.histories
                plan["covariates"][market] = drawn.version
                plan["told"] = list(dict.fromkeys([*plan["told"], *drawn.told]))
            panels[market] = with_features(Panel(histories), spec.experiment.forecasters)
    return panels


def _score(
    ledger: Ledger,
    spec: Nightly,
    entry: RunEntry,
    prices: Prices,
    todo: Agenda,
    refresher: Refresher,
    clock: Clock,
) -> int:
    """Enter the outcome of every live forecast whose session the prices now hold, and correct what they now deny.

    Forecasts of tickers that were taken out since are scored too, as far as their bars can still be had: a record of
    survivors would flatter.
    """
    days = [history.dates[-1] for history in prices.histories.values()]
    if not days:
        return 0
    unscored = ledger.unscored(spec.name, max(days).astype(object))
    since = np.datetime64(entry.started_at.date() - REACH, "s")
    open_ones = unscored.loc[unscored["ds"].to_numpy().astype("datetime64[s]") >= since, "ticker"]
    former = sorted(set(open_ones) - set(prices.tickers))
    histories = {**prices.histories, **bars_of_former(refresher, spec, former, entry.started_at)}
    scored = ledger.score(outcomes(unscored, histories), entry.run_id, at=clock())
    store = PriceStore(Path(spec.experiment.universe.store))
    due = {ticker: key_of_text(todo.markets[night.market].session) for ticker, night in prices.tickers.items()}
    rescore(ledger, spec.name, entry.run_id, store, prices.histories, due, at=clock())
    return scored


def _parents(state: NightState) -> dict[str, str]:
    """By job key, the newest weights on record; tonight's own, where an earlier run for the same session left some."""
    days = [state.due(market) for market in state.panels]
    if not days:
        return {}
    rows = state.ledger.models(state.spec.name, upto=max(days))
    return {f"{row.kind}:{row.key}": str(row.version) for row in rows.itertuples()}


def _retrain(state: NightState) -> dict[str, str]:
    """Markets that are fitted anew tonight, and why; one that has no weights yet needs no reason."""
    settings, reasons = state.spec.retraining, dict[str, str]()
    monitor = drift(state.ledger, state.spec, state.record((state.spec.experiment.verdict.recommended,)))
    events = state.ledger.events(state.spec.name)
    alarms = [text_of(day) for day in events.loc[events["kind"] == "drift", "session"]]
    for market, panel in state.panels.items():
        trained = last_fit(state.ledger, state.spec, market)
        age = age_of(panel, trained)
        if trained and age and settings.on_drift and monitor.alarmed:
            reasons[market] = f"drift: {monitor.sentence}"
        elif trained and age and settings.on_drift and max(alarms, default="") > trained:
            reasons[market] = f"the drift monitor alarmed on {max(alarms)}, when another market was due"
        elif trained and age >= settings.every:
            reasons[market] = f"{age} sessions since the last full fit"
    return reasons


def forecast(
    spec: Nightly,
    *,
    scheduled: datetime,
    clock: Clock | None = None,
    workers: int | None = None,
    command: str = "",
    fetching: Fetching | None = None,
    on_result: Callable[[JobResult], None] | None = None,
) -> Night:
    """Run a whole night in a plain loop."""
    with open_night(spec, scheduled=scheduled, clock=clock, workers=workers, command=command, fetching=fetching) as run:
        for result in run.execute_stages():
            if on_result is not None:
                on_result(result)
        return run.finish()


def _now() -> datetime:
    return datetime.now(UTC)
