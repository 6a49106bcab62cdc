"""Settings read from .toml and .json, with `--set` changes on top: the only reader of such files."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from s2squant.config.experiment import Experiment
from s2squant.config.nightly import Nightly
from s2squant.errors import ConfigError, one_line

Form = Literal["toml", "json"]
Settings = TypeVar("Settings", bound=BaseModel)

FORMS: dict[str, Form] = {".toml": "toml", ".json": "json"}
REMEDY = "name a .toml or .json file, or leave it out and the defaults hold"


def build_experiment(path: Path | None, settings: Sequence[str] = ()) -> Experiment:
    """The experiment of a file (the defaults without one) under `dotted.key=value` settings; raises ConfigError."""
    return make_experiment(override(read_settings(path), settings), where=str(path or "experiment"))


def read_nightly(path: Path | None, settings: Sequence[str] = ()) -> Nightly:
    """The nightly of a file (the defaults without one) under `dotted.key=value` settings; raises ConfigError."""
    return validated(Nightly, override(read_settings(path), settings), where=str(path or "nightly"))


QUOTED = r"""(?:[^"']|"[^"]*"|'[^']*')*"""
"""Text whose quotes are closed."""
RETIRED = ("steps", "lr", "recent")
"""Keys of `retraining` that nightlies had when they adapted their weights between fits."""
RENAMED = {"conformal": "recalibration"}
"""Keys that have another name and meaning now."""


def recorded_nightly(text: str, *, where: str) -> Nightly:
    """The nightly of a past run, from its settings in the ledger; raises ConfigError where they cannot be read.

    Retired keys are passed over: they decided weights, which are stored, and a forecast comes from those alone. A night
    recalibrated by the conformal rule of before is read as one without recalibration: that row cannot be had again.
    """
    try:
        data = json.loads(text)
        data["retraining"] = {k: v for k, v in data.get("retraining", {}).items() if k not in RETIRED}
        if data.get("experiment", {}).pop("conformal", None) is not None:
            data["experiment"]["recalibration"] = {"enabled": False}
    except (ValueError, TypeError, AttributeError):
        raise ConfigError(f"{where}: damaged; they are no JSON object of settings") from None
    return validated(Nightly, data, where=where)


def make_experiment(data: Mapping[str, Any], *, where: str = "experiment") -> Experiment:
    """Validate a dictionary into an Experiment.

    Parameters
    ----------
    data : mapping
        Settings as in an experiment's file; what is left out has its default.
    where : str
        What an error calls them.

    Returns
    -------
    Experiment
        The frozen settings of a backtest.

    Raises
    ------
    ConfigError
        A key is unknown or a value is out of range: one line, with the nearest key.

    Examples
    --------
    >>> make_experiment({"walk": {"horizon": 5}}).walk.horizon
    5
    >>> make_experiment({"walk": {"horizont": 5}})
    Traceback (most recent call last):
    s2squant.errors.ConfigError: experiment: unknown key 'walk.horizont'; did you mean 'horizon'?
    """
    return validated(Experiment, data, where=where)


def validated(kind: type[Settings], data: Mapping[str, Any], *, where: str) -> Settings:
    """Validate a dictionary into settings of a kind; raises ConfigError with one line and the nearest key."""
    try:
        return kind.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(one_line(f"{where}: {_first_mistake(error, kind)}")) from None


def read_settings(path: Path | None) -> dict[str, Any]:
    """The table in a .toml or .json file, an empty one without a file; raises ConfigError: what, where, the remedy.

    A byte-order mark of UTF-8 is passed over. An empty file is refused: whoever names one expects it to say something.
    """
    if path is None:
        return {}
    name, form = one_line(str(path)), FORMS.get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            if form is None:
                raise ConfigError(f"{name} is no .toml or .json file; {REMEDY}")
            text = file.read().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{name} does not exist; {REMEDY}") from None
    except IsADirectoryError:
        raise ConfigError(f"{name} is a folder; name the .toml or .json file in it") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name} cannot be read as text; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error.strerror}); see to its permissions") from None
    if "\0" in text:  # UTF-16 without a mark, or no text at all
        raise ConfigError(f"{name} cannot be read as text; save it as UTF-8")
    if not text.strip():
        raise ConfigError(f"{name} is empty; write settings into it, or leave it out and the defaults hold")
    return parse_settings(text, form=form, where=name)


