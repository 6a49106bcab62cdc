"""Frames of other libraries as pandas, and back: polars, pyarrow, modin, cuDF, whatever narwhals reads eagerly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from s2squant.errors import RunError, SourceError


@dataclass(frozen=True)
class Library:
    """Whose frames a caller gives, and what its dates are: a day, or the unit of a moment."""

    name: Any = "pandas"
    dates: str = ""

    def frame(self, table: pd.DataFrame) -> Any:
        """The table as a frame of the library; raises RunError where it is not installed."""
        if self.name == "pandas":
            return table
        import narwhals.stable.v2 as nw

        try:
            frame = nw.from_arrow(table.reset_index(drop=True), backend=self.name)
        except ImportError:
            raise RunError(f"it was fitted on frames of {self.name}, which is not installed; install it") from None
        kinds = {name: self._kind(table[name].dtype, kind) for name, kind in frame.collect_schema().items()}
        return frame.with_columns(*(nw.col(name).cast(kind) for name, kind in kinds.items() if kind)).to_native()

    def _kind(self, given: Any, kind: Any) -> Any:
        """What a column has to become to be as the caller's; None where it is."""
        import narwhals.stable.v2 as nw

        if isinstance(given, pd.CategoricalDtype) and given.ordered:  # polars' Enum alone is ordered
            return nw.Enum(given.categories.tolist()) if self.name == "polars" else None
        return _date(self.dates, kind.time_zone) if isinstance(kind, nw.Datetime) else None


def _date(dates: str, zone: str | None) -> Any:
    import narwhals.stable.v2 as nw

    match dates:
        case "day":
            return nw.Date()
        case "ns" | "us" | "ms" | "s":
            return nw.Datetime(dates, zone)
    return None


def as_pandas(frame: Any, what: str) -> tuple[pd.DataFrame, Library]:
    """A frame as pandas, and whose it was; raises SourceError for what is none, or is not computed yet."""
    if isinstance(frame, pd.DataFrame):
        _refuse_half_characters(frame)
        return frame, Library()
    import narwhals.stable.v2 as nw

    try:
        known = nw.from_native(frame, eager_only=True)
    except TypeError:
        given = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}".removeprefix("builtins ")
        remedy = "use .collect()" if hasattr(frame, "collect") else "make it a frame of pandas or polars"
        raise SourceError(f"{what} is a table with named columns, not a {given}; {remedy}") from None
    kind = known.collect_schema().get("ds")
    dates = "day" if isinstance(kind, nw.Date) else kind.time_unit if isinstance(kind, nw.Datetime) else ""
    return known.to_pandas(), Library(known.implementation.value, dates)


def _refuse_half_characters(frame: pd.DataFrame) -> None:
    """Raise SourceError for text that no file can hold, where pandas would fail on it."""
    for name, kind, place in zip(frame.columns, frame.dtypes, range(len(frame.columns)), strict=True):
        if not pd.api.types.is_object_dtype(kind):
            continue
        try:
            "".join(cell for cell in frame.iloc[:, place] if isinstance(cell, str)).encode()
        except UnicodeEncodeError as error:
            cell = f"{error.object[max(error.start - 20, 0) : error.end]!a}"
            raise SourceError(f"{name} holds half a character ({cell}), which no file can; rename it") from None
