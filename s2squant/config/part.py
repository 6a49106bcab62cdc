"""Base class of all settings, and how values written by hand are read before they are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo


def listed(given: Any) -> Any:
    """A bare text as the list it stands for: A,B and "all"."""
    return [part for item in given.split(",") if (part := item.strip())] if isinstance(given, str) else given


def written_out(given: Any) -> Any:
    """A date as it is; raises ValueError for a number, which would be read as seconds since 1970."""
    if isinstance(given, (int, float)) or (isinstance(given, str) and not re.match(r"\s*\d{4}-\d\d-\d\d", given)):
        raise ValueError("write it as 2010-01-31")
    return given


def whole_tickers(given: Any, info: ValidationInfo) -> Any:
    """Values by ticker; raises ValueError where a ticker's dot was taken for a table's."""
    parted = [(k, v) for k, v in given.items() if isinstance(v, Mapping)] if isinstance(given, Mapping) else []
    for head, rest in parted:
        tail, value = next(iter(rest.items()), ("", "..."))
        written = f'universe.{info.field_name}={{"{head}.{tail}" = "{value}"}}'
        raise ValueError(f"a ticker with a dot is quoted, as in {written}")
    return given


class Part(BaseModel):
    """A frozen part of an experiment; unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
