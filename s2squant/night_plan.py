"""What a night has to do: which sessions are due, what was missed, and whose fresh bars are there.

Decided once a run and kept in its folder, so that a killed run goes on with the same prices and the same decisions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from s2squant.config import Fetching
from s2squant.errors import PriceError, S2squantError
from s2squant.ledger import GapKind, Ledger
from s2squant.night_records import MarketNight, TickerNight
from s2squant.nightly_specs import Nightly
from s2squant.prices.bars import day_of
from s2squant.prices.calendars import next_sessions
from s2squant.prices.guess import guess_calendar
from s2squant.prices.ingest import FetchRequest, open_refresher
from s2squant.prices.price_store import PriceStore
from s2squant.prices.refresh import Refresher, Update
from s2squant.prices.sessions import deadline, due_session, local_day, sessions_after
from s2squant.prices.stored import as_history
from s2squant.prices.universe import load_ticker
from s2squant.records import PriceHistory


@dataclass(frozen=True)
class Missing:
    """A forecast that there will not be."""

    ticker: str
    market: str
    cutoff: date
    kind: GapKind
    reason: str


@dataclass(frozen=True)
class Agenda:
    """What is due, before any price is fetched."""

    tickers: tuple[str, ...]
    markets: Mapping[str, MarketNight]
    market_of: Mapping[str, str]
    """By the store, or guessed from the ticker."""
    open_tickers: tuple[str, ...]
    """Those that have no live forecast from the due session of their market yet, and still may."""
    missed: tuple[Missing, ...]

    @property
    def skipped(self) -> str:
        """Why there is nothing to do; empty where there is."""
        if self.open_tickers:
            return ""
        return "; ".join(dict.fromkeys(night.skipped for night in self.markets.values())) or "no ticker is due"


@dataclass(frozen=True)
class Prices:
    """The bars of a night: by ticker, cut at the due session, and why the others have none."""

    histories: Mapping[str, PriceHistory]
    """Of every ticker that can be read, stale ones too."""
    tickers: Mapping[str, TickerNight]


def agenda(spec: Nightly, tickers: Sequence[str], ledger: Ledger, *, scheduled: datetime, now: datetime) -> Agenda:
    """Compare the sessions due at the scheduled time with what the ledger holds."""
    store = PriceStore(Path(spec.experiment.universe.store))
    market_of = {ticker: _market_of(spec, store, ticker) for ticker in tickers}
    live, gaps = ledger.live_cutoffs(spec.name), ledger.gaps(spec.name)
    lost = {(ticker, day) for ticker, day in zip(gaps["ticker"], gaps["cutoff"], strict=True)}
    asked = _Asked(spec.name, ledger)
    markets: dict[str, MarketNight] = {}
    todo: list[str] = []
    missed: list[Missing] = []
    for market in sorted(set(market_of.values())):
        members = [ticker for ticker in tickers if market_of[ticker] == market]
        due, until = due_session(market, scheduled), deadline(market, due_session(market, scheduled))
        day = due.astype(object)
        told = {d for t, d in (*live, *lost) if market_of.get(t) == market and d < day}
        between = list(sessions_after(market, np.datetime64(max(told), "D"), due)) if told else []
        for session in between:
            reason = f"no run forecast from {session} before its deadline"
            missed += [Missing(ticker, market, session.astype(object), "missed", reason) for ticker in members]
        missed += _left_behind(market, members, told, live, lost, asked)
        waiting = [t for t in members if (t, day) not in live and not ((t, day) in lost and now >= until)]
        if len(waiting) < len(members) and _closed(market, due, scheduled):
            waiting = []  # whoever is missing was missing on the session's own evening
        markets[market] = MarketNight(
            market=market,
            session=str(due),
            next_session=str(next_sessions(market, due, 1)[0]),
            deadline=until,
            skipped="" if waiting else _nothing(market, due, scheduled),
            missed=tuple(str(session) for session in between),
        )
        if now >= until:
            reason = f"the run came at {now:%Y-%m-%d %H:%M} UTC, after the deadline {until:%Y-%m-%d %H:%M} UTC"
            missed += [Missing(ticker, market, day, "late", reason) for ticker in waiting]
        todo += waiting
    return Agenda(tuple(tickers), markets, market_of, tuple(todo), tuple(missed))


class _Asked:
    """The tickers that a run was to forecast, by its settings in the ledger; read when first asked for."""

    def __init__(self, nightly: str, ledger: Ledger) -> None:
        self._nightly, self._ledger = nightly, ledger
        self._tickers: dict[str, frozenset[str]] | None = None

    def of(self, run_id: str) -> frozenset[str]:
        """None of them where the run took all of its source, or is too long ago."""
        if self._tickers is None:
            self._tickers = {run.run_id: _named(run.settings) for run in self._ledger.runs(self._nightly)}
        return self._tickers.get(run_id, frozenset())


def _named(settings: str) -> frozenset[str]:
    try:
        return frozenset(json.loads(settings)["experiment"]["universe"]["tickers"])
    except (ValueError, KeyError, TypeError):
        return frozenset()


def _left_behind(
    market: str,
    members: Sequence[str],
    told: Collection[date],
    live: Mapping[tuple[str, date], str],
    lost: Collection[tuple[str, date]],
    asked: _Asked,
) -> list[Missing]:
    """Tickers without a word of a session that others were forecast from: the run that was to forecast them died."""
    by_day: dict[date, str] = {}
    for (_, day), run_id in live.items():
        if day in told:
            by_day[day] = run_id
    found = []
    for ticker in members:
        own = {day for day in told if (ticker, day) in live or (ticker, day) in lost}
        since = max(own, default=date.min)
        for day in sorted(day for day in told if day > since and day in by_day):
            if ticker in asked.of(by_day[day]):
                reason = f"the run {by_day[day]} ended before it was issued, and no other came in time"
                found.append(Missing(ticker, market, day, "missed", reason))
    return found


def _nothing(market: str, due: np.datetime64, scheduled: datetime) -> str:
    closed = f"closed on {local_day(market, scheduled)}; " if _closed(market, due, scheduled) else ""
    return f"{market}: {closed}everything from {due} is in the ledger already"


def _closed(market: str, due: np.datetime64, scheduled: datetime) -> bool:
    """Whether the scheduled day lies between two sessions: a holiday, or a weekend."""
    return bool(next_sessions(market, due, 1)[0] > local_day(market, scheduled) > due)


def _market_of(spec: Nightly, store: PriceStore, ticker: str) -> str:
    universe = spec.experiment.universe
    if ticker in universe.calendars:
        return universe.calendars[ticker]
    try:
        kept = store.find(ticker)
    except PriceError:
        kept = None
    return kept.about.calendar if kept else guess_calendar(ticker, np.array([], "datetime64[D]"))


def open_prices(spec: Nightly, fetching: Fetching, clock: Any) -> tuple[Refresher, tuple[str, ...]]:
    """What brings the store up to date, and the nightly's tickers; raises SourceError for a source that is none."""
    universe = spec.experiment.universe
    request = FetchRequest(tickers=universe.tickers, store=Path(universe.store), source=universe.source, spec=fetching)
    return open_refresher(request, clock=clock)


