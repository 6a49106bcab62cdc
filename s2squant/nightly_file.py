"""A nightly's settings from a .toml or .json file; what is left out has a nightly's own defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from s2squant.config import in_one_line, override, read_experiment
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
        raise ConfigError(f"{where}: {in_one_line(error, Nightly)}") from None
