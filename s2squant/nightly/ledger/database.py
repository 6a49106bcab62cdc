"""Database of the ledger: its URL, connections, transactions, and errors in one line.

SQLite keeps a write-ahead log, so that readers never wait for a writer; a writer takes the file's write lock when its
transaction begins. PostgreSQL is reached through psycopg.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Select,
    create_engine,
    event,
    text,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import NullType

from s2squant.errors import ConfigError, LedgerError, one_line
from s2squant.series.tails import ALL_COLUMNS, ALL_LEVELS, EVEN, LEVELS

LEDGER = Path("data/ledger.sqlite")
PLACE = "S2SQUANT_LEDGER"
"""Environment variable that holds the ledger's URL."""
WAIT_SECONDS = 60
"""How long another writer may hold the file."""
CONNECT_SECONDS = 10
ROWS = 20_000
"""Rows turned into a table at once."""

Rows = list[dict[str, Any]]


def ledger_url() -> URL:
    """Where the ledger is; raises ConfigError, without repeating it, for a URL that cannot be used."""
    place = os.environ.get(PLACE, "")
    return checked_url(make_sqlite_url(LEDGER) if not place else _parsed(place))


def make_sqlite_url(path: Path) -> URL:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path))


def checked_url(url: URL) -> URL:
    """The URL with the driver that is used and the password in its proper place; raises ConfigError."""
    match url.get_backend_name():
        case "sqlite":
            if not url.database or url.database == ":memory:":
                raise ConfigError(f"{PLACE} names no file; write sqlite:///data/ledger.sqlite")
            return url.set(drivername="sqlite")
        case "postgresql" | "postgres":
            hidden = url.query.get("password")
            if hidden:  # there it would be shown wherever the URL is
                url = url.set(password=str(hidden)).difference_update_query(["password"])
            return url.set(drivername="postgresql+psycopg")
        case _:
            raise ConfigError(
                f"{PLACE} is neither SQLite nor PostgreSQL; write postgresql+psycopg://USER@HOST/DATABASE"
            )


def _parsed(place: str) -> URL:
    try:
        return make_url(place)
    except (ArgumentError, ValueError):  # the text may hold a password
        raise ConfigError(f"{PLACE} is no database URL; write postgresql+psycopg://USER@HOST/DATABASE") from None


class Database:
    """One database: transactions that write, queries that read, errors in one line without the password."""

    def __init__(self, url: URL) -> None:
        self.url = checked_url(url)
        self.engine = make_engine(self.url)

    @property
    def name(self) -> str:
        """Where the database is, without its password or any further parameter, for people."""
        return self.url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: all of it, or nothing."""
        with self.spoken("written"), transaction(self.engine, writes=True) as connection:
            yield connection

    def rows(self, query: Executable) -> Rows:
        """What a query finds, one dictionary a row."""
        with self.spoken("read"), transaction(self.engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def table(self, query: Select[Any], *, days: Sequence[str] = (), moments: Sequence[str] = ()) -> pd.DataFrame:
        """What a query finds, as a table; packed quantiles as columns q0.025 .. q0.975 (float32) at its end.

        The columns `days` become datetime64[s], `moments` datetime64 in UTC; see `raw` for a query of many rows.
        """
        with self.spoken("read"), transaction(self.engine) as connection:
            result = connection.execution_options(yield_per=ROWS).execute(query)
            columns = list(result.keys())
            parts = [_unpacked(columns, rows, days, moments) for rows in result.partitions()]
        return pd.concat(parts, ignore_index=True) if parts else _unpacked(columns, [], days, moments)

    @contextmanager
    def spoken(self, what: str) -> Iterator[None]:
        """Turn a database's error into one line that names the ledger, without its password, and the remedy."""
        try:
            yield
        except (OSError, DBAPIError, ValueError, TypeError, OverflowError) as error:
            if what == "written" and not isinstance(error, (OSError, DBAPIError)):
                raise  # what was to be entered is at fault, not what stands
            why = self._without_secrets(one_line(str(getattr(error, "orig", None) or error)))[:200]
            raise LedgerError(f"the ledger {self.name} could not be {what} ({why}); see to it and run again") from None

    def _without_secrets(self, line: str) -> str:
        secrets = [str(self.url.password or ""), *(str(v) for k, v in self.url.query.items() if "pass" in k)]
        for secret in filter(None, secrets):
            line = line.replace(secret, "***")
        return line


