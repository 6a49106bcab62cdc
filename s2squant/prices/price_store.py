"""The price store: every bar ever kept, and which of them stood at which version.

A folder a ticker, DIR/INTERVAL/TICKER-HASH:
manifest.json     the ticker, its source, and every version: fetched-at, sha256, what changed and why
bars.N.parquet    all rows of all versions up to N: a row stood from version `since` until `until` (0: it stands)
lock              held by the process that writes

The manifest is written last and names its parquet file, so a killed writer leaves the version before. Rows are never
taken out: a changed row is closed (`until`) and its successor added, so every earlier version can be read again.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from s2squant.atomic import safe_name, write_atomic
from s2squant.errors import BadPricesError, PriceError, SourceError
from s2squant.prices.bars import COLUMNS, GIVEN, About, Bars, columns_of, day_of
from s2squant.prices.revisions import Change

FORMAT = 1
INTERVAL = re.compile(r"[1-9][0-9]{0,2}[mhd]")


@dataclass(frozen=True)
class Version:
    """One state of a ticker's bars."""

    version: int
    fetched_at: str
    """UTC, to the microsecond; later versions are strictly later."""
    sha256: str
    """Of the bars as of this version."""
    rows: int
    first: str
    last: str
    added: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Rows:
    """All rows of all versions: each stood from version `since` until `until`, or stands where that is 0."""

    at: NDArray[Any]
    columns: dict[str, NDArray[Any]]
    since: NDArray[Any]
    until: NDArray[Any]

    def as_of(self, version: int) -> Bars:
        """The bars of a version."""
        stood = (self.since <= version) & ((self.until == 0) | (self.until > version))
        if stood.all():
            return Bars(self.at, self.columns)
        return Bars(self.at[stood], {name: values[stood] for name, values in self.columns.items()})


@dataclass(frozen=True)
class Kept:
    """A ticker as stored: one version of its bars, and what is known about it."""

    about: About
    bars: Bars
    version: Version
    checked_at: str
    """When the source was last asked, whether or not it had anything new."""
    start: str
    """The first day that was ever asked for; empty for as far back as the source goes."""
    rows: Rows


