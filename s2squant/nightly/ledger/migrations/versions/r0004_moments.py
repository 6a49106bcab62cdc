"""Keys that are days or moments: cutoff, ds and session as ISO text, 2024-05-31 or 2024-05-31T13:30:00 (UTC).

SQLite keeps dates as such text already; nothing that stands is touched there. The hash of a row stays what it was.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEYS = (("forecasts", "cutoff"), ("forecasts", "ds"), ("gaps", "cutoff"), ("models", "session"), ("events", "session"))


def upgrade() -> None:
    """Turn PostgreSQL's dates into text; a later version of s2squant alone may write moments."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in KEYS:
        using = f"to_char({column}, 'YYYY-MM-DD')"
        op.alter_column(
            table,
            column,
            type_=sa.String(collation="C"),
            existing_type=sa.Date(),
            existing_nullable=False,
            postgresql_using=using,
        )
