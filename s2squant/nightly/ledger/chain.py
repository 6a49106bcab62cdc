"""Hash chain of the ledger: every row's sha256, in entries of which each has the one before in its own (Haber 1991).

An entry is made in the transaction that enters its rows, so that rows and entry stand or fall together. Rows that are
changed, added or taken out past the ledger are named by `faults`; an end that was cut off is found by whoever noted the
sha256 of a later entry. A run is entered anew whenever its row says something else: its newest entry counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from s2squant.errors import one_line
from s2squant.nightly.ledger.database import hold
from s2squant.nightly.ledger.tables import CHAIN, CORRECTIONS, EVENTS, FORECASTS, GAPS, MODELS, OUTCOMES, RUNS

SEALED = (FORECASTS, OUTCOMES, CORRECTIONS, GAPS, MODELS, EVENTS)
"""Tables whose rows never change."""
KEY = "s2squant ledger chain"
WIDTH = 8 + 32
"""Bytes of a row in an entry: its key, and its sha256."""
AT_ONCE = 5_000
LISTED = 20
"""Faults that are told, at most."""


def seal(connection: Connection, table: Table, keys: Iterable[int]) -> None:
    """Enter rows of a table that this transaction has inserted, by their keys, at the end of the chain."""
    for part in _parts(sorted(keys)):
        rows = _hashes(connection, table, part)
        _append(connection, table.name, "", b"".join(key.to_bytes(8, "big") + rows[key] for key in part))


def seal_run(connection: Connection, run_id: str) -> None:
    """Enter a run as its row is now."""
    row = connection.execute(select(RUNS).where(RUNS.c.run_id == run_id)).mappings().first()
    if row is not None:
        _append(connection, RUNS.name, run_id, bytes(8) + row_hash(dict(row)))


def seal_all(connection: Connection) -> None:
    """Enter everything that stands: for a ledger that has no chain yet."""
    for table in SEALED:
        key, last = _key(table), -1
        while part := list(connection.scalars(select(key).where(key > last).order_by(key).limit(AT_ONCE))):
            seal(connection, table, part)
            last = part[-1]
    for run_id in connection.scalars(select(RUNS.c.run_id).order_by(RUNS.c.run_id)).all():
        seal_run(connection, run_id)


def verify(connection: Connection, *, newest: int | None = None, noted: str = "") -> tuple[tuple[str, ...], int, str]:
    """What is not what was entered, a line each; how many entries the chain has, and the sha256 of the last.

    With `newest` of so many entries alone. `noted` is the sha256 of an entry that has to be there.
    """
    found = tuple(islice(faults(connection, newest=newest), LISTED))
    if noted and not _has(connection, noted):
        found = (*found, f"the chain: no entry has the noted sha256 {noted[:80]}; its end was cut off")
    number, sha256 = _last(connection)
    return found, number, sha256.hex()


def _has(connection: Connection, sha256: str) -> bool:
    try:
        wanted = bytes.fromhex(sha256)
    except ValueError:
        return False
    return connection.execute(select(CHAIN.c.number).where(CHAIN.c.sha256 == wanted)).first() is not None


def faults(connection: Connection, *, newest: int | None = None) -> Iterator[str]:
    """What in the ledger is not what was entered, a line each; of the whole chain, or of its newest entries alone.

    On SQLite the file's own structure, its indices among it, is looked at first.
    """
    if connection.dialect.name == "sqlite":
        said = connection.execute(text(f"PRAGMA {'integrity_check' if newest is None else 'quick_check'}({LISTED})"))
        yield from (one_line(f"the file: {line}") for line in said.scalars() if line != "ok")
    first = 1 if newest is None else max(1, _last(connection)[0] - newest + 1)
    yield from _chain_faults(connection, first)
    counted = dict.fromkeys((table.name for table in SEALED), 0)
    tables = {table.name: table for table in SEALED}
    runs: dict[str, bytes] = {}
    for name, subject, rows in _entries(connection, first):
        if name == RUNS.name:
            runs[subject] = rows[8:]
        elif (table := tables.get(name)) is not None and len(rows) % WIDTH == 0:
            entered = {
                int.from_bytes(rows[i : i + 8], "big"): rows[i + 8 : i + WIDTH] for i in range(0, len(rows), WIDTH)
            }
            counted[name] += len(entered)
            yield from _row_faults(connection, table, entered)
    yield from _run_faults(connection, runs)
    if newest is not None:
        return
    for name, count in counted.items():
        stands = connection.execute(select(func.count()).select_from(tables[name])).scalar_one()
        if stands > count:
            yield f"{name}: {stands - count} row(s) were added past the ledger"
    unknown = set(connection.scalars(select(RUNS.c.run_id))) - set(runs)
    yield from (f"runs: {run_id} was added past the ledger" for run_id in sorted(unknown))


def row_hash(row: Mapping[str, Any]) -> bytes:
    """The sha256 of a row's values by name; one that is NULL has no part in it, so that a column can be added."""
    digest = hashlib.sha256()
    for name in sorted(row):
        if row[name] is not None:
            value = _plain(row[name])
            digest.update(f"{name}:{len(value)}:".encode() + value)
    return digest.digest()


