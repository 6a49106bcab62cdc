"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import pyarrow


def give_memory_back() -> None:
    """Return what glibc and Arrow keep of freed memory to the system; where there is no glibc, what Arrow keeps.

    For the end of a job or a stage of a run: what comes next is of other sizes, and other processes need the room.
    """
    pyarrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
