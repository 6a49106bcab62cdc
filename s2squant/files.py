"""Files that are whole or absent, under names that no text can break out of."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary neighbour, then rename it into place: a file is whole or absent.

    Its bytes are on the disk before its name is, so that a power failure cannot leave an empty file under it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        _to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def safe_name(key: str) -> str:
    """A file name for any text, no two alike: readable letters, then a hash of the whole."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", key).strip("._")[:40]
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
