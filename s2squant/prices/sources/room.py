"""Memory that a file of prices asks for, known before it is read: a few megabytes may stand for a billion rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

MOST_ROWS = 10_000_000
"""Of one ticker: a bar every minute, day and night, for 19 years."""
SHARE = 0.5
"""Of the memory that is free."""
CELL, TEXT = 16, 6
"""Bytes of a cell in memory while a table is read, and of a byte of text."""


class TooLargeError(ValueError):
    """A file that asks for more memory than there is, or holds more rows than a ticker can have: one line."""


def check_rows(rows: int, most: int | None) -> None:
    """Raise TooLargeError for more rows than `most`; None is any number."""
    if most is not None and rows > most:
        raise TooLargeError(
            f"it holds {rows:,} rows, and one ticker at most {most:,}; name a file of several tickers itself as "
            "the source"
        )


def check_memory(needed: int) -> None:
    """Raise TooLargeError where so many bytes are more than a file may take here."""
    if needed > (room := SHARE * free_memory()):
        asked, there = (f"{value / 2**30:,.1f} GiB" for value in (needed, room))
        raise TooLargeError(f"reading it takes about {asked} of memory, and a file may take {there} here; split it")


def check_text(size: int, rows: int, columns: int, most: int | None) -> None:
    """Raise TooLargeError for delimited text of so many bytes, rows and columns that is not to be read."""
    check_rows(rows, most)
    check_memory(TEXT * size + CELL * rows * columns)


def check_parquet(metadata: Any, most: int | None) -> None:
    """Raise TooLargeError by what a parquet file (pyarrow's FileMetaData) says of its rows, values and pages."""
    check_rows(metadata.num_rows, most)
    needed = 0
    for group in (metadata.row_group(k) for k in range(metadata.num_row_groups)):
        for column in (group.column(k) for k in range(group.num_columns)):
            needed += CELL * max(column.num_values, group.num_rows) + max(column.total_uncompressed_size, 0)
    check_memory(needed)


def free_memory() -> int:
    """Bytes of memory that this process may still take: the machine's, or those its control group leaves (Linux)."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    most, taken = (_text(Path(f"/sys/fs/cgroup/memory.{name}")).strip() for name in ("max", "current"))
    return min(free, max(int(most) - int(taken), 0)) if most.isdigit() and taken.isdigit() else free


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
