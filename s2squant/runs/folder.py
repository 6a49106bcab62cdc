"""Run folder: claimed by one process, written atomically, its manifest last; no other module knows its files.

experiment.json  forecasts.parquet  scores.parquet  verdicts.parquet  equity.parquet  manifest.json
study.json  prices.parquet  tables/     the rest of what the report shows (see study_files.py)
index.html  tickers/  assets/      the report
models/                            what was fitted, safetensors with its JSON inside
work/                              finished parts of a run under way; gone once the manifest stands
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from s2squant.errors import RunError
from s2squant.files import is_utf8, locked, safe_name, sealed, sha256_of, unsealed, write_atomic

REPORTS = Path("reports")
MANIFEST = "manifest.json"
PARTS = ("forecasts.parquet", "training.parquet")
"""The tables of a job's part."""


STUDIES = Path("data/tuning")
"""A search under way: a folder of parts, and beside it the database of its trials."""


class RunFolder:
    """One run's folder: claimed by one process at a time, filled part by part, finished by its manifest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = ExitStack()
        self._sums: dict[str, str] | None = None

    def __reduce__(self) -> tuple[type[RunFolder], tuple[Path]]:
        return type(self), (self.path,)

    @classmethod
    def unfinished(cls, flow: str, name: str) -> RunFolder:
        """The folder reports/<flow>/<name> unless a run is finished there, else the next one free of that name."""
        number = 1
        while True:
            path = REPORTS / flow / (name if number == 1 else f"{name}-{number}")
            if not (path / MANIFEST).exists():
                return cls(path)
            shutil.rmtree(path / "work", ignore_errors=True)  # it was killed between its last two steps
            number += 1

    @classmethod
    def fresh(cls, flow: str, tag: str) -> RunFolder:
        """A folder of its own below reports/<flow>, named by time; nothing is created yet."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        number = 0
        while True:
            path = REPORTS / flow / (f"{stamp}-{tag}" + (f"-{number}" if number else ""))
            if not path.exists():
                return cls(path)
            number += 1

    def claim(self, identity: Mapping[str, Any]) -> bool:
        """Take the folder for this run; True when it already holds parts of the same run.

        `identity` is what decides the run's numbers. Raises RunError when the folder holds something else, a finished
        run, or is in use.
        """
        text = json.dumps(dict(identity), sort_keys=True, indent=1) + "\n"
        try:
            self._refuse_foreign()
            self._stamp.parent.mkdir(parents=True, exist_ok=True)
            self._own()
            if self._stamp.exists():
                if self._stamp.read_bytes() != text.encode():
                    raise RunError(
                        f"{self.path}: holds parts of a different run (settings, prices or version differ); "
                        "choose another --out"
                    )
                self._sweep()
                return True
            write_atomic(self._stamp, text)
        except OSError as error:
            self.release()
            raise RunError(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from None
        except RunError:
            self.release()
            raise
        return False

    def check_name(self) -> None:
        """Raise RunError for a path that is not UTF-8: no parquet file could be written there."""
        if not is_utf8(self.path):
            raise RunError(f"{str(self.path)!a}: not UTF-8; rename the folder, or choose another")

    @property
    def _stamp(self) -> Path:
        return self.path / "work" / "identity.json"

    @property
    def _lock_file(self) -> Path:
        return self.path / "work" / "lock"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def runs_page(self) -> str:
        """The page of all runs as seen from this folder; empty for a run that lies elsewhere than reports/<flow>.

        It is that of the flow, so that the way is the same from reports/latest, which stands for the folder.
        """
        path = self.path.resolve()
        return "../index.html" if path.parent.parent == REPORTS.resolve() and path.parent != path else ""

    def is_under_way(self) -> bool:
        """Whether a run was begun here and has not finished."""
        return self._stamp.exists() and not (self.path / MANIFEST).exists()

    def begun_with(self) -> dict[str, Any] | None:
        """The identity of the run under way here; None where there is none, or none that can be read."""
        try:
            identity = json.loads(self._stamp.read_text(encoding="utf-8")) if self.is_under_way() else None
        except (OSError, ValueError):
            return None
        return identity if isinstance(identity, dict) else None

    def _refuse_foreign(self) -> None:
        """Raise RunError unless the folder is missing, empty, or holds parts of an unfinished run."""
        self.check_name()
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path}: not a folder; choose another --out")
        if (self.path / MANIFEST).exists():
            raise RunError(f"{self.path}: holds a finished run; choose another --out or remove it")
        if not self.path.is_dir() or self._stamp.exists():
            return
        inside = {entry.name for entry in self.path.iterdir()} - {"work"}
        if self._stamp.parent.is_dir():  # killed before its stamp stood, a run leaves a lock and no more
            left = {e.name for e in self._stamp.parent.iterdir()} - {"lock"}
            inside |= {name for name in left if not name.startswith(f".{self._stamp.name}.")}
        if inside:
            raise RunError(f"{self.path}: not empty and not a run of ours; choose another --out")

    def _own(self) -> None:
        """Lock the folder; raises RunError while another process holds it, or when that one has just finished."""
        if not self._lock.enter_context(locked(self._lock_file, wait=False)):
            raise RunError(f"{self.path}: another process is writing this run; wait for it or choose another --out")
        self._refuse_foreign()

    @contextmanager
    def idle(self) -> Iterator[bool]:
        """Keep every run out of the folder; False where one is at work. Without a lock file none is, none is made."""
        with ExitStack() as stack:
            free = True
            with suppress(FileNotFoundError):  # moved aside between two steps
                free = not self._lock_file.is_file() or stack.enter_context(locked(self._lock_file, wait=False))
            yield free

    def _sweep(self) -> None:
        """Remove the temporary files of a killed process."""
        for stray in self.path.rglob(".*.tmp"):
            stray.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go of the folder."""
        self._lock.close()

    def part(self, key: str, kind: str) -> Path:
        """Where a job keeps its result of this kind."""
        return self.path / "work" / f"{safe_name(key)}.{kind}"

    def model(self, *names: str) -> Path:
        """Where a fitted model is kept."""
        return self.path / "models" / f"{safe_name(':'.join(names))}.safetensors"

    def started(self, ticket: str) -> int:
        """Note that a worker takes up a piece of work; how often that was noted under this name, this time included."""
        marked = self.path / "work" / f"{safe_name(ticket)}.started"
        if not marked.parent.is_dir():
            return 1
        with marked.open("a", encoding="utf-8") as marks:
            marks.write("+")
        return marked.stat().st_size

    def is_done(self, key: str) -> bool:
        """Whether a job finished, in this or an earlier process, and its parts are what it wrote."""
        try:
            facts = unsealed(self.part(key, "done.json").read_bytes(), since="facts")
            return all(sha256_of(self.part(key, kind)) == facts[kind] for kind in PARTS)
        except (OSError, ValueError, KeyError):  # damaged: the job is done again
            return False

    def save_part(self, key: str, forecasts: pd.DataFrame, training: pd.DataFrame, facts: Mapping[str, Any]) -> None:
        """Keep a job's result; its done mark is written last."""
        for kind, table in zip(PARTS, (forecasts, training), strict=True):
            _write_parquet(self.part(key, kind), table)
        sums = {kind: sha256_of(self.part(key, kind)) for kind in PARTS}
        write_atomic(self.part(key, "done.json"), sealed({"facts": dict(facts), **sums}))

    def read_part(self, key: str) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
        """A finished job's forecasts, training curves and facts."""
        facts: dict[str, Any] = unsealed(self.part(key, "done.json").read_bytes(), since="facts")["facts"]
        forecasts, training = (pd.read_parquet(self.part(key, kind)) for kind in PARTS)
        return forecasts, training, facts

    def read_parts(self, keys: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, Any]]]:
        """The forecasts of finished jobs below each other, their training curves likewise, and the facts of each."""
        facts = [unsealed(self.part(key, "done.json").read_bytes(), since="facts")["facts"] for key in keys]
        forecasts, training = (_below_each_other([self.part(key, kind) for key in keys]) for kind in PARTS)
        return forecasts, training, facts

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as parquet, inside the folder."""
        _write_parquet(self.path / name, table)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file, inside the folder."""
        write_atomic(self.path / name, text)

    def read_text(self, name: str) -> str:
        """A text file of the folder; raises RunError when it cannot be read or is not what the run wrote."""
        self.check(name)
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.path / name}: cannot be read ({_why(error)})") from None

    def read_work(self, name: str) -> dict[str, Any] | None:
        """What `write_work` wrote before; None where it did not get so far. Raises RunError where it was changed."""
        path = self.path / name
        if not path.exists():
            return None
        try:
            return unsealed(path.read_bytes(), since="")
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: damaged ({_why(error)}); remove {self.path} and run again") from None

    def write_work(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON object that this run reads again when it goes on after a kill, with its checksum."""
        write_atomic(self.path / name, sealed(content))

    def read_json(self, name: str, *, after: str) -> dict[str, Any]:
        """A JSON object of a run that is finished, which its file `after` says; raises RunError otherwise."""
        if not self.path.is_dir():
            raise RunError(f"{self.path}: no such folder; give the folder of a finished run")
        for wanted in (after, name):
            if not (self.path / wanted).exists():
                what = "the run is not finished or not ours" if wanted == after else "an older s2squant wrote this run"
                raise RunError(f"{self.path}: holds no {wanted}: {what}")
        try:
            text = self.read_text(name)
            value = unsealed(text, since="files") if name == MANIFEST else json.loads(text)
        except ValueError as error:
            raise RunError(f"{self.path / name}: damaged ({_why(error)}); run the backtest again") from None
        if not isinstance(value, dict):
            raise RunError(f"{self.path / name}: damaged (not a JSON object); run the backtest again")
        return value

    def read_table(self, name: str, *, models: Collection[str] | None = None) -> pd.DataFrame:
        """A table of the folder, of all models or of these; raises RunError when it cannot be read, or was changed."""
        self.check(name)
        chosen = None if models is None else [("model", "in", sorted(models))]
        try:
            return pd.read_parquet(self.path / name, filters=chosen)
        except (OSError, ValueError) as error:  # pyarrow's errors are both
            raise RunError(f"{self.path / name}: cannot be read ({_why(error)}); run the backtest again") from None

    def earlier(self, is_same: Callable[[str], bool]) -> list[Path]:
        """Finished runs beside this one below reports/<flow> whose experiment.json `is_same`, the newest first."""
        if self.path.parent.parent != REPORTS:
            return []
        beside = sorted((p for p in self.path.parent.iterdir() if p.name < self.path.name), reverse=True)
        return [p for p in beside if (p / MANIFEST).exists() and _is(p / "experiment.json", is_same)]

    def write_pages(self, pages: Iterable[tuple[str, bytes]]) -> None:
        """Write the report's files; refuses a path that leaves the folder."""
        root, names = self.path.resolve(), list[str]()
        for name, content in pages:
            target = (root / name).resolve()
            if target == root or not target.is_relative_to(root):
                raise ValueError(f"a page would be written outside the run's folder: {name}")
            write_atomic(target, content)
            names.append(target.relative_to(root).as_posix())
        if (self.path / MANIFEST).exists() and "files" in (manifest := self._manifest()):
            self._seal(manifest, names)  # a report written again: its pages are the run's now

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, with the checksum of every file, then drop the parts."""
        places = (p for p in sorted(self.path.rglob("*")) if p.is_file() and not p.is_symlink())
        names = (p.relative_to(self.path).as_posix() for p in places)
        self._seal(manifest, [n for n in names if n != MANIFEST and not n.startswith(("work/", "."))])
        shutil.rmtree(self.path / "work", ignore_errors=True)
        self.release()

    def _seal(self, manifest: Mapping[str, Any], names: Iterable[str]) -> None:
        """Write the manifest with its own checksum, and those of these files beside the ones it has."""
        self._sums = {**manifest.get("files", {}), **{name: sha256_of(self.path / name) for name in names}}
        write_atomic(self.path / MANIFEST, sealed({**manifest, "files": self._sums}, sort=False))

    def _manifest(self) -> dict[str, Any]:
        try:
            return unsealed((self.path / MANIFEST).read_bytes(), since="files")
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / MANIFEST}: damaged ({_why(error)}); run the backtest again") from None

    def check(self, name: str) -> None:
        """Raise RunError where a file of a finished run is not the one that its manifest names.

        Files that it does not name, and runs of a version that named none, are read as they are.
        """
        if not (self.path / MANIFEST).exists():
            return
        if self._sums is None:
            self._sums = dict(self._manifest().get("files", {}))
        path, known = self.path / name, self._sums.get(name)
        try:
            changed = known is not None and known != sha256_of(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({_why(error)}); run the backtest again") from None
        if changed:
            raise RunError(f"{path}: damaged (not the file that the run wrote); run the backtest again")


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole: float32 columns byte by byte across rows, which compresses, others with a dictionary."""
    split = [str(c) for c in table.columns if table[c].dtype == np.float32]
    others = [str(c) for c in table.columns if table[c].dtype != np.float32]
    settings: dict[str, Any] = {"compression": "zstd", "compression_level": 9, "row_group_size": 200_000}
    # Rows stand by model: groups let a reader of two models pass over most of the others.
    if split:
        settings |= {"use_dictionary": others, "column_encoding": dict.fromkeys(split, "BYTE_STREAM_SPLIT")}
    write_atomic(path, lambda place: table.to_parquet(place, index=False, **settings))


def _below_each_other(paths: Sequence[Path]) -> pd.DataFrame:
    """The rows of parquet files; many small frames would take pandas three times as long."""
    tables = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            tables.append(file.read())
    filled = [table for table in tables if table.num_rows] or tables[:1]
    return pa.concat_tables(filled, promote_options="permissive").to_pandas() if filled else pd.DataFrame()


def _is(path: Path, wanted: Callable[[str], bool]) -> bool:
    try:
        return wanted(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _why(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:160]
