"""Settings read from .toml and .json, with `--set` changes on top: the only reader of such files."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from s2squant.config.experiment import Experiment
from s2squant.config.nightly import Nightly
from s2squant.config.tuning import Tuning
from s2squant.errors import ConfigError


def read_experiment(text: str, *, form: Literal["toml", "json"], where: str) -> dict[str, Any]:
    """Parse an experiment file's text to a plain dictionary; raises ConfigError naming `where`."""
    try:
        data = tomllib.loads(text) if form == "toml" else json.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{where}: not valid {form.upper()} ({error})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: an experiment is a table of settings, not {type(data).__name__}")
    return data


def override(data: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Apply `dotted.key=value` settings to a dictionary; values are TOML, bare words are text."""
    result: dict[str, Any] = json.loads(json.dumps(dict(data), default=str))
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not all(part.strip() for part in key.split(".")):
            raise ConfigError(f"--set {setting}: write it as dotted.key=value, for example walk.horizon=10")
        *parents, last = (part.strip() for part in key.split("."))
        table = result
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {setting}: {parent} is a value, not a table")
        try:
            table[last] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            table[last] = value.strip()
    return result


def make_experiment(data: Mapping[str, Any], *, where: str = "experiment") -> Experiment:
    """Validate a dictionary into an Experiment; raises ConfigError with one line and the nearest key."""
    try:
        return Experiment.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(f"{where}: {in_one_line(error, Experiment)}") from None


def in_one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing wrong with settings of a model, with the nearest key where one is unknown."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys here: {', '.join(known)}"
        return f"unknown key '{path}'; {hint}"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], (dict, BaseModel)) else f" (given {first['input']!r})"
    more = error.error_count() - 1
    return f"{path + ': ' if path else ''}{message}{given}" + (f"; and {more} more" if more else "")


def _fields_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return list(model.model_fields)


def read_nightly(path: Path | None, settings: Sequence[str] = ()) -> Nightly:
    """The nightly of a file (the defaults without one) under `dotted.key=value` settings; raises ConfigError."""
    data: dict[str, Any] = {}
    if path is not None:
        form = path.suffix.lower()
        if form not in (".toml", ".json"):
            raise ConfigError(f"{path}: a nightly is a .toml or .json file")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read ({getattr(error, 'strerror', 'not text')})") from None
        data = read_experiment(text, form="toml" if form == ".toml" else "json", where=str(path))
    return make_nightly(override(data, settings), where=str(path or "nightly"))


def make_nightly(data: Mapping[str, Any], *, where: str = "nightly") -> Nightly:
    """Validate a dictionary into a Nightly; raises ConfigError with one line and the nearest key."""
    try:
        return Nightly.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(f"{where}: {in_one_line(error, Nightly)}") from None


def build_experiment(path: Path | None, settings: Sequence[str]) -> Experiment:
    """The experiment of a .toml or .json file (the defaults without one) under `dotted.key=value` settings."""
    where = "experiment" if path is None else str(path)
    data = {} if path is None else _read(path)
    return make_experiment(override(data, settings), where=where)


def _read(path: Path) -> dict[str, Any]:
    forms: dict[str, Literal["toml", "json"]] = {".toml": "toml", ".json": "json"}
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the file, for example {path / 'experiment.json'}")
    if path.suffix.lower() not in forms:
        raise ConfigError(f"{path}: an experiment is a .toml or .json file; without one the defaults run")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; `s2squant config > experiment.json` writes one to start from"
        ) from None
    except PermissionError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); see to its permissions") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}") from None
    return read_experiment(text, form=forms[path.suffix.lower()], where=str(path))


def make_tuning(data: Mapping[str, Any], *, where: str = "tuning") -> Tuning:
    """Validate a dictionary into a Tuning; raises ConfigError with one line."""
    try:
        return Tuning.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(path, list(Tuning.model_fields), n=1, cutoff=0.4)
            raise ConfigError(
                f"{where}: unknown key '{path}'" + (f"; did you mean '{near[0]}'?" if near else "")
            ) from None
        raise ConfigError(f"{where}: {told if path == 'space' else f'{path}: {told}'}") from None
