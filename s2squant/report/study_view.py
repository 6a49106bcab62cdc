"""A study arranged for reading: models in order, tickers with their addresses, tables split by ticker once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from s2squant.evaluation.results import Study, TickerReport
from s2squant.report.formats import known
from s2squant.report.slugs import slugs

Row = dict[str, Any]

POOL = "all"
"""The name under which tables hold all tickers together."""

NEWEST = "newest"
"""The newest forecast of either model, beside the tables that are split by ticker."""
SPLIT: tuple[str, ...] = ("by_ticker", "by_ticker_step", "over_time", "equity", "training", "forecasts", "performance")
SPLIT += ("calibration_tests", "exceedances", "sharpness", "misses", "verdicts")
SPLIT += ("months", "drawdowns", "rolling_sharpe")
KEYS: Mapping[str, str] = {"misses": "scope", "verdicts": "pool"}
"""The column by which a table is split where it is not unique_id."""


@dataclass(frozen=True)
class Contents:
    """A study with its models in order and its tables by ticker."""

    study: Study
    reference: str
    recommended: str
    models: tuple[str, ...]
    """The reference, then the others by pooled skill."""
    kinds: Mapping[str, str]
    finished: tuple[TickerReport, ...]
    """Tickers with status ok, which have a page."""
    slugs: Mapping[str, str]
    split: Mapping[str, Mapping[str, pd.DataFrame]]
    nominal: tuple[str, ...] = ("50", "80", "95")
    _read: dict[str, tuple[str, list[Row]]] = field(default_factory=dict, repr=False, compare=False)
    """By table, the ticker whose rows were read last, and these rows: a page asks for them again and again."""

    def of(self, table: str, ticker: str) -> pd.DataFrame:
        """The rows of one ticker (or of the pool) in one table; without columns where there are none."""
        part = self.split[table].get(ticker)
        return pd.DataFrame() if part is None else part

    def rows(self, table: str, ticker: str, equals: Mapping[str, str] = MappingProxyType({})) -> list[Row]:
        """The same as dictionaries, those whose columns equal the given text."""
        last = self._read.get(table)
        if last is None or last[0] != ticker:
            last = self._read[table] = (ticker, rows(self.of(table, ticker)))
        return [row for row in last[1] if all(str(row[column]) == value for column, value in equals.items())]

    @cached_property
    def tickers(self) -> frozenset[str]:
        """Names of all tickers of the study."""
        return frozenset(report.ticker for report in self.study.tickers)

    @cached_property
    def pooled_training(self) -> Mapping[str, pd.DataFrame]:
        """Training curves of pooled networks, by market."""
        table = self.study.training
        return by(table[~table["unique_id"].isin(self.tickers)], "market") if len(table) else {}

    def first(self, kind: str) -> str | None:
        """The best model of a kind by pooled skill."""
        return next((m for m in self.models if self.kinds.get(m) == kind), None)

    @cached_property
    def best_baseline(self) -> str | None:
        """The best baseline, which the verdict tests the recommended model against; None where it is the reference."""
        ahead = {str(r["model"]) for r in rows(self.study.leaderboard) if known(r["skill"]) and r["skill"] > 0}
        baselines = (m for m in self.models if self.kinds.get(m) == "baseline" and m != self.recommended)
        return next((m for m in baselines if m in ahead), None)

    def untested(self, ticker: str) -> str:
        """Reason why a ticker's skill was not tested, as its verdict states it; empty where it was."""
        asked = self.rows("verdicts", ticker, {"benchmark": self.reference, "challenger": self.recommended})
        test = next((str(r["test"]) for r in asked), "")
        return test if test.startswith("not tested") else ""

    @cached_property
    def featured(self) -> tuple[str, ...]:
        """The models worth a line where all would hide each other: recommended, a baseline, anchor, networks.

        The baseline is the one of the verdict, or else the best beside the reference.
        """
        chosen = [self.recommended, self.best_baseline or self.first("baseline"), self.first("anchor")]
        chosen += [m for m in self.models if self.kinds.get(m) in ("network", "challenger", "own")]
        return tuple(dict.fromkeys(m for m in chosen if m and m != self.reference))

    @property
    def headline(self) -> Row | None:
        """The pooled verdict of the recommended model against the reference."""
        asked = {"pool": POOL, "step": "all", "benchmark": self.reference, "challenger": self.recommended}
        pooled = rows(self.study.verdicts, asked)
        return next((r for r in pooled if str(r.get("metric", "")).startswith("crps")), pooled[0] if pooled else None)


