"""Price store: every bar ever stored, versioned, so that any earlier state can be read again.

A folder a ticker, DIR/INTERVAL/TICKER-HASH:
manifest.json     the ticker, its source, and every version: fetched-at, sha256, what changed and why
bars.N.parquet    all rows of all versions up to N: a row stood from version `since` until `until` (0: it stands)
lock              held by the process that writes

The manifest is written last and names its parquet file, so a killed writer leaves the version before. A changed row is
closed (`until`) and its successor added, so every earlier version can be read again until it is dropped on purpose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s2squant.errors import BadPricesError, PriceError, SourceError
from s2squant.files import locked, safe_name, write_atomic
from s2squant.prices.store.bars import GIVEN, About, Bars, columns_of, day_of
from s2squant.prices.store.revisions import Change
from s2squant.prices.store.versions import Rows, first_rows, next_rows

FORMAT = 1
INTERVAL = re.compile(r"[1-9][0-9]{0,2}[mhd]")
FOLDER = re.compile(r"[A-Za-z0-9._-]{0,40}-[0-9a-f]{10}")
"""The name of a ticker's folder."""


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
        """Every ticker stored, in alphabetical order; one with a damaged manifest too, which `read` then refuses."""
        return tuple(sorted(_ticker_of(path) for path in self._under(interval).glob("*/manifest.json")))

    @contextmanager
    def locked(self, ticker: str, interval: str = "1d") -> Iterator[None]:
        """Hold the ticker alone, waiting for another process to let go; sweeps what a killed one left."""
        place = self._place(ticker, interval)
        with ExitStack() as stack:
            try:
                place.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(place / "lock", wait=True))
            except OSError as error:
                raise SourceError(
                    f"the price store {self.folder} cannot be written ({error.strerror}); choose another --store"
                ) from None
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
        number = 1 + (entries[-1]["version"] if entries else 0)
        moment = at.astimezone(UTC)
        if entries:
            before = datetime.fromisoformat(entries[-1]["fetched_at"])
            moment = max(moment, before + _TICK)
        rows = first_rows(bars) if after is None else next_rows(after.rows, after.bars, bars, number)
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
        dropped = [] if manifest is None else manifest.get("dropped", [])
        self._write_manifest(
            about, name, [*entries, asdict(version)], checked_at=version.fetched_at, start=start, dropped=dropped
        )
        _unlink_others(place, name)
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
            dropped=manifest.get("dropped", []),
        )

    def drop(self, ticker: str, numbers: Collection[int], interval: str = "1d") -> int:
        """Forget versions, and the bars that stood in no other; returns the bytes that this frees.

        The latest version and those not named stay readable; reading as of a moment of a dropped one raises PriceError.
        The caller holds the lock. Raises PriceError as `read` does; then nothing is dropped.
        """
        manifest = self._manifest(ticker, interval)
        if manifest is None:
            raise self._absent(ticker, interval)
        entries = manifest["versions"]
        assert entries[-1]["version"] not in numbers, "the version that stands is not dropped"
        stays = [entry for entry in entries if entry["version"] not in numbers]
        if len(stays) == len(entries):
            return 0
        rows = self._rows(ticker, interval, manifest).of_versions([entry["version"] for entry in stays])
        for entry in (stays[0], stays[-1]):
            if rows.as_of(entry["version"]).sha256 != entry["sha256"]:
                raise self._damaged(ticker, interval, f"the bars of version {entry['version']} were changed")
        place, number = self._place(ticker, interval), stays[-1]["version"]
        before = _size(place)
        name = next(n for n in (f"bars.{number}-{i}.parquet" for i in (1, 2)) if n != manifest["file"])
        write_atomic(place / name, lambda path: _write_rows(path, rows))
        gone = {entry["fetched_at"] for entry in entries} - {entry["fetched_at"] for entry in stays}
        self._write_manifest(
            About(**manifest["about"]),
            name,
            stays,
            checked_at=manifest["checked_at"],
            start=manifest["start"],
            dropped=_dropped({*gone, *manifest.get("dropped", [])}, stays),
        )
        _unlink_others(place, name)
        return max(0, before - _size(place))

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
            if FOLDER.fullmatch(ticker) and (place := self._under(interval) / ticker / "manifest.json").is_file():
                raise self._damaged(ticker, interval, "its manifest does not say what it is of", place.parent) from None
            return None
        except PermissionError as error:
            raise self._locked_away(ticker, error) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(ticker, interval, str(error)) from None
        return manifest

    def _write_manifest(
        self,
        about: About,
        name: str,
        entries: list[dict[str, Any]],
        *,
        checked_at: str,
        start: str,
        dropped: list[str],
    ) -> None:
        manifest = {
            "format": FORMAT,
            "about": asdict(about),
            "start": start,
            "checked_at": checked_at,
            "file": name,
            "versions": entries,
            "dropped": dropped,
        }
        text = json.dumps(manifest, indent=1) + "\n"
        path = self._place(about.ticker, about.interval) / "manifest.json"
        write_atomic(path, lambda place: _text(place, text))

    def _rows(self, ticker: str, interval: str, manifest: dict[str, Any]) -> Rows:
        path = self._place(ticker, interval) / Path(str(manifest["file"])).name
        try:
            with path.open("rb") as file:
                table = pq.ParquetFile(file).read(use_threads=False)
            stored = {name: table.column(name).to_numpy() for name in table.column_names}
            columns, since, until = columns_of(stored, len(table)), stored["since"], stored["until"]
            moments = table.column("at").to_numpy().astype("datetime64[s]")
        except FileNotFoundError:
            raise
        except PermissionError as error:
            raise self._locked_away(ticker, error) from None
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise self._damaged(ticker, interval, str(error)) from None
        return Rows(moments, columns, since, until)

    def _kept(self, ticker: str, manifest: dict[str, Any], rows: Rows, as_of: datetime | None) -> Kept:
        entries = manifest["versions"]
        entry = entries[-1]
        if as_of is not None:
            stood = [e for e in entries if datetime.fromisoformat(e["fetched_at"]) <= as_of]
            last = stood[-1]["fetched_at"] if stood else ""
            if any(d > last and datetime.fromisoformat(d) <= as_of for d in manifest.get("dropped", [])):
                raise PriceError(
                    ticker, f"its bars as of {as_of.isoformat()} were dropped by `s2squant maintain`; they are gone"
                )
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

    def _locked_away(self, ticker: str, error: PermissionError) -> PriceError:
        why = f"its files in the price store cannot be read ({error.strerror})"
        return PriceError(ticker, f"{why}; see to the permissions of {error.filename}")

    def _damaged(self, ticker: str, interval: str, why: str, place: Path | None = None) -> BadPricesError:
        place = place or self._place(ticker, interval)
        return BadPricesError(
            ticker, f"its files in the price store are damaged ({why[:120]}); remove {place} and fetch again"
        )


