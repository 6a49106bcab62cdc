"""The manifest of a stored ticker: what it is, when it was fetched, and every version of its bars."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import TypeAdapter

from s2squant.errors import PriceError
from s2squant.files import sealed, unsealed, write_atomic
from s2squant.prices.store.bars import About
from s2squant.prices.store.revisions import Change

FORMAT = 1
NAME = "manifest.json"
FILE = re.compile(r"bars\.[1-9][0-9]*(-[12])?\.parquet")


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
class Manifest:
    """A ticker's manifest.json; it is written last, so that it always names a whole parquet file."""

    about: About
    start: str
    """The first day that was ever asked for; empty for as far back as the source goes."""
    checked_at: str
    """When the source was last asked, whether or not it had anything new."""
    file: str
    versions: tuple[Version, ...]
    """Oldest first, at least one."""
    dropped: tuple[str, ...] = ()
    """Where, after each version that stays, dropped ones began."""
    file_sha256: str = ""
    """Of the parquet file; empty where an older version wrote it."""

    def __post_init__(self) -> None:
        if not self.versions or not FILE.fullmatch(self.file):
            raise ValueError("no version, or no parquet file, is named")
        moments = [datetime.fromisoformat(version.fetched_at) for version in self.versions]
        if any(moment.tzinfo is None for moment in moments):
            raise ValueError("a version has no time zone")
        numbers = [version.version for version in self.versions]
        late = any(b <= a for a, b in pairwise(moments))
        if late or numbers[0] < 1 or any(b <= a for a, b in pairwise(numbers)):
            raise ValueError("its versions are not in order")

    def version_as_of(self, as_of: datetime | None) -> Version:
        """The latest version, or the latest that stood at a moment; raises PriceError where none did, or it is gone."""
        if as_of is None:
            return self.versions[-1]
        stood = [v for v in self.versions if datetime.fromisoformat(v.fetched_at) <= as_of]
        last = stood[-1].fetched_at if stood else ""
        if any(moment > last and datetime.fromisoformat(moment) <= as_of for moment in self.dropped):
            why = f"its bars as of {as_of.isoformat()} were dropped by `s2squant maintain`; they are gone"
            raise PriceError(self.about.ticker, why)
        if not stood:
            first = self.versions[0].fetched_at
            why = f"not stored yet as of {as_of.isoformat()}; its first version is of {first}"
            raise PriceError(self.about.ticker, why)
        return stood[-1]

    def keeping(self, versions: tuple[Version, ...], file: str) -> Manifest:
        """The manifest after all other versions were dropped; the times are text of one form and zone."""
        marks = {version.fetched_at for version in versions}
        moments = sorted({*(version.fetched_at for version in self.versions), *self.dropped})
        begins = (m for i, m in enumerate(moments) if m not in marks and (i == 0 or moments[i - 1] in marks))
        return replace(self, versions=versions, file=file, dropped=tuple(begins))


def read_manifest(folder: Path, ticker: str) -> Manifest:
    """The manifest in a ticker's folder; raises OSError or ValueError where it is none of it, or was changed."""
    data = unsealed((folder / NAME).read_bytes(), since="file_sha256")
    if data.pop("format", None) != FORMAT:
        raise ValueError("not a manifest of this form")
    manifest = _checked().validate_json(json.dumps(data), strict=True)
    if manifest.about.ticker != ticker:
        raise ValueError("not a manifest of this ticker")
    return manifest


@cache
def _checked() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in place of the one before, whole, with its checksum."""
    write_atomic(folder / NAME, sealed({"format": FORMAT, **asdict(manifest)}))