def _plain(value: Any) -> bytes:
    match value:
        case float():
            return value.hex().encode()
        case datetime() | date():
            return value.isoformat().encode()
        case bytes() | memoryview():
            return bytes(value)
    return str(value).encode()


def _key(table: Table) -> Any:
    (key,) = table.primary_key.columns
    return key


def _parts(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    yield from (keys[i : i + AT_ONCE] for i in range(0, len(keys), AT_ONCE))


def _hashes(connection: Connection, table: Table, keys: Sequence[int]) -> dict[int, bytes]:
    key = _key(table)
    query = select(table).where(key.in_(keys))
    try:
        return {int(row[key.name]): row_hash(dict(row)) for row in connection.execute(query).mappings()}
    except (ValueError, TypeError, OverflowError):  # a value that is none any more: which row's?
        if len(keys) == 1:
            return {keys[0]: b""}
        return {key: sha256 for one in keys for key, sha256 in _hashes(connection, table, [one]).items()}


def _last(connection: Connection) -> tuple[int, bytes]:
    row = connection.execute(select(CHAIN.c.number, CHAIN.c.sha256).order_by(CHAIN.c.number.desc()).limit(1)).first()
    return (0, bytes(32)) if row is None else (int(row[0]), bytes(row[1]))


def _append(connection: Connection, name: str, subject: str, rows: bytes) -> None:
    hold(connection, [KEY])  # last of all that a transaction waits for
    number, before = _last(connection)
    entry = {"number": number + 1, "table_name": name, "subject": subject, "rows": rows}
    connection.execute(CHAIN.insert(), [{**entry, "sha256": _link(before, entry)}])


def _link(before: bytes, entry: Mapping[str, Any]) -> bytes:
    head = f"{entry['number']}:{entry['table_name']}:{entry['subject']}:".encode()
    return hashlib.sha256(before + head + bytes(entry["rows"])).digest()


def _chain_faults(connection: Connection, first: int) -> Iterator[str]:
    query = select(CHAIN).where(CHAIN.c.number >= first - 1).order_by(CHAIN.c.number)
    before: tuple[int, bytes] | None = (0, bytes(32)) if first == 1 else None
    for row in connection.execute(query, execution_options={"yield_per": 1_000}).mappings():
        if before is not None:
            number, sha256 = before
            if row["number"] != number + 1:
                yield f"the chain: entries {number + 1} to {row['number'] - 1} are missing"
            elif bytes(row["sha256"]) != _link(sha256, dict(row)):
                yield f"the chain: entry {row['number']} was changed"
        before = int(row["number"]), bytes(row["sha256"])


def _entries(connection: Connection, first: int) -> Iterator[tuple[str, str, bytes]]:
    while True:
        query = select(CHAIN).where(CHAIN.c.number >= first).order_by(CHAIN.c.number).limit(200)
        entries = connection.execute(query).mappings().all()
        yield from ((row["table_name"], row["subject"], bytes(row["rows"])) for row in entries)
        if not entries:
            return
        first = entries[-1]["number"] + 1


def _row_faults(connection: Connection, table: Table, entered: Mapping[int, bytes]) -> Iterator[str]:
    stands = _hashes(connection, table, list(entered))
    for key, sha256 in entered.items():
        if key not in stands:
            yield f"{table.name}: row {key} is missing"
        elif stands[key] != sha256:
            yield f"{table.name}: row {key} was changed{_named(connection, table, key)}"


def _named(connection: Connection, table: Table, key: int) -> str:
    """Whose row it is, where it still says so."""
    names = [table.c[name] for name in ("ticker", "cutoff", "step", "model") if name in table.c]
    try:
        row = connection.execute(select(*names).where(_key(table) == key)).first() if names else None
    except (ValueError, TypeError, OverflowError):
        return ""
    return "" if row is None else f" ({one_line(' '.join(map(str, row)))[:80]})"


def _run_faults(connection: Connection, runs: Mapping[str, bytes]) -> Iterator[str]:
    for run_id, sha256 in runs.items():
        try:
            row = connection.execute(select(RUNS).where(RUNS.c.run_id == run_id)).mappings().first()
        except (ValueError, TypeError, OverflowError):
            yield f"runs: {run_id} was changed"
            continue
        if row is None:
            yield f"runs: {run_id} is missing"
        elif row_hash(dict(row)) != sha256:
            yield f"runs: {run_id} was changed"
