"""The table of corrected outcomes, as append-only as the others: the outcomes as first entered stay beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TABLE = "corrections"
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the table and its triggers; nothing that stands is touched."""
    op.create_table(
        TABLE,
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("forecast_id", IDENTITY, nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("y", sa.Float(53), nullable=False),
        sa.Column("crps", sa.Float(53), nullable=False),
        sa.Column("pit", sa.Float(53), nullable=False),
        sa.Column("close", sa.Float(53), nullable=False),
        sa.Column("prices_sha256", sa.String(), nullable=False),
        sa.Column("prices_at", sa.String(), nullable=False),
        sa.Column("scored_at", MOMENT, nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_corrections"),
        sa.ForeignKeyConstraint(["forecast_id"], ["outcomes.forecast_id"], name="fk_corrections_forecast_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_corrections_run_id"),
        sa.UniqueConstraint("forecast_id", "number", name="uq_corrections"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuses()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {TABLE}_no_{verb.lower()} BEFORE {verb} ON {TABLE} "
            f"BEGIN SELECT RAISE(ABORT, '{TABLE} of the ledger are never changed'); END"
        )
