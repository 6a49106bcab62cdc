"""Retention: removes old runs, searches, weights and price versions, and marks dead runs; the ledger keeps every row.

Everything is listed before anything is removed, and each part (dead runs, folders of runs, searches, weights, versions
of prices) goes its own way: a failure in one is noted and stops no other. A folder is first moved aside in one step and
then emptied, a version of prices goes with its manifest, and weights are single files: a kill leaves nothing torn.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from s2squant.config.nightly import Nightly, Retention
from s2squant.errors import ConfigError, S2squantError, one_line
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger, existing_ledger
from s2squant.prices.store.compaction import Spent, drop_spent, spent_versions
from s2squant.prices.store.price_store import PriceStore
from s2squant.runs.folder import REPORTS, STUDIES, RunFolder

TRASH = ".trash"
"""Below the reports and the searches: what was moved aside to be removed."""
WEIGHTS = re.compile(r"[0-9a-f]{64}\.safetensors")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT.*")

Part = Literal["dead", "runs", "studies", "models", "prices"]
PARTS: tuple[Part, ...] = ("dead", "runs", "studies", "models", "prices")


@dataclass(frozen=True)
class Item:
    """One thing that has to go."""

    part: Part
    name: str
    """A run's id, a folder, a file, or a ticker and its interval."""
    why: str
    size: int = 0
    """Bytes; 0 where it is known only afterwards."""
    spent: Spent | None = None


@dataclass(frozen=True)
class Upkeep:
    """Outcome of an upkeep: what was listed, removed, and what failed."""

    listed: tuple[Item, ...]
    removed: tuple[Item, ...]
    """Of those listed; `size` is what each freed. None of them after a dry run."""
    failures: tuple[str, ...]
    dry_run: bool

    @property
    def freed(self) -> int:
        """Bytes."""
        return sum(item.size for item in self.removed)


@dataclass(frozen=True)
class _Site:
    """Where upkeep looks, and what time it is."""

    spec: Nightly
    keep: Retention
    now: datetime
    reports: Path
    studies: Path
    ledger: Ledger | None
    wanted: frozenset[Path]
    """Backtests that the live record of some nightly is compared with."""

    def before(self, days: float) -> datetime:
        return self.now - timedelta(days=days)

    @property
    def dead(self) -> datetime:
        """What was left alone since then is taken for dead."""
        return self.now - timedelta(hours=self.keep.dead_after)


def maintain(
    spec: Nightly,
    retention: Retention | None = None,
    *,
    now: datetime | None = None,
    dry_run: bool = False,
    reports: Path = REPORTS,
    studies: Path = STUDIES,
    others: Sequence[Nightly] = (),
    on_listed: Callable[[tuple[Item, ...]], None] | None = None,
) -> Upkeep:
    """List everything that may go, hand the list to `on_listed`, and remove it unless it is a `dry_run`.

    Looks at the folders of reports/<nightly>, reports/backtest and reports/tune, at searches left alone in data/tuning,
    at the nightly's weights and price store, and at its runs in the ledger.
    A backtest that this nightly, one of the `others` or one of the ledger names stays, however old.
    Raises ConfigError where the ledger's place is none; what cannot be read or removed is in `failures`.
    """
    with ExitStack() as stack:
        moment = (now or datetime.now(UTC)).astimezone(UTC)
        failures: list[str] = []
        ledger: Ledger | None = None
        with _noting(failures, "dead runs, weights and prices are left alone"):
            ledger = existing_ledger() if dry_run else Ledger()
            if ledger is None:  # a dry run makes none: an empty one stands for it
                place = Path(stack.enter_context(TemporaryDirectory()))
                ledger = Ledger(make_sqlite_url(place / "ledger.sqlite"))
        named = [nightly.backtest for nightly in (spec, *others)] + (_backtests(ledger) if ledger is not None else [])
        wanted = frozenset(Path(name).resolve() for name in named if name)
        site = _Site(spec, retention or Retention(), moment, reports, studies, ledger, wanted)
        listed: list[Item] = []
        for part in PARTS:
            with _noting(failures, part):
                listed += _list(part, site)
        if on_listed is not None:
            on_listed(tuple(listed))
        removed: list[Item] = []
        for item in () if dry_run else listed:
            with _noting(failures, f"{item.part}: {item.name}"):
                freed = _remove(item, site)
                if freed is not None:
                    removed.append(Item(item.part, item.name, item.why, freed))
        for root in () if dry_run else (site.reports, site.studies):
            with _noting(failures, "runs"):
                _empty_trash(root)
        return Upkeep(tuple(listed), tuple(removed), tuple(failures), dry_run)


