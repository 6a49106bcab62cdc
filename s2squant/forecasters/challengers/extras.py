"""Libraries that are extras of the package: imported when they are asked for, their licence said once."""

from __future__ import annotations

import importlib
import multiprocessing
import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

from s2squant.errors import ConfigError

_said: set[str] = set()


def extra(module: str, name: str) -> ModuleType:
    """The library of an extra; raises ConfigError, with how to install it, where it is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise ConfigError(f"{name} is an extra that is not installed: pip install 's2squant[{name}]'") from None


def weights_folder(name: str, weights: str, *files: str) -> Path:
    """The folder of local weights; raises ConfigError where it lacks a file. Nothing is ever downloaded."""
    folder = Path(weights).expanduser()
    remedy = f"[forecasters.own.{name}] weights = the folder that holds {' and '.join(files)}"
    if not weights or not folder.is_dir():
        raise ConfigError(f"{name}: no folder of weights{f' {weights}' if weights else ''}; set {remedy}")
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise ConfigError(f"{name}: {folder} has no {missing[0]}; set {remedy}")
    if (folder / "adapter_config.json").exists():
        raise ConfigError(f"{name}: {folder} holds an adapter, whose base would be fetched; give the merged weights")
    return folder


def say_licence(distribution: str, weights: Path | None) -> None:
    """Say once, on standard error, under which licence a library and local weights are used."""
    about = metadata.metadata(distribution).json
    named = about.get("license_expression") or about.get("license")
    terms = (str(named).splitlines() or [""])[0] if named else _classified(list(about.get("classifier", ())))
    line = f"{distribution} {about['version']}: {terms or 'see its licence'}"
    if weights is not None:
        line += f"; weights in {weights}: {_of_weights(weights)}"
    if line not in _said and multiprocessing.parent_process() is None:
        _said.add(line)
        print(f"licence: {line}", file=sys.stderr)


def _classified(classifiers: list[str]) -> str:
    return next((line.rpartition("::")[2].strip() for line in classifiers if line.startswith("License ::")), "")


def _of_weights(folder: Path) -> str:
    """What a model card says of its licence, or where it may be read."""
    card = folder / "README.md"
    named = re.search(r"^license:\s*(\S+)", card.read_text(encoding="utf-8"), re.M) if card.is_file() else None
    if named:
        return named.group(1)
    texts = sorted(path.name for path in folder.glob("LICEN[CS]E*"))
    return f"see {texts[0]} there" if texts else "no licence beside them; ask where they came from"
