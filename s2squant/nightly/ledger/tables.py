"""Tables of the ledger, append-only but for how a run ended; migrations/ builds them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine


class Moment(TypeDecorator[datetime]):
    """An instant: a timestamp with its zone where the database has one, else UTC; comes back with its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To UTC; an instant without a zone is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """With its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _DateAsText(String):
    """SQLite's date, whose text goes in and out as it is."""

    __visit_name__ = "DATE"


class Key(TypeDecorator[date]):
    """A session's day, or the moment (UTC, without its zone) at which a bar within the day begins; as ISO text.

    In the order of text, days and moments stand in that of time.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text in the order of its bytes."""
        return dialect.type_descriptor(_DateAsText() if dialect.name == "sqlite" else String(collation="C"))

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To text; a moment with a zone is refused."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            raise ValueError(f"{value} is no key: keys are UTC without a zone")
        return None if value is None else value.isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:  # noqa: ARG002
        """A day as a date, a moment as a datetime; PostgreSQL's own dates, of before it had text, as they are."""
        return key_of_text(value) if isinstance(value, str) else value


def key_of_text(text: str) -> date:
    """A key written as ISO text: a day, or a moment."""
    return date.fromisoformat(text) if len(text) == len("2024-05-31") else datetime.fromisoformat(text)


META = MetaData(
    naming_convention={
        "uq": "uq_%(table_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

IDENTITY = BigInteger().with_variant(Integer, "sqlite")
"""10,000 tickers a night pass two thousand million rows within years; SQLite's integers are that long anyway."""


def _filled(kind: Any, *names: str) -> tuple[Column[Any], ...]:
    """Columns of a kind that no row leaves empty."""
    return tuple(Column(name, kind, nullable=False) for name in names)


def _by_run() -> Column[Any]:
    """The run that entered the row."""
    return Column("run_id", String, ForeignKey("runs.run_id"), nullable=False)


def _valued() -> tuple[Column[Any], ...]:
    """The columns of a forecast's value, on which prices, when and by which run."""
    figures = _filled(Float(53), "y", "crps", "pit", "close")
    return *figures, *_filled(String, "prices_sha256", "prices_at"), *_filled(Moment, "scored_at"), _by_run()


RUNS = Table(
    "runs",
    META,
    Column("run_id", String, primary_key=True),
    *_filled(String, "nightly", "flow"),
    *_filled(Moment, "scheduled_at", "started_at"),
    Column("ended_at", Moment),
    *_filled(String, "status", "message", "folder", "settings", "facts"),
    Index("ix_runs_nightly_started_at", "nightly", "started_at"),
)

FORECASTS = Table(
    "forecasts",
    META,
    Column("id", IDENTITY, primary_key=True),
    *_filled(String, "nightly", "ticker"),
    *_filled(Key, "cutoff"),
    *_filled(SmallInteger, "step"),
    *_filled(String, "model"),
    *_filled(SmallInteger, "reissue"),
    *_filled(String, "market"),
    *_filled(Key, "ds"),
    *_filled(String, "version"),
    *_filled(Moment, "issued_at"),
    *_filled(LargeBinary, "quantiles"),
    *_filled(Float(53), "mean", "close", "factor"),
    *_filled(String, "prices_sha256", "prices_at"),
    _by_run(),
    UniqueConstraint("nightly", "ticker", "cutoff", "step", "model", "reissue"),
    Index("ix_forecasts_nightly_ds", "nightly", "ds"),
    Index("ix_forecasts_run_id", "run_id"),
)

OUTCOMES = Table(
    "outcomes",
    META,
    Column("forecast_id", IDENTITY, ForeignKey("forecasts.id"), primary_key=True, autoincrement=False),
    *_valued(),
)

CORRECTIONS = Table(
    "corrections",
    META,
    Column("id", IDENTITY, primary_key=True),
    Column("forecast_id", IDENTITY, ForeignKey("outcomes.forecast_id"), nullable=False),
    *_filled(SmallInteger, "number"),
    *_valued(),
    UniqueConstraint("forecast_id", "number"),
)
"""Outcomes valued again on prices that the source gave later: the highest number is the newest, 1 the first."""

GAPS = Table(
    "gaps",
    META,
    Column("id", IDENTITY, primary_key=True),
    *_filled(String, "nightly", "ticker", "market"),
    *_filled(Key, "cutoff"),
    *_filled(String, "kind", "reason"),
    *_filled(Moment, "recorded_at"),
    _by_run(),
    UniqueConstraint("nightly", "ticker", "cutoff"),
)

MODELS = Table(
    "models",
    META,
    Column("id", IDENTITY, primary_key=True),
    *_filled(String, "nightly", "kind", "key"),
    *_filled(Key, "session"),
    *_filled(String, "version", "parent", "how"),
    _by_run(),
    *_filled(Moment, "at"),
    UniqueConstraint("nightly", "kind", "key", "session", "version"),
)

EVENTS = Table(
    "events",
    META,
    Column("id", IDENTITY, primary_key=True),
    *_filled(String, "nightly"),
    *_filled(Key, "session"),
    *_filled(String, "kind", "ticker", "text"),
    *_filled(Moment, "at"),
    _by_run(),
    UniqueConstraint("nightly", "session", "kind", "ticker"),
)

CHAIN = Table(
    "chain",
    META,
    Column("number", IDENTITY, primary_key=True, autoincrement=False),
    *_filled(String, "table_name", "subject"),
    *_filled(LargeBinary, "rows", "sha256"),
)
"""The hash chain over the rows of all other tables: see chain.py."""
