"""Price store: every bar ever stored, versioned, so that any earlier state can be read again.

A folder a ticker, DIR/INTERVAL/TICKER-HASH:
manifest.json     the ticker, its source, and every version: fetched-at, sha256, what changed and why
bars.N.parquet    all rows of all versions up to N: a row stood from version `since` until `until` (0: it stands)
lock              held by the process that writes
DIR/damaged has what `s2squant prices repair` put aside.

The manifest is written last and names its parquet file, so a killed writer leaves the version before. A changed row is
closed (`until`) and its successor added, so every earlier version can be read again until it is dropped on purpose.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s2squant.errors import BadPricesError, PriceError, SourceError
from s2squant.files import is_utf8, locked, safe_name, sha256_of, write_atomic
from s2squant.prices.store.bars import GIVEN, About, Bars, columns_of, day_of
from s2squant.prices.store.manifest import Manifest, Version, read_manifest, write_manifest
from s2squant.prices.store.revisions import Change
from s2squant.prices.store.versions import Rows, first_rows, next_rows

INTERVAL = re.compile(r"[1-9][0-9]{0,2}[mhd]")
FOLDER = re.compile(r"[A-Za-z0-9._-]{0,40}-[0-9a-f]{10}")
"""The name of a ticker's folder."""
TICK = timedelta(microseconds=1)
"""The least time between two versions."""


@dataclass(frozen=True)
class Stored:
    """A ticker as stored: one version of its bars, and its manifest."""

    manifest: Manifest
    bars: Bars
    version: Version
    rows: Rows

    @property
    def about(self) -> About:
        """What the source says of the ticker."""
        return self.manifest.about


