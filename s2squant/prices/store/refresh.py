"""Incremental update of the store: request the missing bars and a few before them, and detect revisions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, Protocol

import numpy as np

from s2squant.config.fetching import Fetching
from s2squant.errors import BadPricesError, PriceError, TemporaryPriceError
from s2squant.prices.calendars.exchanges import is_settled, sessions_between
from s2squant.prices.store.bars import About, Answer, Bars, day_of, length_of
from s2squant.prices.store.price_store import PriceStore, Stored
from s2squant.prices.store.revisions import Change, Revision, revise

ASK_AGAIN = timedelta(hours=1)
"""How long an answer without the bar that is due counts as the source's last word."""


SOON = timedelta(minutes=1)
"""After so long a source is asked again for a bar within the day that has ended; a quarter of it, if that is less."""


class Fetcher(Protocol):
    """A source that is asked for spans of bars."""

    @property
    def name(self) -> str: ...

    @property
    def live(self) -> bool:
        """Whether it is asked over a network, and so no more often than it can have anything new."""
        ...

    def default_universe(self) -> tuple[str, ...]:
        """What is meant when no ticker is named; raises SourceError where there is no sensible answer."""
        ...

    def check(self, tickers: Sequence[str]) -> None:
        """Raise SourceError for the first that cannot be a ticker."""
        ...

    def check_span(self, interval: str, start: date | None, /) -> None:
        """Raise SourceError for an interval or a start the source has not."""
        ...

    def fetch(self, ticker: str, interval: str, start: datetime | None, known: About | None, /) -> Answer:
        """The settled bars from `start`, or all; raises PriceError."""
        ...

    def stop(self) -> None:
        """End every wait under way in `fetch`, which then raises PriceError; nothing is asked any more."""
        ...


@dataclass(frozen=True)
class Update:
    """Result of updating one ticker: what is stored now, what changed, and why it failed if it did."""

    ticker: str
    status: Literal["new", "updated", "unchanged", "fresh", "failed"]
    """`fresh` was not asked for, as nothing can be missing; `failed` keeps what was stored."""
    stored: Stored | None
    added: int = 0
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    error: PriceError | None = None

    @property
    def changed(self) -> int:
        """How many bars stored before changed, in themselves or in their adjusted close."""
        return max((change.rows for change in self.changes), default=0)


