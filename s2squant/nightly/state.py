"""The state of a night under way: its settings, its agenda, its prices, and the ledger and folder it writes to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from s2squant.config.nightly import Nightly
from s2squant.nightly.agenda import Agenda, Missing
from s2squant.nightly.ledger.entries import RunEntry
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import key_of_text
from s2squant.nightly.prices import Prices
from s2squant.runs.folder import RunFolder
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

MEMORY = timedelta(days=500)
"""How far back the blend's weights, the recalibration and the track record look into the ledger."""
PLAN, KNOWN = "work/plan.json", "work/known.json"
"""What a run that goes on must not decide again: prices and fits, and as of when outcomes were known."""
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class NightState:
    """Everything that is settled before the jobs begin."""

    spec: Nightly
    entry: RunEntry
    ledger: Ledger
    folder: RunFolder
    clock: Clock
    command: str
    agenda: Agenda
    prices: Prices
    plan: Mapping[str, Any]
    """What was decided: at, versions, refused, notes, revised, open (tickers), parents, retrain."""
    panels: Mapping[str, Panel]

    def in_time(self, market: str) -> bool:
        """Whether a forecast may still be issued for the market's due session."""
        deadline = self.agenda.markets[market].deadline
        return deadline is not None and self.clock() < deadline

    def seconds_left(self) -> float:
        """Until the first deadline to come; infinity where none is."""
        now, deadlines = self.clock(), (self.agenda.markets[market].deadline for market in self.panels)
        return min(((one - now).total_seconds() for one in deadlines if one and one > now), default=math.inf)

    def due(self, market: str) -> date:
        """The session that the market is forecast from."""
        return key_of_text(self.agenda.markets[market].session)

    def history(self, ticker: str) -> PriceHistory:
        """A ticker's bars up to its market's due session."""
        night = self.prices.tickers[ticker]
        return self.prices.histories[ticker].between(None, self.agenda.markets[night.market].session)

    def record(self, models: Iterable[str], *, known_by: datetime | None = None) -> pd.DataFrame:
        """The live record of some models, as far back as anything here looks; as it was known at a moment."""
        since = self.entry.scheduled_at.date() - MEMORY
        return self.ledger.record(self.spec.name, models=list(models), since=since, known_by=known_by)

    def known(self) -> datetime:
        """As of when outcomes count as known in what is issued: when this night first asked."""
        stored = self.folder.read_work(KNOWN)
        if stored is None:
            stored = {"at": self.clock().astimezone(UTC).isoformat()}
            self.folder.write_work(KNOWN, stored)
        return datetime.fromisoformat(stored["at"])

    def miss(self, missing: Missing) -> None:
        """Enter a forecast that is missing."""
        self.ledger.miss(
            self.spec.name,
            self.entry.run_id,
            missing.ticker,
            missing.market,
            missing.cutoff,
            missing.kind,
            missing.reason,
            at=self.clock(),
        )

    def event(self, session: date | str, kind: str, text: str, ticker: str = "") -> None:
        """Enter what a person should know of."""
        day = key_of_text(session) if isinstance(session, str) else session
        self.ledger.note(self.spec.name, self.entry.run_id, day, kind, text, ticker=ticker, at=self.clock())
