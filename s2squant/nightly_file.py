"""A nightly's settings from a .toml or .json file; what is left out has a nightly's own defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from s2squant.config import override, read_experiment
from s2squant.errors import ConfigError
from s2squant.nightly_specs import Nightly


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
        raise ConfigError(f"{where}: {_one_line(error)}") from None


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), _known(first["loc"][:-1]), n=1, cutoff=0.4)
        return f"unknown key '{place}'" + (f"; did you mean '{near[0]}'?" if near else "")
    more = error.error_count() - 1
    told = first["msg"].removeprefix("Value error, ")
    return f"{place + ': ' if place else ''}{told}" + (f"; and {more} more" if more else "")


def _known(location: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = Nightly
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return list(model.model_fields)
