"""Status of the scheduled operation: schedules, runs, freshness of prices, and what the ledger holds and lacks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from s2squant.config.files import recorded_nightly
from s2squant.config.intervals import intraday
from s2squant.config.nightly import Nightly
from s2squant.errors import CallerError, ConfigError, LedgerError, PriceError, ServerError
from s2squant.nightly.agenda import calendars_of
from s2squant.nightly.ledger.database import ledger_url
from s2squant.nightly.ledger.entries import RunEntry
from s2squant.nightly.ledger.ledger import Ledger, existing_ledger
from s2squant.nightly.operation.server import DeployedFlow, FlowRun, PrefectApi, address, expected
from s2squant.nightly.results import text_of, when
from s2squant.prices.calendars.exchanges import sessions_between
from s2squant.prices.calendars.grid import bars_between
from s2squant.prices.calendars.sessions import due_session
from s2squant.prices.sources.from_store import stored_at
from s2squant.prices.store.price_store import PriceStore
from s2squant.series.arrays import date_of

SESSIONS = 30
"""How far back gaps are counted."""
ENTRIES = 500
"""Of the ledger's chain, the newest, that are looked at: all of it is for `s2squant ledger verify`."""
HUNG = timedelta(hours=6)
RETIRED = timedelta(days=14)
"""A nightly that is not deployed any more, beside others that are, was given up when its last run is as old as this."""
SHOWN_RUNS = 50
"""Of the server's newest."""
BROKEN = ("Failed", "Crashed", "TimedOut")


@dataclass(frozen=True)
class MarketFreshness:
    """The stored prices of one market's tickers against the session that is due."""

    market: str
    due: str
    tickers: int
    newest: str
    """The newest last bar of any ticker."""
    behind: Mapping[str, str]
    """Ticker -> its last bar, of those without the due session's; "" where none is stored."""


@dataclass(frozen=True)
class NightlyStanding:
    """One nightly as the ledger has it."""

    name: str
    last_run: RunEntry
    last_issued: Mapping[str, str]
    """Market -> the newest session with a live forecast."""
    due: Mapping[str, str]
    gaps: Mapping[str, int]
    """Kind -> missing forecasts of the last SESSIONS sessions."""
    last_gaps: Mapping[str, str]
    """Ticker -> kind and reason, of the newest session with a gap or a forecast."""
    drift: str
    """The last drift alarm, "" without one."""


@dataclass(frozen=True)
class Standing:
    """Everything that `s2squant status` shows; `troubles` is empty where all is well."""

    at: datetime
    server: str
    server_says: str
    """"" where it answers."""
    deployments: tuple[DeployedFlow, ...] = ()
    runs: tuple[FlowRun, ...] = ()
    ledger: str = ""
    nightlies: tuple[NightlyStanding, ...] = ()
    markets: tuple[MarketFreshness, ...] = ()
    troubles: tuple[str, ...] = field(default=())


def standing(now: datetime) -> Standing:
    """Look at the server, the ledger and the price store; a dead server or a missing ledger is said, not raised."""
    url, named = address()
    says, name = "", ""
    troubles: list[str] = []
    deployments: tuple[DeployedFlow, ...] = ()
    runs: tuple[FlowRun, ...] = ()
    nightlies: tuple[NightlyStanding, ...] = ()
    markets: tuple[MarketFreshness, ...] = ()
    try:
        with PrefectApi(url) as api:
            deployments = api.deployments()
            runs = api.last_runs(deployments, SHOWN_RUNS)
            troubles += _troubles_of_server(api, deployments, runs)
    except ServerError as error:
        says = str(error)
        troubles += [says] * named
    should = expected()
    if says and should:
        troubles.append(f"{', '.join(should)} should run here, and no server answers; s2squant up starts it")
    elif not says:
        there = {deployment.name for deployment in deployments}
        troubles += [f"{name} should run here, and is not scheduled" for name in should if name not in there]
    try:
        ledger = existing_ledger()
        if ledger is not None:
            name, specs = ledger.name, [(run, _spec(run.settings)) for run in ledger.last_runs()]
            nightlies = tuple(_nightly(ledger, run, spec, now) for run, spec in specs)
            markets = tuple(_freshness([spec for _, spec in specs if spec is not None], now))
            changed = ledger.verify(newest=ENTRIES)[0][:1]
            troubles += [f"ledger: {fault} past it; s2squant ledger verify says all" for fault in changed]
    except (LedgerError, CallerError) as error:
        troubles.append(str(error))
    if says and not (named or should or name or troubles):
        troubles.append(f"nothing runs in {Path.cwd()}: no server, no ledger; is it the folder?")
    troubles += _unwritable()
    deployed = {deployment.name for deployment in deployments}
    for nightly in nightlies:
        troubles += [] if _retired(nightly, deployed, now) else _troubles(nightly, now)
    troubles += [f"{m.market}: {len(m.behind)} of {m.tickers} tickers lack {m.due}" for m in markets if m.behind]
    return Standing(now, url, says, deployments, runs, name, nightlies, markets, tuple(troubles))