def arrange(study: Study) -> Contents:
    """Order the models, name the pages and split the tables of a study."""
    chosen = study.experiment.verdict
    board = rows(study.leaderboard)
    ranked = sorted(board, key=lambda r: -r["skill"] if known(r["skill"]) else np.inf)
    names = [str(r["model"]) for r in ranked] or list(study.experiment.forecasters.models)
    models = tuple(dict.fromkeys([chosen.reference, *names]))
    finished = tuple(t for t in study.tickers if t.status == "ok")
    fans = study.forecasts
    if not fans.empty:
        drawn = fans["model"].isin([chosen.reference, chosen.recommended])
        fans = fans if drawn.all() else fans[drawn]
    newest = fans
    if not fans.empty:
        last = fans.groupby(["unique_id", "model"], observed=True, sort=False)["cutoff"].transform("max")
        newest = fans[fans["cutoff"] == last]
    tables = {name: getattr(study, name) for name in SPLIT} | {"forecasts": fans, NEWEST: newest}
    own = {"model": chosen.recommended}
    tables |= {name: where(tables[name], own) for name in ("calibration_tests", "exceedances")}
    return Contents(
        study=study,
        reference=chosen.reference,
        recommended=chosen.recommended,
        models=models,
        kinds={str(r["model"]): str(r["kind"]) for r in board},
        finished=finished,
        slugs=slugs(t.ticker for t in finished),
        split={name: by(table, KEYS.get(name, "unique_id")) for name, table in tables.items()},
    )


def by(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """A table cut by the values of one column, rows in their order; rows without a value are in none."""
    places: dict[Any, list[int]] = {}
    for place, key in enumerate(table[column].tolist() if len(table) else ()):
        places.setdefault(key, []).append(place)
    return {str(key): _cut(table, found) for key, found in places.items() if not pd.isna(key)}


def _cut(table: pd.DataFrame, places: Sequence[int]) -> pd.DataFrame:
    """Rows at ascending places, without a copy where they stand together."""
    first, after = places[0], places[-1] + 1
    return table.iloc[first:after] if after - first == len(places) else table.take(places)


def rows(table: pd.DataFrame, equals: Mapping[str, str] = MappingProxyType({})) -> list[Row]:
    """The rows whose columns equal the given text, as dictionaries."""
    part = where(table, equals)
    names = [str(name) for name in part.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*map(_values, part.items()), strict=True)]


def _values(column: tuple[Any, pd.Series[Any]]) -> list[Any]:
    """The values of a named column as plain Python has them."""
    return [value.item() if isinstance(value, np.generic) else value for value in column[1].tolist()]


def where(table: pd.DataFrame, equals: Mapping[str, str]) -> pd.DataFrame:
    """The rows whose columns equal the given text; an empty table as it is."""
    for column, value in equals.items() if len(table) else ():
        kept = [str(found) == value for found in table[column].tolist()]
        table = table if all(kept) else table[kept]
    return table


def tested(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of tests that could be tested."""
    return table[table["finding"].astype(str) != "not tested"]


def significant(table: pd.DataFrame) -> pd.DataFrame:
    """The tested rows with a finding other than "no evidence"."""
    return table[~table["finding"].astype(str).isin(["not tested", "no evidence"])]
