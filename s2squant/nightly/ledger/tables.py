"""The ledger's tables. What stands in them is never changed, but for how a run ended; migrations/ builds them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
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


META = MetaData(
    naming_convention={
        "uq": "uq_%(table_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

IDENTITY = BigInteger().with_variant(Integer, "sqlite")
"""10,000 tickers a night pass two thousand million rows within years; SQLite's integers are that long anyway."""

RUNS = Table(
    "runs",
    META,
    Column("run_id", String, primary_key=True),
    Column("nightly", String, nullable=False),
    Column("flow", String, nullable=False),
    Column("scheduled_at", Moment, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("status", String, nullable=False),
    Column("message", String, nullable=False),
    Column("folder", String, nullable=False),
    Column("settings", String, nullable=False),
    Column("facts", String, nullable=False),
    Index("ix_runs_nightly_started_at", "nightly", "started_at"),
)

FORECASTS = Table(
    "forecasts",
    META,
    Column("id", IDENTITY, primary_key=True),
    Column("nightly", String, nullable=False),
    Column("ticker", String, nullable=False),
    Column("cutoff", Date, nullable=False),
    Column("step", SmallInteger, nullable=False),
    Column("model", String, nullable=False),
    Column("reissue", SmallInteger, nullable=False),
    Column("market", String, nullable=False),
    Column("ds", Date, nullable=False),
    Column("version", String, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("quantiles", LargeBinary, nullable=False),
    Column("mean", Float(53), nullable=False),
    Column("close", Float(53), nullable=False),
    Column("factor", Float(53), nullable=False),
    Column("prices_sha256", String, nullable=False),
    Column("prices_at", String, nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    UniqueConstraint("nightly", "ticker", "cutoff", "step", "model", "reissue"),
    Index("ix_forecasts_nightly_ds", "nightly", "ds"),
    Index("ix_forecasts_run_id", "run_id"),
)


def _valued() -> tuple[Column[Any], ...]:
    """The columns of a forecast's value, on which prices, when and by which run."""
    return (
        Column("y", Float(53), nullable=False),
        Column("crps", Float(53), nullable=False),
        Column("pit", Float(53), nullable=False),
        Column("close", Float(53), nullable=False),
        Column("prices_sha256", String, nullable=False),
        Column("prices_at", String, nullable=False),
        Column("scored_at", Moment, nullable=False),
        Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
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
    Column("number", SmallInteger, nullable=False),
    *_valued(),
    UniqueConstraint("forecast_id", "number"),
)
"""Outcomes valued again on prices that the source told later: the highest number is the newest, 1 the first."""

GAPS = Table(
    "gaps",
    META,
    Column("id", IDENTITY, primary_key=True),
    Column("nightly", String, nullable=False),
    Column("ticker", String, nullable=False),
    Column("market", String, nullable=False),
    Column("cutoff", Date, nullable=False),
    Column("kind", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    UniqueConstraint("nightly", "ticker", "cutoff"),
)

MODELS = Table(
    "models",
    META,
    Column("id", IDENTITY, primary_key=True),
    Column("nightly", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
    Column("session", Date, nullable=False),
    Column("version", String, nullable=False),
    Column("parent", String, nullable=False),
    Column("how", String, nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    Column("at", Moment, nullable=False),
    UniqueConstraint("nightly", "kind", "key", "session", "version"),
)

EVENTS = Table(
    "events",
    META,
    Column("id", IDENTITY, primary_key=True),
    Column("nightly", String, nullable=False),
    Column("session", Date, nullable=False),
    Column("kind", String, nullable=False),
    Column("ticker", String, nullable=False),
    Column("text", String, nullable=False),
    Column("at", Moment, nullable=False),
    Column("run_id", String, ForeignKey("runs.run_id"), nullable=False),
    UniqueConstraint("nightly", "session", "kind", "ticker"),
)
