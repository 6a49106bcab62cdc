"""Sessions of exchanges on disk, so that the next process need not work them out: seconds for a ticker of any market.

S2SQUANT_CACHE/calendars/CODE-HASH.json, by default below ~/.cache/s2squant: a checksum, the versions of the packages
that decide them, and the last day they reach. What is not exactly what is wanted is worked out again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

from s2squant import __version__
from s2squant.files import safe_name, sealed, unsealed, write_atomic
from s2squant.series.arrays import Dates

PLACE = "S2SQUANT_CACHE"
"""Environment variable that names the folder; empty: nothing is kept."""


def read_sessions(calendar: str, until: np.datetime64) -> Dates | None:
    """The sessions up to a day as a process before kept them; None where none did, or anything differs."""
    try:
        kept = unsealed(_path(calendar).read_bytes(), since="sessions")
        days = np.array(kept.pop("sessions"), np.int64)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return days.astype("datetime64[D]") if kept == _about(calendar, until) and len(days) else None


def keep_sessions(calendar: str, until: np.datetime64, days: Dates) -> None:
    """Keep sessions for the processes to come; a folder that cannot be written is no fault."""
    with suppress(OSError, RuntimeError):
        write_atomic(_path(calendar), sealed({**_about(calendar, until), "sessions": days.astype(np.int64).tolist()}))


def _path(calendar: str) -> Path:
    place = os.environ.get(PLACE)
    if place == "":
        raise OSError("nothing is kept")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "s2squant"
    return Path(place or base) / "calendars" / f"{safe_name(calendar)}.json"


def _about(calendar: str, until: np.datetime64) -> dict[str, object]:
    return {"calendar": calendar, "until": str(until), "versions": _versions()}


@cache
def _versions() -> dict[str, str]:
    return {"s2squant": __version__} | {name: metadata.version(name) for name in ("exchange_calendars", "pandas")}
