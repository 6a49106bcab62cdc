"""Atomic writes, safe file names, checksums, values for JSON, cells for spreadsheets, and the one file lock."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

SEAL = "sha256"
"""The key of an object's own checksum."""


def write_atomic(path: Path, content: Callable[[Path], None] | str | bytes) -> None:
    """Write a temporary neighbour (a callable fills it), then rename it into place: a file is whole or absent.

    Its bytes are on the disk before its name is, and its name before this returns, so that a power failure leaves no
    empty file under it and takes back none that others were told of. Who may read it is the umask's to say.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name[:40]}.{secrets.token_hex(6)}.tmp"
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        match content:
            case str():
                temporary.write_text(content, encoding="utf-8")
            case bytes():
                temporary.write_bytes(content)
            case _:
                content(temporary)
        _to_disk(temporary)
        temporary.replace(path)
        _to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock file exclusively: True with the lock, False where another holds it and `wait` is off.

    The lock belongs to the open file, so it also excludes another thread, and ends with the block or with the process,
    however that ends. The file is created where it is missing, and stays.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def safe_name(key: str) -> str:
    """A file name for any text, no two alike: readable letters, then a hash of the whole."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", key).strip("._")[:40]
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def is_utf8(path: str | Path) -> bool:
    """Whether a path is text: one that is not cannot be named to other programs, or in a page."""
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def guarded(text: str) -> str:
    """Text for a CSV file that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(content: Mapping[str, Any], *, sort: bool = True) -> str:
    """The JSON text of an object with its own checksum in it, under `sha256`; its keys sorted, or in their order."""
    body = {key: value for key, value in content.items() if key != SEAL}
    return json.dumps({**body, SEAL: _seal_of(body)}, indent=1, sort_keys=sort) + "\n"


def unsealed(text: str | bytes, *, since: str) -> dict[str, Any]:
    """The object of a `sealed` text, without its checksum; raises ValueError where it is not what was written.

    One without a checksum is taken as it is, unless it has the key `since`, which came with checksums.
    """
    body = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    seal = body.pop(SEAL, None)
    if (seal is not None or since in body) and seal != _seal_of(body):
        raise ValueError("its contents were changed")
    return body


def plain_cell(cell: Any) -> Any:
    """A cell for a CSV file: a text guarded, a number as it is. Source: OWASP, CSV injection."""
    return guarded(cell) if isinstance(cell, str) else cell


def json_values(value: Any) -> Any:
    """The value as JSON has it: numbers without a value are null, numpy's arrays and tuples lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): json_values(inner) for key, inner in value.items()}
        case list() | tuple():
            return [json_values(inner) for inner in value]
    raise TypeError(f"JSON has no value for a {type(value).__name__}: {value!r}")


def embedded(name: str) -> Traversable:
    """A folder that ships with the package: in an installed wheel, or below data/ of a checkout."""
    package = files("s2squant")
    installed, checkout = package / name, Path(str(package)).parent / "data" / name
    return installed if installed.is_dir() or not checkout.is_dir() else checkout


def _seal_of(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
