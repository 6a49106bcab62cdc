"""Atomic writes, safe file names, values for JSON, and the one file lock."""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any


def write_atomic(path: Path, content: Callable[[Path], None] | str | bytes) -> None:
    """Write a temporary neighbour (a callable fills it), then rename it into place: a file is whole or absent.

    Its bytes are on the disk before its name is, so that a power failure cannot leave an empty file under it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        match content:
            case str():
                temporary.write_text(content, encoding="utf-8")
            case bytes():
                temporary.write_bytes(content)
            case _:
                content(temporary)
        temporary.chmod(0o644)
        _to_disk(temporary)
        temporary.replace(path)
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


def guarded(text: str) -> str:
    """Text for a CSV file that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


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


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
