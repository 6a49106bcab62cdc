"""Plan of a night: which sessions are due, which were missed, and which tickers are to be forecast.

Decided once a run and kept in its folder, so that a killed run goes on with the same prices and the same decisions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from s2squant.config.intervals import SECONDS, market_of, periods_of
from s2squant.config.nightly import Nightly
from s2squant.errors import ConfigError, PriceError
from s2squant.nightly.ledger.entries import GapKind, RunEntry
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.results import MarketNight
from s2squant.prices.calendars.grid import next_bars
from s2squant.prices.calendars.guess import guess_calendar
from s2squant.prices.calendars.sessions import deadline, due_session, is_closed, local_day, sessions_after
from s2squant.prices.sources.from_store import as_history, stored_at
from s2squant.prices.store.price_store import PriceStore
from s2squant.series.arrays import date_of


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


def agenda(spec: Nightly, tickers: Sequence[str], ledger: Ledger, *, scheduled: datetime, now: datetime) -> Agenda:
    """Compare the sessions due at the scheduled time with what the ledger holds.

    Raises ConfigError where it holds a record of bars of another length under this name.
    """
    _check_interval(spec, ledger)
    market_of = calendars_of(spec, tickers)
    live, gaps = ledger.live_cutoffs(spec.name), ledger.gaps(spec.name)
    lost = {(ticker, day) for ticker, day in zip(gaps["ticker"], gaps["cutoff"], strict=True)}
    asked = cache(lambda run_id: _tickers_of(ledger.run(run_id)))
    markets: dict[str, MarketNight] = {}
    todo: list[str] = []
    missed: list[Missing] = []
    for market in sorted(set(market_of.values())):
        members = [ticker for ticker in tickers if market_of[ticker] == market]
        due, until = due_session(market, scheduled), deadline(market, due_session(market, scheduled))
        day = due.astype(object)
        known = {d for t, d in (*live, *lost) if market_of.get(t) == market and d < day}
        between = list(sessions_after(market, date_of(market, max(known)), due)) if known else []
        for session in between:
            reason = f"no run forecast from {session} before its deadline"
            missed += [Missing(ticker, market, session.astype(object), "missed", reason) for ticker in members]
        missed += _left_behind(market, members, known, live, lost, asked)
        waiting = [t for t in members if (t, day) not in live and not ((t, day) in lost and now >= until)]
        if len(waiting) < len(members) and is_closed(market, due, scheduled):
            waiting = []  # whoever is missing was missing on the session's own evening
        markets[market] = MarketNight(
            market=market,
            session=str(due),
            next_session=str(next_bars(market, due, 1)[0]),
            deadline=until,
            skipped="" if waiting else _nothing(market, due, scheduled),
            missed=tuple(str(session) for session in between),
        )
        if now >= until:
            reason = f"the run came at {now:%Y-%m-%d %H:%M} UTC, after the deadline {until:%Y-%m-%d %H:%M} UTC"
            missed += [Missing(ticker, market, day, "late", reason) for ticker in waiting]
        todo += waiting
    return Agenda(tuple(tickers), markets, market_of, tuple(todo), tuple(missed))


def _tickers_of(run: RunEntry | None) -> frozenset[str]:
    """The tickers that a run was to forecast, by its settings; none where it took all of its source."""
    return frozenset(_universe_of(run).get("tickers", ())) if run else frozenset()


def _universe_of(run: RunEntry) -> Mapping[str, Any]:
    try:
        universe: Mapping[str, Any] = json.loads(run.settings)["experiment"]["universe"]
    except (ValueError, KeyError, TypeError):
        return {}
    return universe


def _left_behind(
    market: str,
    members: Sequence[str],
    known: Collection[date],
    live: Mapping[tuple[str, date], str],
    lost: Collection[tuple[str, date]],
    asked: Callable[[str], frozenset[str]],
) -> list[Missing]:
    """Tickers without a word of a session that others were forecast from: the run that was to forecast them died."""
    by_day: dict[date, str] = {}
    for (_, day), run_id in live.items():
        if day in known:
            by_day[day] = run_id
    missing = []
    for ticker in members:
        own = {day for day in known if (ticker, day) in live or (ticker, day) in lost}
        for day in sorted(day for day in known if (not own or day > max(own)) and day in by_day):
            if ticker in asked(by_day[day]):
                reason = f"the run {by_day[day]} ended before it was issued, and no other came in time"
                missing.append(Missing(ticker, market, day, "missed", reason))
    return missing


def _nothing(market: str, due: np.datetime64, scheduled: datetime) -> str:
    closed = f"closed on {local_day(market, scheduled)}; " if is_closed(market, due, scheduled) else ""
    return f"{market}: {closed}everything from {due} is in the ledger already"


def _check_interval(spec: Nightly, ledger: Ledger) -> None:
    interval = spec.experiment.universe.interval or "1d"
    for run in ledger.runs(spec.name, newest=1):
        before = _universe_of(run).get("interval", "") or "1d"
        if before != interval:
            raise ConfigError(
                f"the ledger holds forecasts of {before} bars under {spec.name}; give those of {interval} another name"
            )


def calendars_of(spec: Nightly, tickers: Sequence[str] | None = None) -> dict[str, str]:
    """Ticker -> market, of these or of all the nightly's: by the settings, by the stored bars, else by its name."""
    universe = spec.experiment.universe
    store, interval = PriceStore(Path(universe.store)), stored_at(universe.interval)
    markets = {}
    for ticker in tickers if tickers is not None else universe.tickers or store.tickers(interval):
        stored = None
        if ticker not in universe.calendars or interval in SECONDS:
            with suppress(PriceError):
                stored = store.find(ticker, interval)
        if stored is not None:
            guess = as_history(stored).calendar if interval in SECONDS else stored.about.calendar
        else:
            guess = universe.calendars.get(ticker) or guess_calendar(ticker, np.array([], "datetime64[D]"))
            guess = market_of(interval, guess) if interval in SECONDS else guess
        daily = guess if interval in SECONDS else universe.calendars.get(ticker) or guess
        markets[ticker] = periods_of(universe.interval, daily)
    return markets
