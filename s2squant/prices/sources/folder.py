"""Sources csv:DIR and parquet:DIR: a folder with one file a ticker, named by it; csv:FILE: one file of many tickers."""

from __future__ import annotations

import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pandas as pd

from s2squant.errors import PriceError, SourceError
from s2squant.prices.port import ListedSource
from s2squant.prices.sources.delimited import EmptyError, TableError, read_delimited
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.sources.moments import Clock
from s2squant.prices.sources.room import MOST_ROWS, TEXT, TooLargeError, check_memory
from s2squant.prices.sources.table import from_frame, headings_of, read_other, read_parquet, split_tickers
from s2squant.series.arrays import Dates
from s2squant.series.history import PriceHistory

Form = Literal["csv", "parquet"]
COPY = re.compile(r"( ?\(\d{1,3}\)| - Copy| copy)$")
"""What browsers and desktops add to the name of a file that is there already."""


class FolderSource(ListedSource):
    """The files of one folder, listed once when the source is opened.

    A ticker is looked up in that listing and never joined into a path. What has a file's name and is none (a folder, a
    link to nowhere) is listed, and refused when read. Raises SourceError for a folder that is missing or holds no name
    of the form.
    """

    def __init__(self, form: Form, folder: Path, *, clock: Clock | None = None) -> None:
        name = f"{form}:{folder}"
        self._clock = clock
        self._form, self._files = form, _listing(name, form, folder.expanduser())
        super().__init__(name, self._files)

    def history(self, ticker: str) -> PriceHistory:
        """The bars in the ticker's file."""
        frame = self.table(ticker)
        changed = _changed(self._files[ticker])
        return from_frame(frame, ticker, source=self.name, fetched_at=changed, clock=self._clock)

    def headings(self, ticker: str) -> tuple[str, ...]:
        """The headings of the ticker's table."""
        self.check([ticker])
        return headings_of(self.table(ticker))

    def other(self, ticker: str, heading: str, calendar: str) -> tuple[Dates, pd.Series]:
        """Dates and cells of one more column of the ticker's file."""
        return read_other(self.table(ticker), heading, ticker, calendar=calendar)

    def table(self, ticker: str) -> pd.DataFrame:
        """The table in the ticker's file, as it stands."""
        self.check([ticker])
        path = self._files[ticker]
        if why := _no_file(path):
            raise PriceError(ticker, f"{path.name} {why}")
        return read_file(self._form, path, ticker, most_rows=MOST_ROWS)


def open_file(form: Form, path: Path, *, clock: Clock | None = None) -> FrameSource:
    """The source of one file that holds several tickers, named by a column or by its headings; one is its name's.

    Raises SourceError for a file that cannot be read, or names no ticker.
    """
    name = f"{form}:{path}"
    try:
        frame = read_file(form, path, path.stem)
    except PriceError as error:
        raise SourceError(f"{name}: {error.reason}") from None
    frames = split_tickers(frame) or {path.stem: frame}
    return FrameSource(frames, name=name, fetched_at=_changed(path), clock=clock)


def _changed(path: Path) -> str:
    """When the file was last written, UTC; empty where the file system does not say."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except (OSError, OverflowError, ValueError):
        return ""


def _no_file(path: Path) -> str:
    """What a name in a folder is in place of a file; empty for a file, and where nothing is there any more."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"is a link to {path.readlink()}, which does not exist; mend or remove it" if path.is_symlink() else ""
    except OSError as error:
        return f"cannot be read ({error.strerror}); mend or remove it"
    if stat.S_ISDIR(mode):
        return "is a folder, not a file; put the file in its place"
    return "" if stat.S_ISREG(mode) else "is no regular file; put one in its place"


def _listing(name: str, form: Form, folder: Path) -> dict[str, Path]:
    """The files of the form, and what has the name of one, by ticker."""
    if not folder.is_dir():
        raise SourceError(f"{name}: no such folder; name a folder with one TICKER.{form} a ticker, or one file")
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(f"{name}: the folder cannot be listed ({error.strerror}); check its permissions") from None
    files: dict[str, Path] = {}
    for path in inside:
        if path.suffix.lower() != f".{form}" or path.name.startswith("."):
            continue
        if not path.stem.isprintable():
            raise SourceError(f"{name}: the file name {path.name!r} holds control characters; rename it")
        ticker = COPY.sub("", path.stem) or path.stem
        if ticker in files:
            raise SourceError(f"{name}: {files[ticker].name} and {path.name} are the same ticker; keep one")
        files[ticker] = path
    if not files:
        other = "parquet" if form == "csv" else "csv"
        count = sum(path.suffix.lower() == f".{other}" for path in inside)
        hint = (
            f"it holds {count} .{other} file(s): use {other}:{folder}"
            if count
            else f"put one TICKER.{form} a ticker there"
        )
        raise SourceError(f"{name}: the folder holds no .{form} file; {hint}")
    return files


def read_file(form: Form, path: Path, ticker: str, *, most_rows: int | None = None) -> pd.DataFrame:
    """The table in one file; raises PriceError, one line, where there is none, or it holds more than `most_rows`."""
    try:
        check_memory(path.stat().st_size * (TEXT if form == "csv" else 1))
        data = path.read_bytes()
        return (read_parquet if form == "parquet" else read_delimited)(data, most_rows=most_rows)
    except PermissionError as error:
        raise PriceError(ticker, f"{path.name} cannot be read ({error.strerror}); see to its permissions") from None
    except EmptyError:
        raise PriceError(ticker, f"{path.name} is empty; give it a heading and one row a day") from None
    except (TableError, TooLargeError) as error:
        raise PriceError(ticker, f"{path.name}: {error}") from None
    except (OSError, ValueError, NotImplementedError) as error:
        why = " ".join(str(error).split())[:160]
        raise PriceError(ticker, f"{path.name} cannot be read as {form} ({why}); write it again") from None