def parse_settings(text: str, *, form: Form, where: str) -> dict[str, Any]:
    """The table of settings in a text; raises ConfigError naming `where`."""
    try:
        data = tomllib.loads(text) if form == "toml" else json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: brackets a thousand deep
        raise ConfigError(one_line(f"{where}: not valid {form.upper()} ({error})")) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: settings are a table of keys and values, not a {type(data).__name__}")
    return data


def override(data: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Apply `dotted.key=value` settings to a dictionary; values are TOML or JSON, bare words are text."""
    result: dict[str, Any] = json.loads(json.dumps(dict(data), default=str))
    for setting in settings:
        written, separator, value = setting.partition("=")
        key = _parts(written)
        if not separator or not all(key):
            raise ConfigError(f"--set {setting}: write it as dotted.key=value, for example walk.horizon=10")
        *parents, last = key
        table = result
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {setting}: {parent} is a value, not a table")
        try:
            table[last] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            table[last] = _json_or_text(value.strip())
    return result


def _json_or_text(value: str) -> Any:
    """A table or list as JSON writes it, {"ACME": "XTKS"}; anything else is text."""
    try:
        return json.loads(value) if value.startswith(("{", "[")) else value
    except json.JSONDecodeError:
        return value


def _parts(key: str) -> list[str]:
    """The parts of a dotted key; one with dots of its own is quoted: forecasters.own."package.module:make".window."""
    return [part.strip().strip("\"'") for part in re.split(rf"\.(?={QUOTED}$)", key)]


def field_of(kind: type[BaseModel], key: str) -> FieldInfo:
    """The field that a dotted key names, which is no table of its own; raises ConfigError with the nearest key."""
    root, parts = kind, key.split(".")
    for depth, part in enumerate(parts, start=1):
        path = ".".join(parts[:depth])
        field = kind.model_fields.get(part)
        if field is None:
            raise ConfigError(_unknown(kind, path, root))
        inner = _table(field)
        if depth == len(parts) and inner is None:
            return field
        if depth == len(parts):
            raise ConfigError(f"{path} is a table of settings; name one of them")
        if inner is None:
            raise ConfigError(f"{path} is a value, not a table")
        kind = inner
    raise AssertionError("a key has a last part")


def _first_mistake(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first thing wrong with settings, with the nearest key where one is unknown."""
    every = error.errors()
    first = next((one for one in every if one["type"] == "extra_forbidden"), every[0])
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        root = kind
        for part in first["loc"][:-1]:
            field = kind.model_fields.get(str(part))
            kind = (field and _table(field)) or kind
        return _unknown(kind, path, root)
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], (dict, BaseModel)) else f" (given {repr(first['input'])[:80]})"
    known = re.findall(r"'([^']*)'", first["ctx"]["expected"]) if first["type"] == "literal_error" else []
    near = _near(str(first["input"]), known)
    more = error.error_count() - 1
    hints = (f"; {near}" if near else "") + (f"; and {more} more" if more else "")
    return f"{path + ': ' if path else ''}{message}{given}{hints}"


def _unknown(kind: type[BaseModel], path: str, root: type[BaseModel]) -> str:
    """The key that `kind` lacks, and what was meant: a near one beside it, or the same name elsewhere in `root`."""
    known = list(kind.model_fields)
    name = path.rpartition(".")[2]
    if (renamed := RENAMED.get(name)) in known:
        hint = f"did you mean '{renamed}'?"
    elif not difflib.get_close_matches(name, known, n=1, cutoff=0.7) and (elsewhere := list(_places(root, name))):
        hint = f"did you mean {' or '.join(map(repr, difflib.get_close_matches(path, elsewhere, cutoff=0)))}?"
    else:
        hint = _near(name, known)
    return f"unknown key '{path}'; {hint or 'known keys here: ' + ', '.join(known)}"


def _places(kind: type[BaseModel], name: str, above: str = "") -> Iterator[str]:
    """The dotted keys of the settings with this name, in any table."""
    for key, field in kind.model_fields.items():
        if key == name:
            yield above + key
        if (inner := _table(field)) and get_origin(field.annotation) is not tuple:
            yield from _places(inner, name, f"{above}{key}.")


def _near(name: str, known: Sequence[str]) -> str:
    """The nearest of the known names as a question; empty where none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean '{near[0]}'?" if near else ""


def _table(field: FieldInfo) -> type[BaseModel] | None:
    """The settings that a field holds, where it is a table of them or a list of such tables."""
    inner = get_args(field.annotation)[0] if get_origin(field.annotation) is tuple else field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
