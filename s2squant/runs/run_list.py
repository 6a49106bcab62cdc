"""The runs below the folder of reports: listed, found by name, and the list's page kept up to date."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from s2squant.errors import RunError
from s2squant.evaluation.run_entry import RunEntry
from s2squant.files import unsealed, write_atomic
from s2squant.runs.folder import REPORTS, RunFolder

MOST = 200
"""Runs of one flow that are listed, the newest."""
LATEST = "latest"
"""A link to the folder of the run that finished last."""
RECORDS = ("manifest.json", "result.json")
"""What a finished run holds: a reproduced experiment has the second."""


def list_runs(reports: Path = REPORTS) -> list[RunEntry]:
    """Every run below reports/<flow>, the newest first; one that cannot be read is left out."""
    entries: list[RunEntry] = []
    for flow in _folders(reports):
        newest = sorted(_folders(flow), key=_touched, reverse=True)[:MOST]
        entries += [entry for path in newest if (entry := _entry(flow.name, path)) is not None]
    return sorted(entries, key=lambda entry: entry.moment, reverse=True)


def find_run(wanted: str, reports: Path = REPORTS, *, holding: str = "index.html") -> Path:
    """The folder of a run: "latest", a folder, a run's name, or how only one run's name begins.

    The latest is the newest run that holds a file of the name `holding`. Raises RunError where there is none, or more
    than one.
    """
    if wanted == LATEST:
        finished = [entry for entry in list_runs(reports) if (reports / entry.place / holding).is_file()]
        if not finished:
            raise RunError(f"{reports}: no run has finished here; `s2squant backtest` makes one")
        return reports / finished[0].place
    if Path(wanted).is_dir():
        return Path(wanted)
    entries = list_runs(reports)
    found = [e for e in entries if wanted in (e.run_id, e.place)] or [e for e in entries if e.run_id.startswith(wanted)]
    if len(found) == 1:
        return reports / found[0].place
    if found:
        raise RunError(
            f"{wanted}: {len(found)} runs begin so, as {found[0].place} and {found[1].place}; write more of it"
        )
    raise RunError(f"{wanted}: no such run below {reports}/; `s2squant runs` lists them")


def write_list(folder: RunFolder, page: Callable[[Sequence[RunEntry], str], bytes], *, latest: bool = True) -> None:
    """Write the list of runs anew and, if it is the `latest`, point reports/latest at the run.

    `page` is given the runs and the way to the folder of reports. The list stands there and in the flow's folder;
    nothing is written for a run that lies elsewhere. A list that cannot be written loses no finished run.
    """
    if not folder.runs_page:
        return
    reports = folder.path.resolve().parents[1]
    with suppress(OSError):
        if latest:
            _point(reports / LATEST, folder.path.resolve().relative_to(reports))
        entries = list_runs(reports)
        write_atomic(reports / "index.html", page(entries, ""))
        write_atomic(folder.path.resolve().parent / "index.html", page(entries, "../"))


def _point(link: Path, target: Path) -> None:
    """Make or move a link in one step; a folder or a file of that name is left alone."""
    if link.exists() and not link.is_symlink():
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target, target_is_directory=True)
    fresh.replace(link)


def _folders(path: Path) -> list[Path]:
    try:
        inside = list(path.iterdir())
    except OSError:
        return []
    return [one for one in inside if one.is_dir() and not one.is_symlink() and not one.name.startswith(".")]


def _touched(path: Path) -> float:
    for name in (*RECORDS, "work"):
        with suppress(OSError):
            return (path / name).stat().st_mtime
    return 0.0


def _entry(flow: str, path: Path) -> RunEntry | None:
    moment = datetime.fromtimestamp(_touched(path), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    place, folder = f"{flow}/{path.name}", RunFolder(path)
    experiment = _object(path / "experiment.json")
    record = next((name for name in RECORDS if (path / name).is_file()), None)
    if record is None:
        begun = folder.begun_with()
        if begun is None:
            return None
        with folder.idle() as free:
            status = "stopped" if free else "under way"
        asked = begun.get("experiment")
        name = str(asked.get("name", "")) if isinstance(asked, dict) else ""
        return RunEntry(flow, path.name, place, moment, status, name, tuple(map(str, begun.get("prices", ()))))
    facts = _object(path / record)
    headline = facts.get("headline")
    headline = headline if isinstance(headline, Mapping) else {}
    tickers = facts.get("tickers") or facts.get("prices") or ()
    return RunEntry(
        flow=flow,
        run_id=path.name,
        place=place,
        moment=moment,
        status=str(facts.get("status", "done")),
        name=str(experiment.get("name") or facts.get("experiment") or flow),
        tickers=tuple(map(str, tickers)) if isinstance(tickers, Mapping | list) else (),
        word=str(facts.get("word", "")),
        skill=_number(headline.get("skill")),
        low=_number(headline.get("low")),
        high=_number(headline.get("high")),
        sentence=str(facts.get("sentence", "")),
        has_page=(path / "index.html").is_file(),
    )


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where it cannot be read, nothing but a status where it was changed."""
    try:
        return unsealed(path.read_bytes(), since="files")
    except OSError:
        return {}
    except ValueError:
        return {"status": "damaged"}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
