"""The six tables, and the triggers that let nothing in them be changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPEND_ONLY = ("forecasts", "outcomes", "gaps", "models", "events")
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Build everything in an empty database."""
    _runs()
    _forecasts()
    _outcomes()
    _gaps()
    _models()
    _events()
    if op.get_bind().dialect.name == "postgresql":
        _refuse_on_postgresql()
    else:
        _refuse_on_sqlite()


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("nightly", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("scheduled_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("settings", sa.String(), nullable=False),
        sa.Column("facts", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_nightly_started_at", "runs", ["nightly", "started_at"])


def _forecasts() -> None:
    op.create_table(
        "forecasts",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("nightly", sa.String(), nullable=False),
        sa.Column("ticker", sa.String(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("reissue", sa.SmallInteger(), nullable=False),
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("ds", sa.Date(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("issued_at", MOMENT, nullable=False),
        sa.Column("quantiles", sa.LargeBinary(), nullable=False),
        sa.Column("mean", sa.Float(53), nullable=False),
        sa.Column("close", sa.Float(53), nullable=False),
        sa.Column("factor", sa.Float(53), nullable=False),
        sa.Column("prices_sha256", sa.String(), nullable=False),
        sa.Column("prices_at", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forecasts"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_forecasts_run_id"),
        sa.UniqueConstraint("nightly", "ticker", "cutoff", "step", "model", "reissue", name="uq_forecasts"),
    )
    op.create_index("ix_forecasts_nightly_ds", "forecasts", ["nightly", "ds"])
    op.create_index("ix_forecasts_run_id", "forecasts", ["run_id"])


def _outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("forecast_id", IDENTITY, nullable=False, autoincrement=False),
        sa.Column("y", sa.Float(53), nullable=False),
        sa.Column("crps", sa.Float(53), nullable=False),
        sa.Column("pit", sa.Float(53), nullable=False),
        sa.Column("close", sa.Float(53), nullable=False),
        sa.Column("prices_sha256", sa.String(), nullable=False),
        sa.Column("prices_at", sa.String(), nullable=False),
        sa.Column("scored_at", MOMENT, nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("forecast_id", name="pk_outcomes"),
        sa.ForeignKeyConstraint(["forecast_id"], ["forecasts.id"], name="fk_outcomes_forecast_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_outcomes_run_id"),
    )


def _gaps() -> None:
    op.create_table(
        "gaps",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("nightly", sa.String(), nullable=False),
        sa.Column("ticker", sa.String(), nullable=False),
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("cutoff", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gaps"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_gaps_run_id"),
        sa.UniqueConstraint("nightly", "ticker", "cutoff", name="uq_gaps"),
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("nightly", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_models_run_id"),
        sa.UniqueConstraint("nightly", "kind", "key", "session", "version", name="uq_models"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("nightly", sa.String(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("ticker", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_events_run_id"),
        sa.UniqueConstraint("nightly", "session", "kind", "ticker", name="uq_events"),
    )


def _refuse_on_sqlite() -> None:
    verbs = [(table, verb) for table in APPEND_ONLY for verb in ("UPDATE", "DELETE")]
    for table, verb in [*verbs, ("runs", "DELETE")]:
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} of the ledger are never changed'); END"
        )


def _refuse_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION ledger_refuses() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% of the ledger are never changed', TG_TABLE_NAME; END $$"
    )
    verbs = dict.fromkeys(APPEND_ONLY, "UPDATE OR DELETE OR TRUNCATE")
    for table, verb in {**verbs, "runs": "DELETE OR TRUNCATE"}.items():
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE {verb} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuses()"
        )
