"""Base class of all settings, and how values written by hand are read before they are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

EARLIEST, LATEST = date(1700, 1, 1), date(2199, 12, 31)
"""Dates that a setting may have: beyond them some calendar or clock knows none."""
LONGEST = 4_000
"""Characters of any text among the settings."""
LONGEST_TICKER = 80

Day = TypeVar("Day", bound=date)


def listed(given: Any) -> Any:
    """A bare text as the list it stands for: A,B and "all"."""
    return tuple(part for item in given.split(",") if (part := item.strip())) if isinstance(given, str) else given


def written_out(given: Any) -> Any:
    """A date as it is; raises ValueError for a number, which would be read as seconds since 1970."""
    if isinstance(given, (int, float)) or (isinstance(given, str) and not re.match(r"\s*\d{4}-\d\d-\d\d", given)):
        raise ValueError("write it as 2010-01-31")
    return given


def dated(day: Day | None) -> Day | None:
    """A date that calendars know; raises ValueError for one beyond them."""
    if day is not None and not EARLIEST <= date(day.year, day.month, day.day) <= LATEST:
        raise ValueError(f"dates are from {EARLIEST} to {LATEST}")
    return day


def _named(ticker: str) -> str:
    if not ticker.strip():
        raise ValueError("a ticker has a name; take the empty one out")
    if len(ticker) > LONGEST_TICKER:
        raise ValueError(f"a ticker has at most {LONGEST_TICKER} characters, not {len(ticker)}")
    return ticker


Ticker = Annotated[str, AfterValidator(_named)]


def whole_tickers(given: Any, info: ValidationInfo) -> Any:
    """Values by ticker; raises ValueError where a ticker's dot was taken for a table's."""
    parted = [(k, v) for k, v in given.items() if isinstance(v, Mapping)] if isinstance(given, Mapping) else []
    for head, rest in parted:
        tail, value = next(iter(rest.items()), ("", "..."))
        written = f'universe.{info.field_name}={{"{head}.{tail}" = "{value}"}}'
        raise ValueError(f"a ticker with a dot is quoted, as in {written}")
    return given


class Part(BaseModel):
    """A frozen part of an experiment; unknown keys are an error, types are strict, numbers finite, text readable."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _written(cls, given: Any) -> Any:
        """Lists as the tuples they become, and no text that a file cannot hold or a page cannot show."""
        match given:
            case str():
                return _readable(given)
            case list() | tuple():
                return tuple(_readable(one) if isinstance(one, str) else one for one in given)
            case Mapping():
                return {
                    _readable(key) if isinstance(key, str) else key: _readable(one) if isinstance(one, str) else one
                    for key, one in given.items()
                }
        return given


def _readable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the text holds a character that cannot be printed; take it out")
    if len(text) > LONGEST:
        raise ValueError(f"the text has {len(text)} characters, {LONGEST} are the most")
    return text
