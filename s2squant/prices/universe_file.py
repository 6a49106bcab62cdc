"""Universe files: lists of tickers, as plain text or as CSV."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from s2squant.errors import SourceError

HEADINGS = ("ticker", "symbol", "unique_id")
LONGEST = 40
"""Characters; no exchange has longer names, so what is longer is no list of tickers."""


def read_universe(path: Path) -> tuple[str, ...]:
    """The tickers of a file, in its order, each once; raises SourceError, with the line, for anything else.

    Plain text holds tickers separated by spaces, commas or line ends, with comments after #. A .csv holds one ticker a
    row, in the column headed ticker or symbol, or in the first.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"universe file {path} does not exist; write one ticker a line") from None
    except IsADirectoryError:
        raise SourceError(f"universe file {path} is a folder; name a text or CSV file of tickers") from None
    except PermissionError as error:
        why = f"cannot be read ({error.strerror}); see to its permissions"
        raise SourceError(f"universe file {path} {why}") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SourceError(f"universe file {path} cannot be read as text ({_brief(error)}); save it as UTF-8") from None
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _text_rows(text)
    tickers: dict[str, None] = {}
    for number, name in rows:
        if len(name) > LONGEST or not name.isprintable():
            raise SourceError(f"universe file {path}, line {number}: {name[:LONGEST]!r} is no ticker")
        tickers[name] = None
    if not tickers:
        raise SourceError(f"universe file {path} names no ticker; write one a line")
    return tuple(tickers)


def _text_rows(text: str) -> list[tuple[int, str]]:
    return [
        (number, name)
        for number, line in enumerate(text.splitlines(), start=1)
        for name in re.split(r"[\s,;]+", line.partition("#")[0])
        if name
    ]


def _csv_rows(path: Path, text: str) -> list[tuple[int, str]]:
    try:
        rows = [(n, [cell.strip() for cell in row]) for n, row in enumerate(csv.reader(text.splitlines()), start=1)]
    except csv.Error as error:
        raise SourceError(f"universe file {path} cannot be read as CSV ({_brief(error)})") from None
    rows = [(n, row) for n, row in rows if any(row) and not row[0].startswith("#")]
    if not rows:
        return []
    heading = [cell.lower() for cell in rows[0][1]]
    column = next((heading.index(name) for name in HEADINGS if name in heading), None)
    body = rows if column is None else rows[1:]
    place = column or 0
    return [(n, row[place]) for n, row in body if len(row) > place and row[place]]


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