@contextmanager
def _noting(failures: list[str], what: str) -> Iterator[None]:
    """Note what goes wrong, in one line, and go on."""
    try:
        yield
    except ConfigError:
        raise
    except (OSError, ValueError, S2squantError) as error:
        failures.append(f"{what}: {one_line(str(error))}")


def _list(part: Part, site: _Site) -> list[Item]:
    match part:
        case "runs":
            flows = (site.spec.name, "backtest", "tune")
            return [item for flow in flows for item in _old_folders(part, site.reports / flow, site)]
        case "studies":  # what their trials came to stays in reports/tune and in the trial ledger
            return list(_old_folders(part, site.studies, site))
        case _ if site.ledger is None:
            return []
        case "dead":
            return list(_dead_runs(site, site.ledger))
        case "models":
            return list(_old_weights(site, site.ledger))
        case "prices":
            return list(_old_prices(site, site.ledger))


def _remove(item: Item, site: _Site) -> int | None:
    """Bytes freed; None where it is no longer there, or no longer to be removed."""
    match item.part:
        case "dead":
            assert site.ledger is not None, "it was listed by the ledger"
            return 0 if site.ledger.reap(item.name, item.why, at=site.now) else None
        case "runs" | "studies":
            return _remove_folder(item.part, Path(item.name), site)
        case "models":
            return _unlink(Path(item.name), item.size)
        case "prices":
            assert item.spent is not None, "it was listed by the price store"
            return drop_spent(PriceStore(Path(site.spec.experiment.universe.store)), item.spent)


# -- dead runs ---------------------------------------------------------------------------------------------------------


def _dead_runs(site: _Site, ledger: Ledger) -> Iterator[Item]:
    for run in ledger.runs(site.spec.name, status="running"):
        if run.started_at < site.dead and not (run.folder and _is_locked(Path(run.folder))):
            yield Item("dead", run.run_id, f"no sign of life; it began {run.started_at:%Y-%m-%d %H:%M} UTC")


# -- folders of runs and of searches -----------------------------------------------------------------------------------


def _old_folders(part: Part, root: Path, site: _Site) -> Iterator[Item]:
    """Folders that ended long ago, and those on which nobody went on."""
    if root.is_symlink() or not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if path.name == TRASH or path.resolve() in site.wanted:
            continue
        if (why := _why_old(path, site)) and not _is_locked(path):
            why = why.removeprefix("never finished; ") if part == "studies" else why
            yield Item(part, str(path), why, _size(path, *_beside(part, path)))


def _backtests(ledger: Ledger) -> list[str]:
    """The backtests that the nightlies of the ledger name, by the settings of their newest runs."""
    named = []
    for run in ledger.last_runs():
        with suppress(ValueError, AttributeError):
            named.append(str(json.loads(run.settings).get("backtest") or ""))
    return named


def _why_old(path: Path, site: _Site) -> str:
    """Why a folder may go; empty where it must stay: not ours, a link, too young."""
    if path.is_symlink() or not path.is_dir():
        return ""
    ended = _ended(path)
    if ended is not None:
        return f"finished {ended:%Y-%m-%d}" if ended < site.before(site.keep.runs) else ""
    if not (path / "work" / "identity.json").is_file() or (path / "manifest.json").exists():
        return ""
    touched = _touched(path)
    given_up = touched < site.before(site.keep.runs) and touched < site.dead
    return f"never finished; last written {touched:%Y-%m-%d}" if given_up else ""


def _ended(path: Path) -> datetime | None:
    """When the run finished, by its manifest; None where there is none, or none of ours."""
    manifest = path / "manifest.json"
    try:
        facts: dict[str, Any] = json.loads(manifest.read_bytes())
        if not {"run_id", "status"} <= facts.keys():
            return None
        written = datetime.fromtimestamp(manifest.stat().st_mtime, UTC)
    except (OSError, ValueError, AttributeError):
        return None
    with suppress(KeyError, TypeError, ValueError):
        ended = datetime.fromisoformat(facts["finished_at"])
        return (ended if ended.tzinfo else ended.replace(tzinfo=UTC)).astimezone(UTC)
    return written