_TICK = timedelta(microseconds=1)


def _ticker_of(path: Path) -> str:
    """The ticker a manifest is of: by itself, else by its folder's name, else that name."""
    folder = path.parent.name
    named: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        named.append(str(json.loads(path.read_bytes())["about"]["ticker"]))
    readable = folder.rpartition("-")[0]
    likely = (readable, f"^{readable}", readable.replace("_", "="), readable.replace("_", "&"))
    return next((name for name in (*named, *likely) if safe_name(name) == folder), folder)


def _version(entry: dict[str, Any]) -> Version:
    return Version(**{**entry, "changes": tuple(Change(**change) for change in entry["changes"])})


def _dropped(fetched_at: Collection[str], stays: Sequence[dict[str, Any]]) -> list[str]:
    """Where, after each version that stays, the dropped ones begin; the times are text of one form and zone."""
    marks, dropped = {entry["fetched_at"] for entry in stays}, []
    before_dropped = False
    for moment in sorted({*fetched_at, *marks}):
        if moment not in marks and not before_dropped:
            dropped.append(moment)
        before_dropped = moment not in marks
    return dropped


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.iterdir() if path.is_file())


def _unlink_others(place: Path, name: str) -> None:
    for old in place.glob("bars.*.parquet"):
        if old.name != name:
            old.unlink(missing_ok=True)


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_rows(path: Path, rows: Rows) -> None:
    given = {name: values for name, values in rows.columns.items() if name != GIVEN or not np.isnan(values).all()}
    columns = {"at": rows.at.astype("datetime64[s]"), **given, "since": rows.since, "until": rows.until}
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    few = ["dividends", "splits", "since", "until"]
    pq.write_table(table, path, compression="zstd", use_dictionary=few, write_statistics=False)
