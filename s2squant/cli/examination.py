"""What `s2squant doctor` looks at: each thing found, how it is, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from s2squant import __version__
from s2squant.errors import CallerError, S2squantError
from s2squant.nets.processor import BF16_UNITS, processor_units

PACKAGES = ("numpy", "pandas", "torch", "scikit-learn", "prefect", "yfinance", "exchange_calendars")
FOLDERS = ("data", "reports")
LEAST_FREE = 2e9
"""Bytes of a disk that runs and prices may take."""
YAHOO = "https://query2.finance.yahoo.com/"
PATIENCE = 5.0
"""Seconds to wait for an answer."""


@dataclass(frozen=True)
class Examined:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "optional", "wrong"]
    """optional: missing, and only some commands need it."""
    found: str
    remedy: str = ""


def examine(*, offline: bool) -> list[Examined]:
    """Everything in order; `offline` asks nothing over a network."""
    found = [_versions(), _processor(), *(_folder(Path(name)) for name in FOLDERS), _disk(), _calendars(), _weights()]
    found.append(_ledger())
    return found if offline else [*found, _yahoo(), _server()]


def _versions() -> Examined:
    versions, missing = [], []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    text = f"s2squant {__version__}, Python {platform.python_version()}, {', '.join(versions)}"
    if missing:
        return Examined("versions", "wrong", text, f"{', '.join(missing)} missing: install s2squant again with pip")
    return Examined("versions", "ok", text)


def _processor() -> Examined:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    units = processor_units()
    taken = "bf16 for networks that gain" if set(BF16_UNITS) & set(units) else "float32"
    unit = f", {units[0]}" if units else ""
    text = f"{platform.machine()}, {cores} cores for use{unit}; training.precision = auto takes {taken}"
    return Examined("processor", "ok", text)


def _folder(path: Path) -> Examined:
    """Whether a folder can be written to, or made; nothing is written."""
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Examined(f"folder {path}", "ok", "writable" if there == path.absolute() else "can be made")
    remedy = f"make {there} writable, or work in another folder" if there.is_dir() else f"{there} is a file: move it"
    return Examined(f"folder {path}", "wrong", f"{there} cannot be written to", remedy)


def _disk() -> Examined:
    free = shutil.disk_usage(Path.cwd()).free
    if free < LEAST_FREE:
        return Examined("disk", "wrong", f"{free / 1e9:.1f} GB free", "make room: s2squant maintain --dry-run")
    return Examined("disk", "ok", f"{free / 1e9:.0f} GB free")


def _calendars() -> Examined:
    from s2squant.prices.calendars.exchanges import exchange_sessions

    known = exchange_sessions("XNYS")
    if len(known) == 0 or known[-1] <= np.datetime64(datetime.now(UTC).date(), "D"):
        return Examined("calendars", "wrong", "no session to come is known", "pip install -U exchange_calendars")
    return Examined("calendars", "ok", f"sessions of XNYS known to {known[-1]}")


def _weights() -> Examined:
    from s2squant.forecasters.pretrained import CLASSES, load

    try:
        spans = [f"{name} to {load(name).about.last}" for name in CLASSES]
    except S2squantError as error:
        return Examined("pretrained weights", "wrong", str(error), "install s2squant again with pip")
    return Examined("pretrained weights", "ok", ", ".join(spans))


def _ledger() -> Examined:
    from s2squant.nightly.ledger.ledger import existing_ledger

    try:
        ledger = existing_ledger()
        count = len(ledger.nightlies()) if ledger is not None else 0
    except S2squantError as error:
        return Examined("ledger", "wrong", str(error), "S2SQUANT_LEDGER names it; left out, it is data/ledger.sqlite")
    if ledger is None:
        return Examined("ledger", "optional", "none yet", "the first s2squant forecast makes it")
    return Examined("ledger", "ok", f"{ledger.name}, {count} nightlies")


def _yahoo() -> Examined:
    import httpx

    try:
        httpx.get(YAHOO, timeout=PATIENCE)
    except (httpx.HTTPError, OSError) as error:
        remedy = "look at the network and HTTPS_PROXY; prices from csv:DIR, store:DIR and sample need none"
        return Examined("Yahoo", "optional", f"no answer ({type(error).__name__})", remedy)
    return Examined("Yahoo", "ok", "answers")


def _server() -> Examined:
    from s2squant.nightly.operation.server import PrefectApi, address

    place, _ = address()
    try:
        with PrefectApi(place) as api:
            healthy = api.healthy()
    except CallerError:
        healthy = False
    if healthy:
        return Examined("Prefect server", "ok", place)
    return Examined("Prefect server", "optional", f"none at {place}", "s2squant up starts one, for nightly runs")