def acquaint(refresher: Refresher, tickers: Sequence[str]) -> None:
    """Fetch what is not stored at all yet: only then is a ticker's calendar known for sure."""
    for ticker in tickers:
        try:
            known = refresher.store.find(ticker) is not None
        except PriceError:
            known = True  # damaged: it is refused by name later
        if not known:
            refresher.update(ticker)


def ingest(refresher: Refresher, tickers: Sequence[str], *, now: datetime) -> dict[str, Any]:
    """Bring the store up to date; says which version of each ticker this night reads, and what is wrong."""
    versions: dict[str, str] = {}
    refused: dict[str, str] = {}
    notes: dict[str, str] = {}
    revised: dict[str, str] = {}
    for update in refresher.update_all(tickers):
        ticker, reason = update.ticker, update.error.reason if update.error else ""
        if update.kept is None:
            refused[ticker] = reason
            continue
        versions[ticker] = update.kept.version.fetched_at
        if reason:
            notes[ticker] = reason
        told = _told_late(update)
        if told:
            revised[ticker] = "; ".join(told)
    at = now.astimezone(UTC).isoformat()
    return {"at": at, "versions": versions, "refused": refused, "notes": notes, "revised": revised}


def bars_of_former(
    refresher: Refresher, spec: Nightly, tickers: Sequence[str], now: datetime
) -> dict[str, PriceHistory]:
    """Finished bars of tickers that were taken out while forecasts of theirs were open; those that can be had."""
    found: dict[str, PriceHistory] = {}
    for ticker in tickers:
        with suppress(S2squantError):
            kept = refresher.update(ticker).kept
            if kept is not None:
                source = Pinned(refresher.store, {ticker: kept.version.fetched_at})
                found[ticker] = load_ticker(source, ticker, spec.experiment.universe, now)
    return found


