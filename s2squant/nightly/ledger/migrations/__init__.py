"""The ledger's database, brought to the form that this version of s2squant writes.

env.py and versions/ are alembic's. A new revision is a file in versions/ that names its predecessor, and HEAD. The
version stands in a table of our own name, as Prefect's alembic may share the database.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from s2squant.errors import LedgerError
from s2squant.nightly.ledger.database import hold, transaction
from s2squant.nightly.ledger.tables import META

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The newest revision in versions/."""
VERSION_TABLE = "ledger_version"

_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps what it is about in the module."""


def upgrade(engine: Engine) -> None:
    """Create the tables, or migrate those of an earlier version; one SELECT where nothing is to be done.

    All or nothing, and one process at a time. Raises LedgerError for the ledger of a later version, or for a database
    that holds tables of another program.
    """
    if _is_at_head(engine):
        return
    with _ONE_AT_A_TIME, transaction(engine, writes=True) as connection:
        hold(connection, ["s2squant ledger migrations"])
        present = set(inspect(connection).get_table_names())
        if VERSION_TABLE in present:
            version = connection.execute(_STANDING).scalar()
            if version == HEAD:  # another process was first
                return
            _refuse_unknown(version)
        else:
            _refuse_foreign(present)
        _migrate(connection)


_STANDING = text(f"SELECT version_num FROM {VERSION_TABLE}")


def _is_at_head(engine: Engine) -> bool:
    try:
        with transaction(engine) as connection:
            return bool(connection.execute(_STANDING).scalar() == HEAD)
    except DBAPIError:  # no such table, or no database: the way below finds out which
        return False


def _refuse_unknown(version: str | None) -> None:
    from alembic.script import ScriptDirectory  # alembic takes half a second, and is needed once

    known = {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}
    if version is not None and version not in known:
        raise LedgerError(
            f"the ledger was written by a later s2squant (its revision is {version}, the newest known here {HEAD}); "
            "install that one"
        )


def _refuse_foreign(present: set[str]) -> None:
    if foreign := sorted(present & set(META.tables)):
        raise LedgerError(
            f"the database holds tables of another program ({', '.join(foreign)}); give the ledger one of its own"
        )


def _migrate(connection: Connection) -> None:
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def configuration() -> Config:
    """Alembic's configuration, from no file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