class Refresher:
    """Updates tickers of one store from one source. Any number of threads and processes may do so side by side."""

    def __init__(
        self, store: PriceStore, source: Fetcher, spec: Fetching, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.store, self.source = store, source
        self._spec = spec
        self._clock = clock or _now
        self._failures = 0
        self._counting = threading.Lock()

    def update_all(
        self, tickers: Sequence[str], interval: str = "1d", start: date | None = None, *, anew: bool = False
    ) -> Generator[Update]:
        """Update every ticker, as many side by side as the source may be asked; each comes as it is done.

        Raises SourceError before anything is asked for a ticker, interval or start that cannot be. Left before its end,
        it stops the source, waits for what is being answered or stored, and asks nothing more.
        """
        self.source.check(tickers)
        self.source.check_span(interval, start)
        threads = ThreadPoolExecutor(self._spec.together)
        try:
            waiting = [threads.submit(self.update, ticker, interval, start, anew=anew) for ticker in tickers]
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            self.source.stop()
            raise
        finally:
            threads.shutdown(wait=True, cancel_futures=True)

    def update(self, ticker: str, interval: str = "1d", start: date | None = None, *, anew: bool = False) -> Update:
        """Bring one ticker up to date; a failure is a result. After several passing failures in a row nothing is asked.

        `start` is the first day of a ticker that is not stored; an earlier one than before fetches the bars before.
        `anew` fetches all there is and takes it, whatever it changes. Raises SourceError for an unusable store.
        """
        with self.store.locked(ticker, interval):
            stored: Stored | None = None
            try:
                stored = self.store.find(ticker, interval)
                self._refuse(ticker, stored)
                reaches_back = stored is not None and _from(stored.manifest.start) <= _from(start)
                if stored and reaches_back and self.source.live and not anew and self.is_fresh(stored):
                    return Update(ticker, "fresh", stored)
                update = self._ask(ticker, interval, start, stored, anew=anew)
            except PriceError as error:
                self._count(isinstance(error, TemporaryPriceError))
                return Update(ticker, "failed", stored, error=error)
            except OSError as error:  # a full disk
                why = PriceError(ticker, f"cannot be stored in {self.store.folder} ({error.strerror or error})")
                return Update(ticker, "failed", stored, error=why)
            self._count(False)
            return update

    def is_fresh(self, stored: Stored) -> bool:
        """Whether the source can hold nothing that the store has not, or said so within the hour."""
        now = self._clock().astimezone(UTC)
        checked = datetime.fromisoformat(stored.manifest.checked_at)
        if stored.about.interval != "1d":
            length = length_of(stored.about.interval)
            return now - checked < min(SOON, length / 4) or _utc(stored.bars.times[-1]) + 2 * length > now
        last, calendar = stored.bars.times[-1].astype("datetime64[D]"), stored.about.calendar
        sessions = sessions_between(calendar, last, np.datetime64(now.date(), "D"))
        due = [day for day in sessions if day > last and is_settled(calendar, day, now)]
        if len(sessions) and not due:
            return True
        known_missing = not due or is_settled(calendar, due[-1], checked)
        return known_missing and now - checked < ASK_AGAIN

    def _refuse(self, ticker: str, stored: Stored | None) -> None:
        if stored is not None and stored.about.source != self.source.name:
            raise PriceError(
                ticker,
                f"the store {self.store.folder} holds it from {stored.about.source}, not from {self.source.name}; "
                "choose another --store",
            )
        if self._failures >= self._spec.give_up_after:
            raise TemporaryPriceError(
                ticker, f"not asked for, as {self._failures} in a row failed for a passing reason; try later"
            )

    def _count(self, failed: bool) -> None:
        with self._counting:
            self._failures = self._failures + 1 if failed else 0

    def _ask(self, ticker: str, interval: str, start: date | None, stored: Stored | None, *, anew: bool) -> Update:
        first = min(_from(start), _from(stored.manifest.start)) if stored else _from(start)
        whole = None if first == date.min else datetime.combine(first, datetime.min.time(), UTC)
        about = stored.about if stored else None
        all_of_it = anew or not self.source.live or stored is None or first < _from(stored.manifest.start)
        since = whole if stored is None or all_of_it else _moment(stored.bars, self._spec.overlap)
        answer = self.source.fetch(ticker, interval, since, about)
        now, began = self._clock(), "" if whole is None else str(first)
        if stored is None:
            count = len(answer.bars)
            stored = self.store.write(answer.about, answer.bars, after=None, fetched_at=now, start=began, added=count)
            return Update(ticker, "new", stored, count, notes=answer.notes)
        self._same_currency(stored, answer, anew=anew)
        revision = revise(ticker, stored.bars, answer.bars, accept=anew)
        if revision.reaches_back and since != whole:
            answer = self.source.fetch(ticker, interval, whole, about)
            revision = revise(ticker, stored.bars, answer.bars)
        bars = answer.bars if anew and interval == "1d" else revision.bars  # within the day the source forgets
        return self._store(stored, answer, bars, revision, now, began)

    def _store(
        self, stored: Stored, answer: Answer, bars: Bars, revision: Revision, now: datetime, began: str
    ) -> Update:
        ticker, notes = stored.about.ticker, answer.notes
        if answer.bars.times[0] > stored.bars.times[-1]:
            notes += (f"nothing to compare: the source begins on {day_of(answer.bars.times[0])}, after what is stored",)
        gone = ~np.isin(stored.bars.times, answer.bars.times)
        if bars is answer.bars and gone.any():
            notes += (f"{gone.sum()} stored bar(s) that the source no longer gives were dropped",)
        elif withheld := revision.withheld if self.source.live else int(gone.sum()):  # a span says nothing of before it
            notes += (f"{withheld} stored bar(s) that the source no longer gives were kept",)
        if bars.sha256 == stored.version.sha256 and began == stored.manifest.start:
            self.store.checked(answer.about, checked_at=now)
            return Update(ticker, "unchanged", stored, notes=notes)
        added, changes = revision.added, revision.changes
        written = self.store.write(
            answer.about, bars, after=stored, fetched_at=now, start=began, added=added, changes=changes
        )
        return Update(ticker, "updated", written, added, changes, notes)

    def _same_currency(self, stored: Stored, answer: Answer, *, anew: bool) -> None:
        before, now = stored.about.currency, answer.about.currency
        if before and now and before != now and not anew:
            raise BadPricesError(
                stored.about.ticker,
                f"stored in {before}, it now comes in {now}; nothing was stored; try tomorrow, or accept with --anew",
            )


def _now() -> datetime:
    return datetime.now(UTC)


def _from(start: date | str | None) -> date:
    """A first day for comparing; the beginning of time where there is none."""
    if not start:
        return date.min
    return start if isinstance(start, date) else date.fromisoformat(start)


def _moment(bars: Bars, overlap: int) -> datetime:
    """Where the last `overlap` bars begin."""
    return _utc(bars.times[-min(overlap, len(bars))])


def _utc(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("datetime64[s]").astype(datetime)
    return moment.replace(tzinfo=UTC)