def make_engine(url: URL) -> Engine:
    """The engine of a checked URL; every connection is opened when it is needed and closed after."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": WAIT_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    given = str(url.query.get("options", ""))
    arguments = {"connect_timeout": CONNECT_SECONDS, "options": f"-c lock_timeout={WAIT_SECONDS}s {given}".strip()}
    try:
        return create_engine(url, poolclass=NullPool, connect_args=arguments)
    except ImportError:
        raise ConfigError(
            f"{PLACE} names a PostgreSQL database, and psycopg is not installed; pip install 's2squant[postgres]'"
        ) from None


@contextmanager
def transaction(engine: Engine, *, writes: bool = False) -> Iterator[Connection]:
    """A transaction, kept where nothing is raised; waits up to WAIT_SECONDS for a database that is locked."""
    connection = _begun(engine, writes)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def _begun(engine: Engine, writes: bool) -> Connection:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        connection = None
        try:
            connection = engine.connect().execution_options(writes=writes)
            connection.begin()
        except DBAPIError as error:
            if connection is not None:
                connection.close()
            if not _is_busy(error) or time.monotonic() > until:
                raise
            time.sleep(random.uniform(0.005, 0.05))
        else:
            return connection


def _is_busy(error: DBAPIError) -> bool:
    """Whether SQLite says that another holds the file; it does so at once where waiting could mean a deadlock."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin too late: see _begin_sqlite
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA recursive_triggers=ON")  # else INSERT OR REPLACE deletes past the triggers


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    # A reader that turns writer later could find the file changed under it.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def insert(engine: Engine, table: Any) -> Any:
    """INSERT in the dialect's own form, which knows ON CONFLICT."""
    return (postgresql if engine.dialect.name == "postgresql" else sqlite).insert(table)


def hold(connection: Connection, keys: Sequence[str]) -> None:
    """Let no other writer at these keys until the transaction ends. On SQLite any writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
        for key in sorted(set(keys)):  # sorted: no two wait for one another
            connection.execute(statement, {"key": key})


def raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column as the driver gives it, which takes a fraction of the time: `table` turns whole columns instead."""
    return type_coerce(column, NullType()).label(column.name)


def _unpacked(columns: Sequence[str], rows: Sequence[Any], days: Sequence[str], moments: Sequence[str]) -> pd.DataFrame:
    by_name = dict(zip(columns, zip(*rows, strict=True) if rows else ((),) * len(columns), strict=True))
    packed = by_name.pop("quantiles", None)
    table: dict[str, Any] = {name: list(values) for name, values in by_name.items()}
    table |= {name: np.array(table[name], "datetime64[s]") for name in days}
    table |= {name: _moments(table[name]) for name in moments}
    if packed is None:
        return pd.DataFrame(table, columns=list(by_name))
    quantiles = pd.DataFrame(_levels(packed), columns=list(ALL_COLUMNS), copy=True)
    return pd.concat([pd.DataFrame(table, columns=list(by_name)), quantiles], axis=1)


def _levels(packed: Sequence[bytes]) -> NDArray[np.float32]:
    """Quantiles (N, A) at ALL_LEVELS; rows of before there were tails hold the even grid, and NaN outside."""
    whole, even = len(ALL_LEVELS), len(LEVELS)
    sizes = np.array([len(one) for one in packed], np.intp) // 4
    levels_NA = np.full((len(packed), whole), np.nan, np.float32)
    for size, columns in ((whole, slice(0, whole)), (even, EVEN)):
        rows = np.flatnonzero(sizes == size)
        flat = np.frombuffer(b"".join(packed[int(k)] for k in rows), "<f4")
        levels_NA[rows, columns] = flat.reshape(len(rows), size)
    return levels_NA


def _moments(values: Sequence[Any]) -> pd.Series:
    """Instants; text, as SQLite keeps them, is in UTC."""
    moments = pd.Series(pd.to_datetime(pd.Series(values, dtype=object), utc=True, format="ISO8601"))
    return moments.astype("datetime64[us, UTC]")
