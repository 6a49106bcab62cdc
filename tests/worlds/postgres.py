"""A PostgreSQL of the tests' own: Debian's binaries in a temporary folder, reached through a Unix socket alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

PLACES = [Path("/usr/lib/postgresql/15/bin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
ADMIN = "keeper"
GUARDED, PASSWORD = "guarded", "wOrd-of-a-test"
"""A role that has to show its password."""
START_SECONDS = 60

_NUMBERS = itertools.count()


def missing() -> str:
    """Why no PostgreSQL can be started; empty where one can."""
    for name in ("initdb", "postgres"):
        if _binary(name) is None:
            return f"PostgreSQL's {name} is not installed (Debian: apt-get install postgresql-15)"
    if os.geteuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is neither a user postgres nor nobody"
    return ""


class Postgres:
    """One running server; `url` gives each test a database of its own."""

    def __init__(self, folder: Path, who: Mapping[str, Any]) -> None:
        self.folder, self._who = folder, who
        self.process: subprocess.Popen[bytes] | None = None
        self._prepared: dict[Callable[[URL], object], URL] = {}
        self._admin = create_engine(
            self.address("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        data, log = self.folder / "data", self.folder / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(str(_binary("postgres")), "-D", str(data), "-k", str(self.folder), "-h", "", "-p", "5432"),
                    *("-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=32MB"),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                **self._who,
            )
        _wait(self, log)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT writes everything down and throws its clients out, SIGQUIT leaves it as it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def files_of(self, url: URL, tables: Collection[str]) -> list[Path]:
        """The files that hold the rows of tables of a database."""
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            places = [
                connection.execute(text(f"SELECT pg_relation_filepath('{name}')")).scalar_one() for name in tables
            ]
        return [self.folder / "data" / place for place in places]

    def address(self, database: str, user: str = ADMIN, password: str | None = None) -> URL:
        """How a database is reached."""
        query = {"host": str(self.folder), "port": "5432"}
        return URL.create("postgresql+psycopg", user, password, database=database, query=query)

    def url(self) -> URL:
        """A new, empty database."""
        name = f"test_{next(_NUMBERS)}"
        self.run(f"CREATE DATABASE {name}")
        return self.address(name)

    def emptied(self, prepare: Callable[[URL], object], tables: Collection[str]) -> URL:
        """The database that was prepared once, its tables emptied: a new one would take half a second."""
        if prepare not in self._prepared:
            self._prepared[prepare] = self.url()
            prepare(self._prepared[prepare])
        url = self._prepared[prepare]
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("SET session_replication_role = replica"))  # triggers do not fire
            connection.execute(text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"))
        return url

    def run(self, statement: str) -> None:
        """A statement of the administrator's."""
        with self._admin.connect() as connection:
            connection.execute(text(statement))


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server from now until the block's end; skips the test, with the reason, where there can be none."""
    if why := missing():
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="s2squant-pg-", dir="/tmp"))  # a socket's path may have 107 bytes
    user = _other_user() if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"
    who: dict[str, Any] = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        made = subprocess.run(
            [
                *(str(_binary("initdb")), "-D", str(data), "-U", ADMIN, "-A", "trust"),
                *("--no-sync", "--encoding=UTF8", "--locale=C"),
            ],
            capture_output=True,
            text=True,
            cwd=folder,
            **who,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        rules = f"local all {GUARDED} scram-sha-256\nlocal all all trust\n"
        (data / "pg_hba.conf").write_text(rules, encoding="utf-8")
        server = Postgres(folder, who)
        try:
            server.start()
            server.run(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # nothing in it is worth saving
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: Postgres, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            return server.run("SELECT 1")
        except OperationalError:
            if server.process is None or server.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)


def _binary(name: str) -> Path | None:
    found = [place / name for place in PLACES if (place / name).exists()]
    on_path = shutil.which(name)
    return found[0] if found else Path(on_path) if on_path else None


def _other_user() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None