def _troubles_of_server(api: PrefectApi, deployments: Sequence[DeployedFlow], runs: Sequence[FlowRun]) -> Iterator[str]:
    newest = {run.deployment: run for run in reversed(runs) if run.deployment}
    unseen = [d for d in deployments if d.schedules and d.name not in newest]
    newest |= {run.deployment: run for run in map(api.last_run, unseen) if run is not None}
    yield from (f"{d.name} is paused" for d in deployments if d.paused)
    for name, run in newest.items():
        if run.state in BROKEN:
            yield f"{name}: the last run is {run.state}: {run.message}"
    yield from (f"{d.name} has no next run" for d in deployments if d.schedules and not (d.paused or d.next_run))


def _unwritable() -> Iterator[str]:
    """Folders that a run could not write to: one that was mounted read-only, or is another's."""
    url = ledger_url()
    places = [Path("data"), Path("reports")]
    if url.get_backend_name() == "sqlite":
        places.append(Path(url.database or "").parent)
    for place in dict.fromkeys(map(Path.absolute, places)):
        there = next(path for path in (place, *place.parents) if path.exists())
        if not os.access(there, os.W_OK):
            yield f"{there} cannot be written; no run could keep what it finds"


def _spec(settings: str) -> Nightly | None:
    try:
        return recorded_nightly(settings, where="settings of a run")
    except ConfigError:
        return None


def _nightly(ledger: Ledger, run: RunEntry, spec: Nightly | None, now: datetime) -> NightlyStanding:
    issued: dict[str, date] = {}
    calendars = calendars_of(spec) if spec else {}
    live = ledger.live_cutoffs(run.nightly)
    for ticker, cutoff in live:
        market = calendars.get(ticker, "")
        issued[market] = max(cutoff, issued.get(market, cutoff))
    gaps = ledger.gaps(run.nightly)
    newest = max([*issued.values(), *gaps["cutoff"]], default=None)
    since = now.date() - timedelta(days=60)
    for market in sorted(set(calendars.values())):
        days = sessions_between(market, since, now.date())
        since = days[-SESSIONS].astype(object) if len(days) >= SESSIONS else since
    recent = gaps[pd.to_datetime(gaps["cutoff"]) >= pd.Timestamp(since)]
    last = gaps[gaps["cutoff"] == newest]
    events = ledger.events(run.nightly)
    drift = events[events["kind"] == "drift"].tail(1)
    return NightlyStanding(
        name=run.nightly,
        last_run=run,
        last_issued={market: text_of(day) for market, day in sorted(issued.items())},
        due={market: str(due_session(market, now)) for market in sorted(set(calendars.values()))},
        gaps={str(kind): int(count) for kind, count in recent["kind"].value_counts().items()},
        last_gaps={str(r["ticker"]): f"{r['kind']}: {r['reason']}" for r in last.to_dict("records")},
        drift=f"{drift['session'].iloc[0]}: {drift['text'].iloc[0]}" if len(drift) else "",
    )


def _retired(nightly: NightlyStanding, deployed: Collection[str], now: datetime) -> bool:
    """Whether a nightly was renamed or taken out: its rows stay in the ledger, but nothing is due any more."""
    served = any(name.startswith("forecast/") for name in deployed)
    return served and f"forecast/{nightly.name}" not in deployed and now - nightly.last_run.started_at > RETIRED


def _troubles(nightly: NightlyStanding, now: datetime) -> Iterator[str]:
    run = nightly.last_run
    match run.status:
        case "running" if now - run.started_at > HUNG:
            yield f"{nightly.name}: the run of {run.scheduled_at:%Y-%m-%d %H:%M} UTC never ended"
        case "partial" | "failed" | "late" | "dead":
            yield f"{nightly.name}: the last run is {run.status}: {run.message}"
    # The session that fell due last may still be waiting for its schedule: it is missing once the next one is due.
    for market, due in nightly.due.items():
        before = str(_session_before(market, due))
        if nightly.last_issued.get(market, "") < before:
            newest = nightly.last_issued.get(market, "")
            since = f"since {when(market, newest)}" if newest else "yet"
            yield f"{nightly.name}: nothing is issued for {market} {since}; {when(market, before)} is missing"


def _session_before(market: str, day: str) -> np.datetime64:
    if intraday(market):
        due = np.datetime64(day, "s")
        return np.datetime64(bars_between(market, due - np.timedelta64(20, "D"), due - np.timedelta64(1, "s"))[-1])
    end = np.datetime64(day, "D")
    known = sessions_between(market, end - np.timedelta64(70, "D"), end - np.timedelta64(1, "D"))
    weekday: np.datetime64 = np.busday_offset(end, -1, roll="backward")
    return np.datetime64(known[-1], "D") if len(known) else weekday


def _freshness(specs: Sequence[Nightly], now: datetime) -> Iterator[MarketFreshness]:
    last: dict[str, dict[str, str]] = defaultdict(dict)
    for spec in specs:
        if spec.experiment.universe.source.partition(":")[0] not in ("yfinance", "store"):
            continue
        store, interval = PriceStore(Path(spec.experiment.universe.store)), stored_at(spec.experiment.universe.interval)
        for ticker, market in calendars_of(spec).items():
            try:
                last[market][ticker] = str(date_of(market, store.versions(ticker, interval)[-1].last))
            except PriceError:
                last[market][ticker] = ""
    for market, tickers in sorted(last.items()):
        due = str(_session_before(market, str(due_session(market, now))))
        behind = {ticker: day for ticker, day in sorted(tickers.items()) if day < due}
        yield MarketFreshness(market, due, len(tickers), max(tickers.values()), behind)