class PriceStore:
    """A folder of bars that many processes may read and write at once. Nothing is created before the first write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def tickers(self, interval: str = "1d") -> tuple[str, ...]:
        """Every ticker stored, in alphabetical order; one with a damaged manifest too, which `read` then refuses."""
        return tuple(sorted(_ticker_of(path) for path in self._under(interval).glob("*/manifest.json")))

    @contextmanager
    def locked(self, ticker: str, interval: str = "1d") -> Iterator[None]:
        """Hold the ticker alone, waiting for another process to let go; sweeps what a killed one left."""
        place = self._place(ticker, interval)
        if not is_utf8(self.folder):
            raise SourceError(f"the price store {str(self.folder)!a} is not UTF-8; choose another --store")
        with ExitStack() as stack:
            try:
                place.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(place / "lock", wait=True))
            except OSError as error:
                raise SourceError(
                    f"the price store {self.folder} cannot be written ({error.strerror}); choose another --store"
                ) from None
            for stray in place.glob(".*.tmp"):
                stray.unlink(missing_ok=True)
            yield

    def versions(self, ticker: str, interval: str = "1d") -> tuple[Version, ...]:
        """Every version, oldest first; raises PriceError as `read` does."""
        return self._manifest(ticker, interval).versions

    def find(self, ticker: str, interval: str = "1d") -> Stored | None:
        """The latest version, None where the ticker is not stored; raises BadPricesError where it is damaged."""
        return None if self._find(ticker, interval) is None else self.read(ticker, interval)

    def read(self, ticker: str, interval: str = "1d", *, as_of: datetime | None = None) -> Stored:
        """The latest version, or the latest that stood at `as_of` (with its zone).

        Raises PriceError where the ticker is not stored or was not yet, BadPricesError where its files are damaged.
        """
        for _ in range(5):  # another process may put a new version in place between two steps
            manifest = self._manifest(ticker, interval)
            try:
                rows = self._rows(manifest)
            except FileNotFoundError:
                continue
            version = manifest.version_as_of(as_of)
            return Stored(manifest, self._bars(manifest, rows, version), version, rows)
        raise self._damaged(ticker, interval, "its parquet file is missing")

    def write(
        self,
        about: About,
        bars: Bars,
        *,
        after: Stored | None,
        fetched_at: datetime,
        start: str,
        added: int,
        changes: Sequence[Change] = (),
    ) -> Stored:
        """Add a version after the latest, None for the first; the caller holds the lock since it read that one.

        Where the clock is not past the last version, `fetched_at` is moved on.
        """
        before = self._find(about.ticker, about.interval)
        versions = before.versions if before else ()
        number = 1 + (versions[-1].version if versions else 0)
        moment = fetched_at.astimezone(UTC)
        if versions:
            moment = max(moment, datetime.fromisoformat(versions[-1].fetched_at) + TICK)
        rows = first_rows(bars) if after is None else next_rows(after.rows, after.bars, bars, number)
        version = Version(
            version=number,
            fetched_at=_text_of(moment),
            sha256=bars.sha256,
            rows=len(bars),
            first=day_of(bars.times[0]),
            last=day_of(bars.times[-1]),
            added=added,
            changes=tuple(changes),
        )
        dropped = before.dropped if before else ()
        manifest = Manifest(about, start, version.fetched_at, f"bars.{number}.parquet", (*versions, version), dropped)
        self._replace(manifest, rows)
        return Stored(manifest, bars, version, rows)

    def checked(self, about: About, *, checked_at: datetime) -> None:
        """Note that the source had nothing new; the caller holds the lock."""
        manifest = self._manifest(about.ticker, about.interval)
        write_manifest(
            self._place(about.ticker, about.interval), replace(manifest, about=about, checked_at=_text_of(checked_at))
        )

    def drop(self, ticker: str, numbers: Collection[int], interval: str = "1d") -> int:
        """Forget versions, and the bars that stood in no other; returns the bytes that this frees.

        The latest version and those not named stay readable; reading as of a moment of a dropped one raises PriceError.
        The caller holds the lock. Raises PriceError as `read` does; then nothing is dropped.
        """
        manifest = self._manifest(ticker, interval)
        assert manifest.versions[-1].version not in numbers, "the version that stands is not dropped"
        stays = tuple(version for version in manifest.versions if version.version not in numbers)
        if len(stays) == len(manifest.versions):
            return 0
        rows = self._rows(manifest).of_versions([version.version for version in stays])
        for version in (stays[0], stays[-1]):
            self._bars(manifest, rows, version)  # refuses bars that are no longer those of the version
        place, number = self._place(ticker, interval), stays[-1].version
        before = _size(place)
        name = next(n for n in (f"bars.{number}-{i}.parquet" for i in (1, 2)) if n != manifest.file)
        self._replace(manifest.keeping(stays, name), rows)
        return max(0, before - _size(place))

    def damage(self, ticker: str, interval: str = "1d") -> str:
        """Why a stored ticker cannot be read, every version of it; empty where it can."""
        try:
            stored = self.read(ticker, interval)
            for version in stored.manifest.versions[:-1]:
                self._bars(stored.manifest, stored.rows, version)
        except PriceError as error:
            return error.reason
        return ""

    def put_aside(self, ticker: str, interval: str = "1d") -> Path:
        """Move a ticker's folder out of the store, to DIR/damaged, and return its new place; nothing is removed."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        place = self._place(ticker, interval)
        if not place.is_dir():  # its manifest does not say whose it is: it is listed under its folder's name
            place = self._under(interval) / Path(ticker).name
        aside = self.folder / "damaged" / f"{interval}-{place.name}-{stamp}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        return place.rename(aside)

    def _place(self, ticker: str, interval: str) -> Path:
        return self._under(interval) / safe_name(ticker)

    def _under(self, interval: str) -> Path:
        if not INTERVAL.fullmatch(interval):
            raise SourceError(f"interval {interval!r} is none; write 1d, 1h or 30m")
        return self.folder / interval

    def _find(self, ticker: str, interval: str) -> Manifest | None:
        place = self._place(ticker, interval)
        try:
            return read_manifest(place, ticker)
        except (FileNotFoundError, NotADirectoryError):
            if FOLDER.fullmatch(ticker) and (other := self._under(interval) / ticker / "manifest.json").is_file():
                raise self._damaged(ticker, interval, "its manifest does not say what it is of", other.parent) from None
            return None
        except PermissionError as error:
            raise self._locked_away(ticker, error) from None
        except (OSError, ValueError, RecursionError) as error:
            raise self._damaged(ticker, interval, str(error)) from None

    def _manifest(self, ticker: str, interval: str) -> Manifest:
        manifest = self._find(ticker, interval)
        if manifest is None:
            where = "" if interval == "1d" else f" at {interval}"
            raise PriceError(ticker, f"not in the price store {self.folder}{where}; `s2squant fetch` puts it there")
        return manifest

    def _replace(self, manifest: Manifest, rows: Rows) -> None:
        """Write the rows, then the manifest that names them, then remove the files of before."""
        place = self._place(manifest.about.ticker, manifest.about.interval)
        write_atomic(place / manifest.file, lambda path: _write_rows(path, rows))
        write_manifest(place, replace(manifest, file_sha256=sha256_of(place / manifest.file)))
        for old in place.glob("bars.*.parquet"):
            if old.name != manifest.file:
                old.unlink(missing_ok=True)

    def _rows(self, manifest: Manifest) -> Rows:
        ticker, interval = manifest.about.ticker, manifest.about.interval
        try:
            content = (self._place(ticker, interval) / manifest.file).read_bytes()
            if manifest.file_sha256 and hashlib.sha256(content).hexdigest() != manifest.file_sha256:
                raise ValueError("not the parquet file that was written")
            table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
            arrays = {name: table.column(name).to_numpy() for name in table.column_names}
            columns, since, until = columns_of(arrays, len(table)), arrays["since"], arrays["until"]
            return Rows(arrays["at"].astype("datetime64[s]"), columns, since, until)
        except FileNotFoundError:
            raise
        except PermissionError as error:
            raise self._locked_away(ticker, error) from None
        except Exception as error:  # what a file without a checksum makes of a parser is no one kind of error
            raise self._damaged(ticker, interval, str(error)) from None

    def _bars(self, manifest: Manifest, rows: Rows, version: Version) -> Bars:
        """The bars of a version; raises BadPricesError where they are not those that were written."""
        about = manifest.about
        try:
            bars = rows.as_of(version.version)
        except AssertionError as error:
            raise self._damaged(about.ticker, about.interval, str(error)) from None
        if bars.sha256 != version.sha256:
            raise self._damaged(about.ticker, about.interval, f"the bars of version {version.version} were changed")
        return bars

    def _locked_away(self, ticker: str, error: PermissionError) -> PriceError:
        why = f"its files in the price store cannot be read ({error.strerror})"
        return PriceError(ticker, f"{why}; see to the permissions of {error.filename}")

    def _damaged(self, ticker: str, interval: str, why: str, place: Path | None = None) -> BadPricesError:
        place = place or self._place(ticker, interval)
        return BadPricesError(
            ticker,
            f"its files in the price store are damaged ({why[:120]}); `s2squant prices repair {self.folder}` puts "
            f"{place.name} aside, then fetch again",
        )


def _ticker_of(path: Path) -> str:
    """The ticker a manifest is of: by itself, else by its folder's name, else that name."""
    folder = path.parent.name
    named: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        named.append(str(json.loads(path.read_bytes())["about"]["ticker"]))
    readable = folder.rpartition("-")[0]
    likely = (readable, f"^{readable}", readable.replace("_", "="), readable.replace("_", "&"))
    return next((name for name in (*named, *likely) if safe_name(name) == folder), folder)


def _text_of(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.iterdir() if path.is_file())


def _write_rows(path: Path, rows: Rows) -> None:
    columns = {name: values for name, values in rows.columns.items() if name != GIVEN or not np.isnan(values).all()}
    columns = {"at": rows.times.astype("datetime64[s]"), **columns, "since": rows.since, "until": rows.until}
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    few = ["dividends", "splits", "since", "until"]
    pq.write_table(table, path, compression="zstd", use_dictionary=few, write_statistics=False)
