"""A study arranged for reading: models in order, tickers with their addresses, tables split by ticker once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

SPLIT: tuple[str, ...] = ("by_ticker", "by_ticker_step", "over_time", "equity", "training", "forecasts", "performance")
SPLIT += ("calibration_tests", "exceedances", "sharpness", "misses")


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

    def of(self, table: str, ticker: str) -> pd.DataFrame:
        """The rows of one ticker (or of the pool) in one table; without columns where there are none."""
        return self.split[table].get(ticker, pd.DataFrame())

    def first(self, kind: str) -> str | None:
        """The best model of a kind by pooled skill."""
        return next((m for m in self.models if self.kinds.get(m) == kind), None)

    @property
    def best_baseline(self) -> str | None:
        """The best baseline, which the verdict tests the recommended model against; None where it is the reference."""
        ahead = {str(r["model"]) for r in rows(self.study.leaderboard) if known(r["skill"]) and r["skill"] > 0}
        baselines = (m for m in self.models if self.kinds.get(m) == "baseline" and m != self.recommended)
        return next((m for m in baselines if m in ahead), None)

    def untested(self, ticker: str) -> str:
        """Reason why a ticker's skill was not tested, as its verdict states it; empty where it was."""
        asked = {"pool": ticker, "benchmark": self.reference, "challenger": self.recommended}
        test = next((str(r["test"]) for r in rows(self.study.verdicts, asked)), "")
        return test if test.startswith("not tested") else ""

    @property
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
    tables = {name: getattr(study, name) for name in SPLIT} | {"forecasts": fans}
    return Contents(
        study=study,
        reference=chosen.reference,
        recommended=chosen.recommended,
        models=models,
        kinds={str(r["model"]): str(r["kind"]) for r in board},
        finished=finished,
        slugs=slugs(t.ticker for t in finished),
        split={name: by(table, "scope" if name == "misses" else "unique_id") for name, table in tables.items()},
    )


def by(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """A table cut by the values of one column, rows in their order."""
    if table.empty:
        return {}
    return {str(key): part for key, part in table.groupby(column, sort=False, observed=True)}


def rows(table: pd.DataFrame, equals: Mapping[str, str] = MappingProxyType({})) -> list[Row]:
    """The rows whose columns equal the given text, as dictionaries."""
    return [{str(k): v for k, v in row.items()} for row in where(table, equals).to_dict("records")]


def where(table: pd.DataFrame, equals: Mapping[str, str]) -> pd.DataFrame:
    """The rows whose columns equal the given text; an empty table as it is."""
    for column, value in equals.items() if len(table) else ():
        table = table[table[column].astype(str) == value]
    return table


def tested(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of tests that could be tested."""
    return table[table["finding"].astype(str) != "not tested"]


def significant(table: pd.DataFrame) -> pd.DataFrame:
    """The tested rows with a finding other than "no evidence"."""
    return table[~table["finding"].astype(str).isin(["not tested", "no evidence"])]