def _touched(path: Path) -> datetime:
    return datetime.fromtimestamp(max(p.lstat().st_mtime for p in (path, *path.rglob("*"))), UTC)


def _is_locked(path: Path) -> bool:
    """Whether a process is at work in a run's folder."""
    with RunFolder(path).idle() as free:
        return not free


def _remove_folder(part: Part, path: Path, site: _Site) -> int | None:
    """Files beside it go first: a kill in between leaves the folder, by which the next upkeep finds the rest."""
    with RunFolder(path).idle() as free:
        if not free or not _why_old(path, site):  # taken up again since it was listed
            return None
        beside = _beside(part, path)
        root = site.studies if part == "studies" else site.reports
        size, aside = _size(path, *beside), root / TRASH / f"{path.name}-{uuid.uuid4().hex[:8]}"
        for one in beside:
            one.unlink(missing_ok=True)
        aside.parent.mkdir(exist_ok=True)
        path.rename(aside)
    with suppress(FileNotFoundError):  # another upkeep may be at it too
        shutil.rmtree(aside)
    return size


def _beside(part: Part, path: Path) -> list[Path]:
    """The database of a search's trials, with what SQLite puts beside it."""
    ends = ("", "-wal", "-shm", "-journal") if part == "studies" else ()
    return [p for end in ends if (p := path.with_name(f"{path.name}.sqlite{end}")).is_file()]


def _empty_trash(root: Path) -> None:
    """Remove what a killed upkeep had moved aside."""
    trash = root / TRASH
    if trash.is_dir() and not trash.is_symlink():
        with suppress(FileNotFoundError):
            shutil.rmtree(trash)


# -- weights -----------------------------------------------------------------------------------------------------------


def _old_weights(site: _Site, ledger: Ledger) -> Iterator[Item]:
    """Weights that no forecast young enough was made with, that start no night, and that are not just being entered."""
    folder = Path(site.spec.models).expanduser()
    if not folder.is_dir():
        return
    since = site.before(site.keep.models).date()
    known = ledger.versions()
    if not known:  # a new ledger, or another than the one these weights are entered in
        return
    wanted = ledger.versions(since) | ledger.mentioned(since)
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file():
            continue
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if path.name.startswith(".") and path.name.endswith(".tmp") and written < site.dead:
            yield Item("models", str(path), "left by a killed process", path.stat().st_size)
        if not WEIGHTS.fullmatch(path.name) or path.stem in wanted or written > site.dead:
            continue
        if path.stem in known:
            yield Item("models", str(path), f"no forecast since {since} needs it", path.stat().st_size)
        elif written < site.before(site.keep.models):
            yield Item("models", str(path), f"never entered, written {written:%Y-%m-%d}", path.stat().st_size)


def _unlink(path: Path, size: int) -> int | None:
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    return size


# -- prices ------------------------------------------------------------------------------------------------------------


def _old_prices(site: _Site, ledger: Ledger) -> Iterator[Item]:
    since = site.before(site.keep.models).date()
    keep = sorted(set(_moments(ledger.price_moments(since) | ledger.mentioned(since))))
    store = PriceStore(Path(site.spec.experiment.universe.store))
    for spent in spent_versions(store, before=site.before(site.keep.prices), keep=keep):
        count = f"{len(spent.versions)} versions" if len(spent.versions) > 1 else "1 version"
        why = f"{count}, fetched {spent.first[:10]} to {spent.last[:10]}"
        yield Item("prices", f"{spent.ticker} {spent.interval}", why, spent=spent)


def _moments(texts: frozenset[str]) -> Iterator[datetime]:
    for text in texts:
        with suppress(ValueError):
            moment = datetime.fromisoformat(text) if MOMENT.fullmatch(text) else None
            if moment is not None and moment.tzinfo is not None:
                yield moment


def _size(*paths: Path) -> int:
    inside = [p for path in paths for p in (path, *path.rglob("*"))]
    return sum(p.lstat().st_size for p in inside if p.is_file() and not p.is_symlink())
