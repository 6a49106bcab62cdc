"""Prices of a night: brought up to date in the store, and read at the versions that the night began with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from s2squant.config.fetching import Fetching
from s2squant.config.nightly import Nightly
from s2squant.errors import PriceError, S2squantError
from s2squant.nightly.agenda import Agenda
from s2squant.nightly.results import TickerNight
from s2squant.nightly.young import is_young
from s2squant.prices.calendars.grid import clock_text
from s2squant.prices.fetch import FetchRequest, open_refresher
from s2squant.prices.sources.from_store import as_history, stored_at
from s2squant.prices.store.bars import day_of
from s2squant.prices.store.price_store import PriceStore
from s2squant.prices.store.refresh import Refresher, Update
from s2squant.prices.universe import beside_others, load_ticker
from s2squant.series.arrays import dates_of
from s2squant.series.history import PriceHistory
from s2squant.series.windows import unsettled


@dataclass(frozen=True)
class Prices:
    """The bars of a night: by ticker, cut at the due session, and why the others have none."""

    histories: Mapping[str, PriceHistory]
    """Of every ticker that can be read, stale ones too."""
    tickers: Mapping[str, TickerNight]


def open_prices(spec: Nightly, fetching: Fetching, clock: Any) -> tuple[Refresher, tuple[str, ...]]:
    """What brings the store up to date, and the nightly's tickers; raises SourceError for a source that is none."""
    universe = spec.experiment.universe
    request = FetchRequest(
        tickers=universe.tickers,
        store=Path(universe.store),
        source=universe.source,
        interval=stored_at(universe.interval),
        spec=fetching,
        universe=universe,
    )
    return open_refresher(request, clock=clock)


def acquaint(refresher: Refresher, tickers: Sequence[str], interval: str) -> None:
    """Fetch what is not stored at all yet: only then is a ticker's calendar known for sure."""
    for ticker in tickers:
        try:
            known = refresher.store.find(ticker, interval) is not None
        except PriceError:
            known = True  # damaged: it is refused by name later
        if not known:
            refresher.update(ticker, interval)


def ingest(refresher: Refresher, tickers: Sequence[str], interval: str, *, now: datetime) -> dict[str, Any]:
    """Bring the store up to date; says which version of each ticker this night reads, and what is wrong."""
    versions: dict[str, str] = {}
    refused: dict[str, str] = {}
    notes: dict[str, str] = {}
    revised: dict[str, str] = {}
    for update in refresher.update_all(tickers, interval):
        ticker, reason = update.ticker, update.error.reason if update.error else ""
        if update.stored is None:
            refused[ticker] = reason
            continue
        versions[ticker] = update.stored.version.fetched_at
        if reason:
            notes[ticker] = reason
        changes = _late_changes(update)
        if changes:
            revised[ticker] = "; ".join(changes)
    moment = now.astimezone(UTC).isoformat()
    return {"at": moment, "versions": versions, "refused": refused, "notes": notes, "revised": revised}


def bars_of_former(
    refresher: Refresher, spec: Nightly, tickers: Sequence[str], now: datetime
) -> dict[str, PriceHistory]:
    """Finished bars of tickers that were taken out while forecasts of theirs were open; those that can be had."""
    bars: dict[str, PriceHistory] = {}
    for ticker in tickers:
        with suppress(S2squantError):
            stored = refresher.update(ticker, stored_at(spec.experiment.universe.interval)).stored
            if stored is not None:
                source = Pinned(refresher.store, {ticker: stored.version.fetched_at}, interval=stored.about.interval)
                bars[ticker] = load_ticker(source, ticker, spec.experiment.universe, now)
    return bars


def _late_changes(update: Update) -> list[str]:
    """What an update changed in the bars kept before; a split or a dividend of a new bar is no news of the old ones."""
    if not update.changes or update.stored is None:
        return []
    last = day_of(update.stored.bars.times[-1 - update.added])  # the last bar kept before
    events = [c for c in update.changes if c.reason in ("split", "dividend") and c.rewrites(last)]
    others = [c for c in update.changes if c.reason in ("vendor revision", "late session")]
    return [f"late {c.reason}: {c.what}" for c in events] + [f"{c.reason}: {c.what}" for c in others]


def read_prices(spec: Nightly, tickers: Sequence[str], plan: Mapping[str, Any], agenda: Agenda) -> Prices:
    """The bars that the plan names, up to the due session; and what is wrong with those that cannot be forecast."""
    source = pinned_to(spec, plan["versions"], plan["refused"])
    now, walk = datetime.fromisoformat(plan["at"]), spec.experiment.walk
    histories: dict[str, PriceHistory] = {}
    nights: dict[str, TickerNight] = {}
    for ticker in tickers:
        night = TickerNight(ticker, agenda.market_of[ticker], "ok", prices_at=plan["versions"].get(ticker, ""))
        try:
            whole = load_ticker(source, ticker, spec.experiment.universe, now)
            market = agenda.markets.get(whole.calendar)
            if market is None:
                raise PriceError(ticker, f"its calendar turned out to be {whole.calendar}; run again")
            history = whole.between(None, market.session)
        except PriceError as error:
            nights[ticker] = replace(night, status="failed", reason=error.reason)
            continue
        histories[ticker] = whole
        last, due = clock_text(history.calendar, dates_of(history.calendar, [history.dates[-1], market.session]))
        night = replace(night, session=str(history.dates[-1]))
        if str(history.dates[-1]) != market.session:
            why = plan["notes"].get(ticker, "")
            reason = f"its last bar is of {last}, {due} is due" + (f" ({why})" if why else "")
            nights[ticker] = replace(night, status="stale", reason=reason)
        elif len(history) < walk.min_train and not is_young(history, spec.experiment):
            reason = f"too short: {len(history)} bars, {walk.min_train} are needed"
            nights[ticker] = replace(night, status="failed", reason=reason)
        elif reason := unsettled(history):
            nights[ticker] = replace(night, status="failed", reason=reason)
        else:
            nights[ticker] = night
    kept, out = beside_others(list(histories.values()), spec.experiment.universe.accept)
    for bad in out:
        nights[bad.ticker] = replace(nights[bad.ticker], status="failed", reason=bad.reason)
    return Prices({history.ticker: history for history in kept}, nights)


def pinned_to(spec: Nightly, versions: Mapping[str, str], refused: Mapping[str, str] | None = None) -> Pinned:
    """The nightly's price store at these versions, bars of its interval."""
    universe = spec.experiment.universe
    return Pinned(PriceStore(Path(universe.store)), versions, refused, interval=stored_at(universe.interval))


class Pinned:
    """A price store at the versions that a night reads."""

    def __init__(
        self,
        store: PriceStore,
        versions: Mapping[str, str],
        refused: Mapping[str, str] | None = None,
        *,
        interval: str = "1d",
    ) -> None:
        self.name = f"store:{store.folder}"
        self._store, self._interval = store, interval
        self._versions, self._refused = dict(versions), dict(refused or {})

    def tickers(self) -> tuple[str, ...]:
        return tuple(self._versions)

    def default_universe(self) -> tuple[str, ...]:
        return self.tickers()

    def check(self, tickers: Sequence[str]) -> None:
        """Nothing is refused: what is missing is found when it is read."""

    def history(self, ticker: str) -> PriceHistory:
        if ticker not in self._versions:
            raise PriceError(ticker, self._refused.get(ticker, "not fetched"))
        moment = datetime.fromisoformat(self._versions[ticker])
        return as_history(self._store.read(ticker, self._interval, as_of=moment))
