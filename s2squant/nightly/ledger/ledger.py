"""Forecast ledger: forecasts issued, forecasts missing (gaps), outcomes and their corrections. Append-only.

SQLite (WAL) in data/ledger.sqlite below the working folder, or the database whose URL S2SQUANT_LEDGER holds
(postgresql+psycopg://...). Any number of processes may write at once.

An outcome is entered once. Where the source gives a price later that values it otherwise, a correction is entered
beside it, and the newest is what is read; the record as it was known at an earlier moment can be read again.

A forecast is *live* (`reissue` 0) when it stood before its cutoff's deadline and was the first of its key (nightly,
ticker, cutoff, step, model). Whatever is issued again for a key is kept under the next `reissue` and never enters the
record. A forecast that should have been issued and was not is a gap, and a row too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, and_, func, select, update
from sqlalchemy.engine import URL

from s2squant.errors import one_line
from s2squant.nightly.ledger import chain
from s2squant.nightly.ledger.database import Database, hold, insert, ledger_url, raw, transaction
from s2squant.nightly.ledger.entries import GapKind, Issue, Issued, RunEntry, content_of, forecast_rows, key_of
from s2squant.nightly.ledger.migrations import upgrade
from s2squant.nightly.ledger.queries import ranking, with_outcomes
from s2squant.nightly.ledger.tables import CORRECTIONS, EVENTS, FORECASTS, GAPS, MODELS, OUTCOMES, RUNS

QUOTED = re.compile(r'"([^"\\]+)"')

LIVE = FORECASTS.c.reissue == 0


def _of(table: Table, nightly: Any, ticker: Any, cutoff: Any) -> ColumnElement[bool]:
    """A table's rows of one ticker and cutoff, by values or another table's columns."""
    return and_(table.c.nightly == nightly, table.c.ticker == ticker, table.c.cutoff == cutoff)


def existing_ledger() -> Ledger | None:
    """The ledger, None where it is a file that nobody made yet: to look at it must not make it."""
    url = ledger_url()
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None
    return Ledger(url)


class Ledger:
    """A connection to the ledger; made ready (created or migrated) when it is opened.

    Raises ConfigError for a URL that cannot be used and LedgerError, one line, for whatever the database refuses.
    """

    def __init__(self, url: URL | None = None) -> None:
        self._database = Database(url if url is not None else ledger_url())
        self.url = self._database.url
        with self._database.spoken("opened"):
            self._make_folder()
            upgrade(self.engine)

    def __repr__(self) -> str:
        return f"Ledger({self.name})"

    def __reduce__(self) -> tuple[type[Ledger], tuple[URL]]:
        return type(self), (self.url,)

    @property
    def engine(self) -> Engine:
        """What speaks to the database."""
        return self._database.engine

    @property
    def name(self) -> str:
        """The ledger's address without its password, for people."""
        return self._database.name

    def _make_folder(self) -> None:
        place = self.url.database or ""
        if self.url.get_backend_name() == "sqlite" and not place.startswith("file:"):
            Path(place).parent.mkdir(parents=True, exist_ok=True)

    # -- runs ---------------------------------------------------------------------------------------------------------

    def start_run(self, entry: RunEntry) -> None:
        """Enter a run as running; a run that goes on after it was killed is running again."""
        values = asdict(entry) | {"message": one_line(entry.message)}
        with self._database.writing() as connection:
            again = {k: v for k, v in values.items() if k in ("status", "message", "ended_at")}
            statement = insert(self.engine, RUNS).values(**values)
            connection.execute(statement.on_conflict_do_update(index_elements=["run_id"], set_=again))
            chain.seal_run(connection, entry.run_id)

    def end_run(self, run_id: str, status: str, message: str, *, at: datetime, facts: str | None = None) -> None:
        """Say how a run ended."""
        values: dict[str, Any] = {"status": status, "message": one_line(message), "ended_at": at}
        if facts is not None:
            values["facts"] = facts
        with self._database.writing() as connection:
            connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(**values))
            chain.seal_run(connection, run_id)

    def reap(self, run_id: str, message: str, *, at: datetime) -> bool:
        """Say that a run died; False where it ended by itself."""
        dead = update(RUNS).where(RUNS.c.run_id == run_id, RUNS.c.status == "running")
        values = {"status": "dead", "message": one_line(message), "ended_at": at}
        with self._database.writing() as connection:
            died = bool(connection.execute(dead.values(**values)).rowcount)
            if died:
                chain.seal_run(connection, run_id)
            return died

    def runs(
        self, nightly: str | None = None, *, status: str | None = None, newest: int | None = None
    ) -> tuple[RunEntry, ...]:
        """Every run, the latest first; with `newest` only so many of them, for people to look at."""
        query = select(RUNS).order_by(RUNS.c.started_at.desc(), RUNS.c.run_id.desc()).limit(newest)
        if nightly is not None:
            query = query.where(RUNS.c.nightly == nightly)
        if status is not None:
            query = query.where(RUNS.c.status == status)
        return tuple(RunEntry(**row) for row in self._database.rows(query))

    def last_runs(self) -> tuple[RunEntry, ...]:
        """The newest run of each nightly, by the nightly's name."""
        ranked = ranking(RUNS.c.run_id, by=(RUNS.c.nightly,), newest=(RUNS.c.started_at, RUNS.c.run_id))
        newest = select(ranked.c.run_id).where(ranked.c.place == 1)
        query = select(RUNS).where(RUNS.c.run_id.in_(newest)).order_by(RUNS.c.nightly)
        return tuple(RunEntry(**row) for row in self._database.rows(query))

    def nightlies(self) -> tuple[str, ...]:
        """Those that ever issued a forecast, by name."""
        query = select(FORECASTS.c.nightly).distinct().order_by(FORECASTS.c.nightly)
        return tuple(row["nightly"] for row in self._database.rows(query))

    def run(self, run_id: str) -> RunEntry | None:
        """One run, or None."""
        rows = self._database.rows(select(RUNS).where(RUNS.c.run_id == run_id))
        return RunEntry(**rows[0]) if rows else None

    # -- forecasts ----------------------------------------------------------------------------------------------------

    def issue(self, nightly: str, run_id: str, issues: Sequence[Issue], *, at: datetime) -> Issued:
        """Enter one ticker's forecasts, all or none; `kept` where the very same stand already.

        The caller sees to it that `at` lies before the deadline. Where a live forecast of the same key stands and
        differs, all of that model's rows become a re-issue. Raises ValueError for what is no forecast.
        """
        entries = [(issue, forecast_rows(nightly, run_id, issue, at)) for issue in issues]
        outcome, entered = set[Issued](), list[int]()
        with self._database.writing() as connection:
            hold(connection, [key_of(nightly, issue.ticker, issue.cutoff) for issue in issues])
            for issue, rows in entries:
                outcome.add(self._issue(connection, nightly, issue, rows, entered))
            chain.seal(connection, FORECASTS, entered)
        return "issued" if "issued" in outcome else "reissued" if "reissued" in outcome else "kept"

    def _issue(
        self, connection: Connection, nightly: str, issue: Issue, rows: list[dict[str, Any]], entered: list[int]
    ) -> Issued:
        """Enter one model's rows, and note their ids; the key is held, so that nobody else enters any in between."""
        key = _of(FORECASTS, nightly, issue.ticker, issue.cutoff) & (FORECASTS.c.model == issue.model)
        query = select(FORECASTS).where(key).order_by(FORECASTS.c.reissue, FORECASTS.c.step)
        standing = [dict(row) for row in connection.execute(query).mappings()]
        numbers = {row["reissue"] for row in standing}
        for number in numbers:
            same = [row for row in standing if row["reissue"] == number]
            if [content_of(row) for row in same] == [content_of(row) for row in rows]:
                return "kept"
        number = 1 + max(numbers, default=-1)
        enter = FORECASTS.insert().returning(FORECASTS.c.id)
        entered += connection.execute(enter, [row | {"reissue": number} for row in rows]).scalars()
        return "reissued" if number else "issued"

    def miss(
        self,
        nightly: str,
        run_id: str,
        ticker: str,
        market: str,
        cutoff: date,
        kind: GapKind,
        reason: str,
        *,
        at: datetime,
    ) -> bool:
        """Enter a forecast that is missing, once; False where a live one stands or the gap is known."""
        row = {"nightly": nightly, "run_id": run_id, "ticker": ticker, "market": market, "cutoff": cutoff, "kind": kind}
        row |= {"reason": one_line(reason), "recorded_at": at}
        live = select(FORECASTS.c.id).where(_of(FORECASTS, nightly, ticker, cutoff), LIVE)
        with self._database.writing() as connection:
            hold(connection, [key_of(nightly, ticker, cutoff)])
            if connection.execute(live.limit(1)).first() is not None:
                return False
            return self._once(connection, GAPS, row)

    def unscored(self, nightly: str, until: date) -> pd.DataFrame:
        """Live forecasts whose target session is `until` or before and that have no outcome yet.

        Columns: id, ticker, market, cutoff, step, ds, model, close, factor, prices_sha256, q0.025 .. q0.975.
        """
        query = (
            select(FORECASTS)
            .outerjoin(OUTCOMES, OUTCOMES.c.forecast_id == FORECASTS.c.id)
            .where(
                FORECASTS.c.nightly == nightly,
                LIVE,
                FORECASTS.c.ds <= until,
                OUTCOMES.c.forecast_id.is_(None),
            )
            .order_by(FORECASTS.c.ticker, FORECASTS.c.cutoff, FORECASTS.c.step, FORECASTS.c.model)
        )
        return self._database.table(query)

    def score(self, outcomes: Sequence[Mapping[str, Any]], run_id: str, *, at: datetime) -> int:
        """Enter outcomes (forecast_id, y, crps, pit, close, prices_sha256, prices_at), the first of each alone.

        Returns how many were new. Raises ValueError for a figure that is not finite.
        """
        return self._enter(OUTCOMES, outcomes, run_id, at)

    def scored(self, nightly: str, ticker: str, since: date, before: str) -> pd.DataFrame:
        """A ticker's live forecasts for `since` or later whose newest outcome rests on prices fetched before `before`.

        Columns: those of `unscored`, y, correction (the number of what was read, 0 for the outcome as first entered).
        """
        joined, newest = with_outcomes()
        query = (
            select(FORECASTS, newest["y"].label("y"), newest["correction"].label("correction"))
            .select_from(joined)
            .where(
                FORECASTS.c.nightly == nightly,
                FORECASTS.c.ticker == ticker,
                LIVE,
                FORECASTS.c.ds >= since,
                newest["prices_at"] < before,
            )
            .order_by(FORECASTS.c.cutoff, FORECASTS.c.step, FORECASTS.c.model)
        )
        return self._database.table(query)

    def correct(self, corrections: Sequence[Mapping[str, Any]], run_id: str, *, at: datetime) -> int:
        """Enter outcomes valued again: as `score` takes them, and `number`, one above what `scored` gave.

        Returns how many were new: another writer may have been first. Raises ValueError as `score` does.
        """
        return self._enter(CORRECTIONS, corrections, run_id, at)

    def _enter(self, table: Table, given: Sequence[Mapping[str, Any]], run_id: str, at: datetime) -> int:
        rows = [{**row, "run_id": run_id, "scored_at": at} for row in given]
        for row in rows:
            if not np.isfinite([row["y"], row["crps"], row["pit"], row["close"]]).all():
                raise ValueError(f"the outcome of forecast {row['forecast_id']} is not finite: {row}")
        if not rows:
            return 0
        rows.sort(key=lambda row: int(row["forecast_id"]))  # sorted: no two writers wait for one another
        (key,) = table.primary_key.columns
        enter = insert(self.engine, table).on_conflict_do_nothing().returning(key)
        with self._database.writing() as connection:
            new = connection.execute(enter, rows).scalars().all()
            chain.seal(connection, table, new)
            return len(new)

    def _once(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
        """Enter a row unless one of its key stands; whether it is new."""
        enter = insert(self.engine, table).on_conflict_do_nothing().returning(table.c.id)
        new = connection.execute(enter, [dict(row)]).scalars().all()
        chain.seal(connection, table, new)
        return bool(new)

    def _frame(self, query: Select[Any], table: Table) -> pd.DataFrame:
        return pd.DataFrame(self._database.rows(query), columns=table.c.keys())

    def record(
        self,
        nightly: str,
        *,
        models: Sequence[str] | None = None,
        since: date | None = None,
        run_id: str | None = None,
        live: bool = True,
        known_by: datetime | None = None,
    ) -> pd.DataFrame:
        """Forecasts with their newest outcomes (NaN where there is none yet), sorted by model, ticker, cutoff, step.

        Columns: model, unique_id, market, cutoff, ds, step, reissue, issued_at, version, close, factor, prices_sha256,
        prices_at, run_id, mean, y, crps, pit, scored_at, correction (how often the outcome was corrected),
        q0.025 .. q0.975. `since` is the first cutoff. With `known_by` outcomes are those known at that moment, as they
        were then.
        """
        joined, newest = with_outcomes(known_by)
        figures = [newest[name].label(name) for name in ("y", "crps", "pit", "scored_at", "correction")]
        columns = [*(raw(column) for column in FORECASTS.c), *figures]
        query = select(*columns).select_from(joined).where(FORECASTS.c.nightly == nightly)
        if live:
            query = query.where(LIVE)
        if models is not None:
            query = query.where(FORECASTS.c.model.in_(list(models)))
        if since is not None:
            query = query.where(FORECASTS.c.cutoff >= since)
        if run_id is not None:
            query = query.where(FORECASTS.c.run_id == run_id)
        table = self._database.table(query, days=("cutoff", "ds"), moments=("issued_at", "scored_at"))
        table = table.rename(columns={"ticker": "unique_id"})
        for name in ("y", "crps", "pit"):
            table[name] = table[name].astype(np.float64)
        order = ["model", "unique_id", "cutoff", "step", "reissue"]
        return table.sort_values(order, kind="stable", ignore_index=True)

    def live_cutoffs(self, nightly: str) -> dict[tuple[str, date], str]:
        """(ticker, cutoff) of every live forecast, and the run that issued it."""
        query = (
            select(FORECASTS.c.ticker, FORECASTS.c.cutoff, func.min(FORECASTS.c.run_id).label("run_id"))
            .where(FORECASTS.c.nightly == nightly, LIVE)
            .group_by(FORECASTS.c.ticker, FORECASTS.c.cutoff)
        )
        return {(row["ticker"], row["cutoff"]): row["run_id"] for row in self._database.rows(query)}

    def gaps(self, nightly: str | None = None, *, filled: bool = False) -> pd.DataFrame:
        """Every missing forecast: nightly, ticker, market, cutoff, kind, reason, recorded_at, run_id; oldest first.

        One that was made after all, before its deadline, is none; `filled` gives those too.
        """
        query = select(GAPS).order_by(GAPS.c.cutoff, GAPS.c.ticker)
        if nightly is not None:
            query = query.where(GAPS.c.nightly == nightly)
        if not filled:
            live = select(FORECASTS.c.id).where(_of(FORECASTS, GAPS.c.nightly, GAPS.c.ticker, GAPS.c.cutoff), LIVE)
            query = query.where(~live.exists())
        return self._frame(query, GAPS).drop(columns="id")

    def verify(self, *, newest: int | None = None, noted: str = "") -> tuple[tuple[str, ...], int, str]:
        """Check the chain: faults, entries, sha256 of the last; see `chain.verify`."""
        with self._database.spoken("verified"), transaction(self.engine) as connection:
            return chain.verify(connection, newest=newest, noted=noted)

    # -- models and events --------------------------------------------------------------------------------------------

    def add_model(self, row: Mapping[str, Any]) -> None:
        """Enter a model, once.

        The row holds nightly, kind (market|ticker), key, session, version, parent, how (trained|kept), run_id,
        at.
        """
        with self._database.writing() as connection:
            self._once(connection, MODELS, row)

    def models(self, nightly: str, upto: date | None = None) -> pd.DataFrame:
        """Models of sessions up to `upto`, oldest first."""
        query = select(MODELS).where(MODELS.c.nightly == nightly).order_by(MODELS.c.session, MODELS.c.id)
        if upto is not None:
            query = query.where(MODELS.c.session <= upto)
        return self._frame(query, MODELS)

    def versions(self, since: date | None = None) -> frozenset[str]:
        """Every model version entered, of any nightly; with `since` those that may still be asked for.

        These are the versions, and their parents, of sessions from `since` on, those of forecasts from such cutoffs,
        and the newest of every model.
        """
        if since is None:
            return frozenset(row["version"] for row in self._database.rows(select(MODELS.c.version).distinct()))
        of_model, newest = (MODELS.c.nightly, MODELS.c.kind, MODELS.c.key), (MODELS.c.session, MODELS.c.id)
        ranked = ranking(MODELS.c.version, MODELS.c.parent, MODELS.c.session, by=of_model, newest=newest)
        models = select(ranked.c.version, ranked.c.parent).where((ranked.c.session >= since) | (ranked.c.place == 1))
        used = select(FORECASTS.c.version).where(FORECASTS.c.cutoff >= since).distinct()
        rows = [*self._database.rows(models), *self._database.rows(used)]
        return frozenset(value for row in rows for value in row.values())

    def price_moments(self, since: date) -> frozenset[str]:
        """The fetched-at of every stored price version that a live forecast from such a cutoff was made of."""
        query = select(FORECASTS.c.prices_at).where(FORECASTS.c.cutoff >= since, LIVE).distinct()
        return frozenset(row["prices_at"] for row in self._database.rows(query))

    def note(
        self, nightly: str, run_id: str, session: date, kind: str, text: str, *, ticker: str = "", at: datetime
    ) -> bool:
        """Enter an event (drift, retrained, stale, revised, late, ...), once a session, kind and ticker."""
        row = {"nightly": nightly, "run_id": run_id, "session": session, "kind": kind, "ticker": ticker, "at": at}
        with self._database.writing() as connection:
            return self._once(connection, EVENTS, row | {"text": one_line(text)})

    def events(self, nightly: str | None = None) -> pd.DataFrame:
        """Every event, oldest first: nightly, run_id, session, kind, ticker, text, at."""
        query = select(EVENTS).order_by(EVENTS.c.session, EVENTS.c.id)
        if nightly is not None:
            query = query.where(EVENTS.c.nightly == nightly)
        return self._frame(query, EVENTS).drop(columns="id")

    def mentioned(self, since: date) -> frozenset[str]:
        """Every text in the facts of the runs that began since: versions of prices and models among them."""
        query = select(RUNS.c.facts).where(RUNS.c.started_at >= datetime.combine(since, time.min, UTC))
        return frozenset(text for row in self._database.rows(query) for text in QUOTED.findall(row["facts"]))
