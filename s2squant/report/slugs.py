"""File names for tickers: any text in, one safe lower-case name out."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable

LONGEST = 48
"""Characters kept of a ticker's own text."""

RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)
"""Names Windows gives to devices, with any extension."""


def slug(ticker: str, taken: Collection[str]) -> str:
    """A file name stem for `ticker` that is not in `taken`: ASCII letters, digits, inner dots, `-` and `_`, lower case.

    A ticker whose text had to change carries a piece of its hash, so its name does not depend on the other tickers.
    """
    plain = unicodedata.normalize("NFKD", ticker).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"\.{2,}", ".", re.sub(r"[^a-z0-9._-]+", "-", plain))[:LONGEST].strip("-._")
    changed = name != ticker.lower() or name.partition(".")[0] in RESERVED
    if name and not changed and name not in taken:
        return name
    digest = hashlib.sha256(ticker.encode("utf-8", "surrogatepass")).hexdigest()
    for length in range(8, len(digest) + 1):
        candidate = f"{name or 'ticker'}-{digest[:length]}"
        if name.partition(".")[0] in RESERVED:
            candidate = f"t-{candidate}"
        if candidate not in taken:
            return candidate
    raise ValueError(f"every name for the ticker {ticker!r} is taken; is it listed twice?")


def slugs(tickers: Iterable[str]) -> dict[str, str]:
    """The file name stem of every ticker, all different."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for ticker in tickers:
        names[ticker] = slug(ticker, taken)
        taken.add(names[ticker])
    return names
