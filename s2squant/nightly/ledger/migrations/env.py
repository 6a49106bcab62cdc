"""How alembic reaches the ledger: through the connection, and within the transaction, that `upgrade` holds."""

from __future__ import annotations

from alembic import context

from s2squant.nightly.ledger.migrations import VERSION_TABLE
from s2squant.nightly.ledger.tables import META

context.configure(connection=context.config.attributes["connection"], target_metadata=META, version_table=VERSION_TABLE)
context.run_migrations()