class PriceStore:
    """A folder of bars that many processes may read and write at once. Nothing is created before the first write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def tickers(self, interval: str = "1d") -> tuple[str, ...]:
        """Every ticker stored, in alphabetical order; those with a damaged manifest are left out."""
        found = []
        for path in self._under(interval).glob("*/manifest.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                found.append(str(json.loads(path.read_bytes())["about"]["ticker"]))
        return tuple(sorted(found))

    @contextmanager
    def locked(self, ticker: str, interval: str = "1d") -> Iterator[None]:
        """Hold the ticker alone, waiting for another process to let go; sweeps what a killed one left."""
        place = self._place(ticker, interval)
        try:
            place.mkdir(parents=True, exist_ok=True)
            handle = (place / "lock").open("a")
        except OSError as error:
            raise SourceError(
                f"the price store {self.folder} cannot be written ({error.strerror}); choose another --store"
            ) from None
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._sweep(place)
            yield

    def versions(self, ticker: str, interval: str = "1d") -> tuple[Version, ...]:
        """Every version, oldest first; raises PriceError as `read` does."""
        manifest = self._manifest(ticker, interval)
        if manifest is None:
            raise self._absent(ticker, interval)
        return tuple(_version(entry) for entry in manifest["versions"])

    def find(self, ticker: str, interval: str = "1d") -> Kept | None:
        """The latest version, None where the ticker is not stored; raises BadPricesError where it is damaged."""
        return None if self._manifest(ticker, interval) is None else self.read(ticker, interval)

    def read(self, ticker: str, interval: str = "1d", *, as_of: datetime | None = None) -> Kept:
        """The latest version, or the latest that stood at `as_of` (with its zone).

        Raises PriceError where the ticker is not stored or was not yet, BadPricesError where its files are damaged.
        """
        for _ in range(5):  # another process may put a new version in place between two steps
            manifest = self._manifest(ticker, interval)
            if manifest is None:
                raise self._absent(ticker, interval)
            try:
                rows = self._rows(ticker, interval, manifest)
            except FileNotFoundError:
                continue
            return self._kept(ticker, manifest, rows, as_of)
        raise self._damaged(ticker, interval, "its parquet file is missing")

    def write(
        self,
        about: About,
        bars: Bars,
        *,
        after: Kept | None,
        at: datetime,
        start: str,
        added: int,
        changes: Sequence[Change] = (),
    ) -> Kept:
        """Add a version after the latest, None for the first; the caller holds the lock since it read that one.

        Where the clock is not past the last version, `at` is moved on.
        """
        ticker, interval = about.ticker, about.interval
        manifest = self._manifest(ticker, interval)
        entries = [] if manifest is None else manifest["versions"]
        number = len(entries) + 1
        moment = at.astimezone(UTC)
        if entries:
            before = datetime.fromisoformat(entries[-1]["fetched_at"])
            moment = max(moment, before + _TICK)
        rows = _first(bars) if after is None else _next(after.rows, after.bars, bars, number)
        version = Version(
            version=number,
            fetched_at=moment.isoformat(timespec="microseconds"),
            sha256=bars.sha256,
            rows=len(bars),
            first=day_of(bars.at[0]),
            last=day_of(bars.at[-1]),
            added=added,
            changes=tuple(changes),
        )
        name = f"bars.{number}.parquet"
        place = self._place(ticker, interval)
        write_atomic(place / name, lambda path: _write_rows(path, rows))
        self._write_manifest(about, name, [*entries, asdict(version)], checked_at=version.fetched_at, start=start)
        for old in place.glob("bars.*.parquet"):
            if old.name != name:
                old.unlink(missing_ok=True)
        return Kept(about, bars, version, version.fetched_at, start, rows)

    def checked(self, about: About, *, at: datetime) -> None:
        """Note that the source had nothing new; the caller holds the lock."""
        manifest = self._manifest(about.ticker, about.interval)
        assert manifest is not None, "only what is stored can be confirmed"
        self._write_manifest(
            about,
            manifest["file"],
            manifest["versions"],
            checked_at=at.astimezone(UTC).isoformat(timespec="microseconds"),
            start=manifest["start"],
        )

    def _place(self, ticker: str, interval: str) -> Path:
        return self._under(interval) / safe_name(ticker)

    def _under(self, interval: str) -> Path:
        if not INTERVAL.fullmatch(interval):
            raise SourceError(f"interval {interval!r} is none; write 1d, 1h or 30m")
        return self.folder / interval

    def _manifest(self, ticker: str, interval: str) -> dict[str, Any] | None:
        try:
            manifest: dict[str, Any] = json.loads((self._place(ticker, interval) / "manifest.json").read_bytes())
            if manifest["format"] != FORMAT or manifest["about"]["ticker"] != ticker or not manifest["versions"]:
                raise ValueError("not a manifest of this ticker")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(ticker, interval, str(error)) from None
        return manifest

    def _write_manifest(
        self, about: About, name: str, entries: list[dict[str, Any]], *, checked_at: str, start: str
    ) -> None:
        manifest = {
            "format": FORMAT,
            "about": asdict(about),
            "start": start,
            "checked_at": checked_at,
            "file": name,
            "versions": entries,
        }
        text = json.dumps(manifest, indent=1) + "\n"
        path = self._place(about.ticker, about.interval) / "manifest.json"
        write_atomic(path, lambda at: _text(at, text))

    def _rows(self, ticker: str, interval: str, manifest: dict[str, Any]) -> Rows:
        path = self._place(ticker, interval) / Path(str(manifest["file"])).name
        try:
            with path.open("rb") as file:
                table = pq.ParquetFile(file).read(use_threads=False)
            told = {name: table.column(name).to_numpy() for name in table.column_names}
            columns, since, until = columns_of(told, len(table)), told["since"], told["until"]
            at = table.column("at").to_numpy().astype("datetime64[s]")
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise self._damaged(ticker, interval, str(error)) from None
        return Rows(at, columns, since, until)

    def _kept(self, ticker: str, manifest: dict[str, Any], rows: Rows, as_of: datetime | None) -> Kept:
        entries = manifest["versions"]
        entry = entries[-1]
        if as_of is not None:
            stood = [e for e in entries if datetime.fromisoformat(e["fetched_at"]) <= as_of]
            if not stood:
                raise PriceError(
                    ticker,
                    f"not stored yet as of {as_of.isoformat()}; its first version is of {entries[0]['fetched_at']}",
                )
            entry = stood[-1]
        version = _version(entry)
        bars = rows.as_of(version.version)
        about = About(**manifest["about"])
        if bars.sha256 != version.sha256:
            raise self._damaged(ticker, about.interval, f"the bars of version {version.version} were changed")
        return Kept(about, bars, version, str(manifest["checked_at"]), str(manifest["start"]), rows)

    def _sweep(self, place: Path) -> None:
        for stray in place.glob(".*.tmp"):
            stray.unlink(missing_ok=True)

    def _absent(self, ticker: str, interval: str) -> PriceError:
        what = "" if interval == "1d" else f" at {interval}"
        return PriceError(ticker, f"not in the price store {self.folder}{what}; `s2squant fetch` puts it there")

    def _damaged(self, ticker: str, interval: str, why: str) -> BadPricesError:
        place = self._place(ticker, interval)
        return BadPricesError(
            ticker, f"its files in the price store are damaged ({why[:120]}); remove {place} and fetch again"
        )


_TICK = timedelta(microseconds=1)


def _version(entry: dict[str, Any]) -> Version:
    return Version(**{**entry, "changes": tuple(Change(**change) for change in entry["changes"])})


def _first(bars: Bars) -> Rows:
    count = len(bars)
    return Rows(bars.at, dict(bars.columns), np.ones(count, np.int32), np.zeros(count, np.int32))


def _next(rows: Rows, before: Bars, bars: Bars, number: int) -> Rows:
    """Close the rows that the new bars replace, add their successors and what is new; `before` are those that stand."""
    place = np.minimum(np.searchsorted(before.at, bars.at), len(before) - 1)
    unchanged = before.at[place] == bars.at
    for name in COLUMNS:
        old, new = before.columns[name][place], bars.columns[name]
        unchanged &= (old == new) | (np.isnan(old) & np.isnan(new))
    stays = np.zeros(len(before), bool)
    stays[place[unchanged]] = True
    until = rows.until.copy()
    until[np.flatnonzero(rows.until == 0)[~stays]] = number
    fresh = bars.where(~unchanged)
    at = np.concatenate([rows.at, fresh.at])
    since = np.concatenate([rows.since, np.full(len(fresh), number, np.int32)])
    until = np.concatenate([until, np.zeros(len(fresh), np.int32)])
    columns = {name: np.concatenate([rows.columns[name], fresh.columns[name]]) for name in COLUMNS}
    if (np.diff(at).astype(np.int64) > 0).all():
        return Rows(at, columns, since, until)
    order = np.lexsort((since, at))
    return Rows(at[order], {name: values[order] for name, values in columns.items()}, since[order], until[order])


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_rows(path: Path, rows: Rows) -> None:
    told = {name: values for name, values in rows.columns.items() if name != GIVEN or not np.isnan(values).all()}
    columns = {"at": rows.at.astype("datetime64[s]"), **told, "since": rows.since, "until": rows.until}
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    few = ["dividends", "splits", "since", "until"]
    pq.write_table(table, path, compression="zstd", use_dictionary=few, write_statistics=False)