def _told_late(update: Update) -> list[str]:
    """What an update changed in the bars kept before; a split or a dividend of a new bar is no news of the old ones."""
    if not update.changes or update.kept is None:
        return []
    last = day_of(update.kept.bars.at[-1 - update.added])  # the last bar kept before
    events = [c for c in update.changes if c.reason in ("split", "dividend") and c.rewrites(last)]
    others = [c for c in update.changes if c.reason in ("vendor revision", "late session")]
    return [f"late {c.reason}: {c.what}" for c in events] + [f"{c.reason}: {c.what}" for c in others]


def read_prices(spec: Nightly, tickers: Sequence[str], plan: Mapping[str, Any], agenda: Agenda) -> Prices:
    """The bars that the plan names, up to the due session; and what is wrong with those that cannot be forecast."""
    source = Pinned(PriceStore(Path(spec.experiment.universe.store)), plan["versions"])
    now, walk = datetime.fromisoformat(plan["at"]), spec.experiment.walk
    histories: dict[str, PriceHistory] = {}
    nights: dict[str, TickerNight] = {}
    for ticker in tickers:
        night = TickerNight(ticker, agenda.market_of[ticker], "ok", prices_at=plan["versions"].get(ticker, ""))
        try:
            if ticker not in plan["versions"]:
                raise PriceError(ticker, plan["refused"].get(ticker, "not fetched"))
            whole = load_ticker(source, ticker, spec.experiment.universe, now)
            market = agenda.markets.get(whole.calendar)
            if market is None:
                raise PriceError(ticker, f"its calendar turned out to be {whole.calendar}; run again")
            history = whole.between(None, market.session)
        except PriceError as error:
            nights[ticker] = replace(night, status="failed", reason=error.reason)
            continue
        histories[ticker] = whole
        night = replace(night, session=str(history.dates[-1]))
        if str(history.dates[-1]) != market.session:
            why = plan["notes"].get(ticker, "")
            reason = f"its last bar is of {history.dates[-1]}, {market.session} is due" + (f" ({why})" if why else "")
            nights[ticker] = replace(night, status="stale", reason=reason)
        elif len(history) < walk.min_train:
            reason = f"too short: {len(history)} bars, {walk.min_train} are needed"
            nights[ticker] = replace(night, status="failed", reason=reason)
        else:
            nights[ticker] = night
    return Prices(histories, nights)


class Pinned:
    """A price store at the versions that a night reads."""

    def __init__(self, store: PriceStore, versions: Mapping[str, str]) -> None:
        self.name = f"store:{store.folder}"
        self._store, self._versions = store, dict(versions)

    def tickers(self) -> tuple[str, ...]:
        return tuple(self._versions)

    def default_universe(self) -> tuple[str, ...]:
        return self.tickers()

    def check(self, tickers: Sequence[str]) -> None:
        """Nothing is refused: what is missing is found when it is read."""

    def history(self, ticker: str) -> PriceHistory:
        moment = datetime.fromisoformat(self._versions[ticker])
        return as_history(self._store.read(ticker, as_of=moment))
