"""A study cut into bundles of tickers, each with what their pages read and little else, to be sent to a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

import pandas as pd

from s2squant.evaluation.results import Portfolio, TickerReport
from s2squant.report.study_view import Contents
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

J = TypeVar("J")
R = TypeVar("R")

SIZE = 8
"""Tickers of a bundle: their pages take a fraction of a second."""


class Mapper(Protocol):
    """As the builtin `map` of one iterable: the work done on each job, results in the order of the jobs."""

    def __call__(self, work: Callable[[J], R], jobs: Iterable[J], /) -> Iterator[R]: ...


@dataclass(frozen=True)
class Bundle:
    """What the pages of some tickers read of a study."""

    places: range
    """Theirs among the finished tickers."""
    reports: tuple[TickerReport, ...]
    split: Mapping[str, Mapping[str, pd.DataFrame]]
    histories: Mapping[str, PriceHistory]
    attention: Mapping[str, Floats]


def bundles(c: Contents) -> Iterator[Bundle]:
    """The finished tickers in order, cut out of a study as they are asked for."""
    for first in range(0, len(c.finished), SIZE):
        places = range(first, min(first + SIZE, len(c.finished)))
        reports = tuple(c.finished[place] for place in places)
        names = [report.ticker for report in reports]
        yield Bundle(
            places=places,
            reports=reports,
            split={table: {n: parts[n] for n in names if n in parts} for table, parts in c.split.items()},
            histories={n: c.study.histories[n] for n in names if n in c.study.histories},
            attention={n: c.study.attention[n] for n in names if n in c.study.attention},
        )


def without_tickers(c: Contents) -> Contents:
    """A study without what belongs to single tickers but their names and markets: what all bundles share."""
    study = c.study
    names = (f.name for f in fields(study) if isinstance(getattr(study, f.name), pd.DataFrame))
    tables: dict[str, Any] = dict.fromkeys(names, pd.DataFrame()) | {"leaderboard": study.leaderboard}
    if len(study.training):
        tables["training"] = study.training[~study.training["unique_id"].isin(c.tickers)]
    named = {report.ticker: _named(report) for report in study.tickers}
    less = replace(
        study, **tables, tickers=tuple(named.values()), folds=(), histories={}, attention={}, portfolio=Portfolio()
    )
    finished = tuple(named[report.ticker] for report in c.finished)
    return replace(c, study=less, finished=finished, split={table: {} for table in c.split}, _read={})


def joined(shared: Contents, bundle: Bundle) -> Contents:
    """The shared part of a study with the tickers of a bundle."""
    study = replace(shared.study, histories=bundle.histories, attention=bundle.attention)
    first, after = bundle.places.start, bundle.places.stop
    finished = (*shared.finished[:first], *bundle.reports, *shared.finished[after:])
    return replace(shared, study=study, finished=finished, split=bundle.split, _read={})


def _named(report: TickerReport) -> TickerReport:
    return TickerReport(report.ticker, report.status, market=report.market)
