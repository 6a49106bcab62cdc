"""Plain tables of a page: a frame's columns, each with the heading people read and the way its values are written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from s2squant.report.formats import (
    MINUS,
    THIN,
    UNKNOWN,
    day,
    known,
    number,
    percent,
    price,
    probability,
    pvalue,
    skill,
    typeset,
)
from s2squant.report.names import market_name
from s2squant.report.styles import WORDS, label

MOST_ROWS = 200
"""Rows of a table on a page; the whole table is in the run's folder."""


@dataclass(frozen=True)
class Column:
    """One column: the frame's name for it, its heading, how values are written, and what it means.

    `form` is one of text, wide (a sentence), market, model, word, outcome, day, flag, skill, percent, percent1 (one
    decimal), probability, p, price, or a Python
    format such as ".3f"; "" lets numbers have four significant digits.
    """

    name: str
    label: str = ""
    form: str = ""
    hint: str = ""

    @property
    def heading(self) -> str:
        """Heading of the column."""
        return self.label or self.name.replace("_", " ").capitalize()


TICKER = Column("unique_id", "Ticker", "text")
MODEL = Column("model", "Model", "model")
BOUNDS = (Column("low", "Low", "skill"), Column("high", "High", "skill"))
P, N, N_EFF = Column("p", "p", "p"), Column("n", "n", ",d"), Column("n_eff", "n eff.", ",.0f")
COUNTS = (N, N_EFF)
DETECTABLE = Column("smallest_detectable", "Detectable", "percent")
REASON = Column("reason", "Why not tested", "wide")


@dataclass(frozen=True)
class Cell:
    """Text of a cell, and the number it sorts by where the text would not do."""

    text: str
    value: float | None = None
    word: str = ""
    """A verdict, shown as a badge."""
    best: bool = False
    look: str = ""
    """A CSS class of its own."""


@dataclass(frozen=True)
class Grid:
    """A table ready for the template; the first column names the row."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: tuple[bool, ...]
    left_out: int = 0
    """Rows that did not fit."""
    chosen: Collection[int] = ()
    """Rows to stress."""


def grid(
    id: str,
    caption: str,
    table: pd.DataFrame,
    columns: Sequence[Column],
    *,
    best: Mapping[str, str] = MappingProxyType({}),
    chosen: tuple[str, str] | None = None,
    most: int = MOST_ROWS,
) -> Grid | None:
    """A frame as a table; None without rows. Columns that the frame lacks, or that hold nothing, are left out.

    `best` maps a column to "max", "min" or "near:0.8"; `chosen` is a (column, value) whose rows are stressed.
    """
    if table.empty:
        return None
    there = set(table.columns)
    held = {c: values for c in columns if c.name in there and not all(map(_blank, values := table[c.name].tolist()))}
    if not held:
        return None
    winners = {name: _winner(table[name][:most], rule) for name, rule in best.items() if name in there}
    filled = [
        [cell(value, c.form, best=winners.get(c.name) == i) for i, value in enumerate(values[:most])]
        for c, values in held.items()
    ]
    names = () if chosen is None else table[chosen[0]].tolist()[:most]
    return Grid(
        id=id,
        caption=caption,
        columns=tuple(held),
        rows=tuple(zip(*filled, strict=True)),
        numeric=tuple(_is_numeric(c, table[c.name]) for c in held),
        left_out=max(len(table) - most, 0),
        chosen=[i for i, name in enumerate(names) if chosen is not None and str(name) == chosen[1]],
    )


def without_blanks(table: pd.DataFrame) -> pd.DataFrame:
    """The table with empty reasons as missing, so that a column of none is left out."""
    return table.assign(reason=table["reason"].where(table["reason"].astype(str) != "", None))


def cell(value: Any, form: str = "", *, best: bool = False) -> Cell:
    """One value as a page shows it."""
    if _blank(value):
        return Cell(UNKNOWN)
    if form == "model":
        return Cell(label(str(value)))
    if form == "word":
        text = str(value)
        return Cell(text, float([*WORDS, text].index(text)), word=text)
    if form == "outcome":
        return Cell(str(value), float(value != "failed"), look=f"o-{str(value).replace(' ', '-')}")
    if form == "flag":
        return Cell("yes" if value else "no")
    if form == "day" or isinstance(value, pd.Timestamp):
        return Cell(day(value))
    if form == "wide":
        return Cell(typeset(str(value)), look="wide")
    if form == "market":
        return Cell(market_name(str(value)))
    if form == "text" or isinstance(value, str | bool):
        return Cell(UNKNOWN if value == "" else str(value))
    if not known(value):
        return Cell("∞" if value == float("inf") else UNKNOWN if isinstance(value, float) else str(value))
    return Cell(_number(float(value), form), float(f"{value:.6g}"), best=best)


def _blank(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _number(value: float, form: str) -> str:
    match form:
        case "skill":
            return skill(value)
        case "percent":
            return percent(value)
        case "percent1":
            return percent(value, 1)
        case "probability":
            return probability(value)
        case "p":
            return pvalue(value)
        case "price":
            return price(value)
        case "":
            return (number(value, 0) if value == int(value) else f"{value:.4g}").replace("-", MINUS)
        case "d" | ",d":
            return number(value, 0)
        case _:
            return f"{value:{form}}".replace("-", MINUS).replace("%", f"{THIN}%")


def _is_numeric(column: Column, values: pd.Series[Any]) -> bool:
    if column.form in ("text", "wide", "market", "model", "word", "outcome", "day", "flag"):
        return False
    return bool(pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values))


def _winner(values: pd.Series[Any], rule: str) -> int | None:
    figures = values.to_numpy(dtype=float, na_value=np.nan)
    if not np.isfinite(figures).any():
        return None
    goal, _, near = rule.partition(":")
    score = {"max": -figures, "min": figures}.get(goal)
    score = np.abs(figures - float(near)) if score is None else score
    return int(np.nanargmin(np.where(np.isfinite(score), score, np.nan)))
