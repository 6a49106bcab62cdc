"""The hash chain, as append-only as the rest; what stands already is entered as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from s2squant.nightly.ledger.chain import seal_all

revision = "0003"
down_revision = "0002"

TABLE = "chain"
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table and its triggers, and enter every row; nothing that stands is touched."""
    op.create_table(
        TABLE,
        sa.Column("number", IDENTITY, nullable=False, autoincrement=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_chain"),
    )
    seal_all(op.get_bind())
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
