"""Covariates of loaded histories: read each origin once, join it to every ticker's own sessions, tell what lacks.

Shape legend: T bars, S scheduled sessions of a ticker, P past, F future-known and C static covariates.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from s2squant.config.covariates import CovariateSpec
from s2squant.config.experiment import Experiment
from s2squant.errors import ConfigError, Finding, PriceError, SourceError, first_of, one_line
from s2squant.prices.covariates.built_in import WEEKDAYS
from s2squant.prices.covariates.columns import (
    Origin,
    future_column,
    open_origin,
    past_column,
    sessions_around,
    static_value,
)
from s2squant.prices.covariates.told import lateness, missing, missing_and_carried, missing_static
from s2squant.prices.port import Source
from s2squant.prices.sources.table import nearest
from s2squant.prices.universe import Loaded
from s2squant.series.arrays import Dates, Floats, Ints
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.history import PriceHistory

Specs = tuple[CovariateSpec, ...]


@dataclass(frozen=True)
class Drawn:
    """The covariates that are for one ticker, before tickers are ranked and categories numbered."""

    days_S: Dates
    past: Mapping[str, tuple[Floats, Ints]]
    """Values and ages (T,) by name."""
    future: Mapping[str, Floats]
    static: Mapping[str, str]


@dataclass(frozen=True)
class Masking:
    """What cannot be read is masked and told instead of refused: a nightly goes on without it."""

    markets: Mapping[str, str]
    """Market by ticker, of all that are asked for, those without prices now too: they settle the columns."""
    tell: Callable[[str], None]
    """Is handed one line for each covariate that cannot be read, and for each that is late at the last bar."""


def with_covariates(loaded: Loaded, experiment: Experiment, masking: Masking | None = None) -> Loaded:
    """The histories with the experiment's covariates; as they are where it has none.

    A ticker whose own file cannot be read for one is refused by name. Raises CallerError for a covariate that cannot be
    read at all, that is for nobody, or that covers no date. With `masking` these are masked and told.
    """
    specs = experiment.covariates
    if not specs:
        return loaded
    asked = masking.markets if masking else {h.ticker: h.calendar for h in loaded.histories}
    _refuse_strangers(specs, [*asked, *loaded.refused], sorted(set(asked.values())))
    origins = _origins(specs, experiment, loaded.source, masking)
    refused, findings = dict(loaded.refused), dict(loaded.findings)
    drawn: dict[str, Drawn] = {}
    for history in loaded.histories:
        try:
            drawn[history.ticker] = _drawn(history, specs, origins, experiment.walk.horizon, masking)
        except PriceError as error:
            refused[history.ticker], findings[history.ticker] = error.reason, error.findings
    usable = tuple(history for history in loaded.histories if history.ticker in drawn)
    if not usable:
        reasons = [f"{ticker}: {reason}" for ticker, reason in refused.items()]
        raise SourceError(f"no usable prices; {first_of(reasons, 3, between='; ')}")
    empty = _empty(specs, drawn, loaded)
    if empty and masking is None:
        name = next(iter(empty))
        raise SourceError(f"covariate {name}: {empty[name]}")
    if masking is not None:
        known = tuple(spec for spec in specs if spec.name in origins)
        for name in (spec.name for spec in known if spec.name in empty):
            masking.tell(f"covariate {name}: {empty[name]}")
        for line in _late([spec for spec in known if spec.name not in empty], drawn, experiment.walk.horizon):
            masking.tell(line)
    drawn = _ranked(specs, usable, drawn)
    labels = {spec.name: _labels(spec, drawn) for spec in specs if spec.kind == "static"}
    markets = masking.markets if masking else {h.ticker: h.calendar for h in usable}
    columns = {market: _of_market(specs, markets, market) for market in {h.calendar for h in usable}}
    attached = tuple(_attached(h, columns[h.calendar], drawn[h.ticker], labels) for h in usable)
    beside = tuple(origin for origin in origins.values() if isinstance(origin, PriceHistory))
    return replace(loaded, histories=attached, refused=refused, findings=findings, beside=beside)


def unread(loaded: Sequence[PriceHistory], specs: Specs) -> tuple[str, ...]:
    """Headings of the tickers' tables that nothing reads, each once."""
    declared = {spec.column for spec in specs if spec.origin == "column"}
    return tuple(dict.fromkeys(name for history in loaded for name in history.unread if name not in declared))


def _is_for(spec: CovariateSpec, ticker: str, market: str) -> bool:
    return (not spec.markets or market in spec.markets) and (not spec.tickers or ticker in spec.tickers)


def _of_market(specs: Specs, markets: Mapping[str, str], market: str) -> Specs:
    """The covariates that are for any ticker of a market: the columns that all of its tickers have."""
    members = [ticker for ticker, own in markets.items() if own == market]
    return tuple(spec for spec in specs if any(_is_for(spec, ticker, market) for ticker in members))


def _origins(specs: Specs, experiment: Experiment, source: Source | None, masking: Masking | None) -> dict[str, Origin]:
    """What each covariate is read from, by name; with `masking` one that cannot be had is told and left out."""
    origins: dict[str, Origin] = {}
    for spec in specs:
        try:
            origins[spec.name] = open_origin(spec, experiment.universe, source)
        except SourceError as error:
            if masking is None:
                raise
            masking.tell(one_line(str(error)))
    return origins


def _refuse_strangers(specs: Specs, tickers: Sequence[str], markets: Sequence[str]) -> None:
    """Raise ConfigError for a covariate that names a ticker or a market that is not there."""
    for spec in specs:
        for key, names, known in (("tickers", spec.tickers, tickers), ("markets", spec.markets, markets)):
            if strangers := [name for name in names if name not in known]:
                near = difflib.get_close_matches(strangers[0], known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {first_of(known, 8)}"
                raise ConfigError(f"covariate {spec.name}: {key} names {strangers[0]!r}, which is not there; {hint}")
        if spec.values and not set(spec.values) & set(tickers):
            raise ConfigError(f"covariate {spec.name}: values names no ticker of {first_of(tickers, 8)}")


def _drawn(
    history: PriceHistory, specs: Specs, origins: Mapping[str, Origin], horizon: int, masking: Masking | None
) -> Drawn:
    own = tuple(spec for spec in specs if _is_for(spec, history.ticker, history.calendar))
    days_S = sessions_around(history, own, horizon)
    place_T = np.searchsorted(days_S, history.dates, side="right") - 1
    first = max(int(place_T[0]), 0)
    none_T, none_S = (np.full(len(history), np.nan), np.full(len(history), -1)), np.full(len(days_S) - first, np.nan)
    past = dict.fromkeys((spec.name for spec in own if spec.kind == "past"), none_T)
    future = dict.fromkeys((spec.name for spec in own if spec.kind == "future"), none_S)
    static = dict.fromkeys((spec.name for spec in own if spec.kind == "static"), "")
    for spec in (spec for spec in own if spec.name in origins):
        try:
            match spec.kind:
                case "past":
                    column = past_column(spec, origins[spec.name], history, days_S)
                    past[spec.name] = (
                        np.where(place_T >= 0, column.values_S[place_T], np.nan),
                        np.where(place_T >= 0, column.age_S[place_T], -1),
                    )
                case "future":
                    future[spec.name] = future_column(spec, origins[spec.name], history, days_S)[first:]
                case "static":
                    static[spec.name] = static_value(spec, origins[spec.name], history)
        except PriceError as error:
            if masking is None:
                raise
            masking.tell(f"covariate {spec.name}: {error}")
    return Drawn(days_S[first:], past, future, static)


def _late(specs: Sequence[CovariateSpec], drawn: Mapping[str, Drawn], horizon: int) -> list[str]:
    """One line for each covariate and way in which it is late at the last bar: what, and for whom."""
    tickers: dict[tuple[str, str], list[str]] = {}
    for spec in specs:
        for ticker, own in drawn.items():
            what = lateness(*own.past[spec.name]) if spec.name in own.past else ""
            if spec.name in own.future and (unknown := int(np.isnan(own.future[spec.name][-horizon:]).sum())):
                what = f"not known on {unknown} of the {horizon} sessions to come"
            if what:
                tickers.setdefault((spec.name, what), []).append(ticker)
    return [f"covariate {name}: {what} for {first_of(own, 3)}" for (name, what), own in tickers.items()]


def _empty(specs: Specs, drawn: Mapping[str, Drawn], loaded: Loaded) -> dict[str, str]:
    """The covariates that no ticker has a value of, and what to see to."""
    empty = dict[str, str]()
    for spec in specs:
        each = [own for own in drawn.values() if spec.name in (*own.past, *own.future, *own.static)]
        values = [own.past[spec.name][0] for own in each if spec.name in own.past]
        values += [own.future[spec.name] for own in each if spec.name in own.future]
        texts = [own.static[spec.name] for own in each if spec.name in own.static]
        if any(np.isfinite(column).any() for column in values) or any(texts) or not each:
            continue
        headings = list(dict.fromkeys(name for history in loaded.histories for name in history.unread))
        if spec.origin == "column" and spec.column not in headings:
            what = f"no table has a column {spec.column!r}; {nearest(spec.column, headings)}"
        else:
            days = [day for own in each for day in (own.days_S[0], own.days_S[-1])]
            what = f"it has no value of any ticker between {min(days)} and {max(days)}; see to its dates and tickers"
        empty[spec.name] = what
    return empty


def _ranked(specs: Specs, histories: Sequence[PriceHistory], drawn: dict[str, Drawn]) -> dict[str, Drawn]:
    """Ranks among the tickers of a market that have a value on a date, from -0.5 to 0.5; 0 for one alone."""
    result = dict(drawn)
    for spec in (spec for spec in specs if spec.transform == "rank"):
        for market in dict.fromkeys(h.calendar for h in histories):
            members = [h for h in histories if h.calendar == market and spec.name in drawn[h.ticker].past]
            if not members:
                continue
            table = pd.DataFrame({h.ticker: pd.Series(drawn[h.ticker].past[spec.name][0], h.dates) for h in members})
            ranks = (table.rank(axis=1).sub(0.5)).div(table.notna().sum(axis=1), axis=0) - 0.5
            for h in members:
                own = result[h.ticker]
                ranked = (ranks[h.ticker].reindex(h.dates).to_numpy(), own.past[spec.name][1])
                result[h.ticker] = replace(own, past={**own.past, spec.name: ranked})
    return result


def _labels(spec: CovariateSpec, drawn: Mapping[str, Drawn]) -> tuple[str, ...]:
    """The categories of a static covariate, in the order of their names; none where all values are numbers."""
    texts = {own.static[spec.name] for own in drawn.values() if own.static.get(spec.name)}
    return () if all(_is_number(text) for text in texts) else tuple(sorted(texts))


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _attached(history: PriceHistory, specs: Specs, own: Drawn, labels: Mapping[str, tuple[str, ...]]) -> PriceHistory:
    """The history with the columns of its market, NaN where one is not for it, and the findings of its own."""
    bars, sessions = len(history), len(own.days_S)
    past, future, static = ([spec for spec in specs if spec.kind == kind] for kind in ("past", "future", "static"))
    nothing_T, nothing_S = np.full(bars, np.nan), np.full(sessions, np.nan)
    findings: list[Finding] = []
    for name, (values, age) in own.past.items():
        findings += missing_and_carried(name, history.dates, values, age)
    for name, values in own.future.items():
        findings += missing(name, own.days_S, values)
    findings += [missing_static(name) for name, text in own.static.items() if not text]
    covariates = TickerCovariates(
        past=tuple(Covariate(spec.name, spec.is_variance, measure=spec.realised or "") for spec in past),
        future=tuple(
            Covariate(spec.name, spec.is_variance, WEEKDAYS if spec.calendar == "weekday" else ()) for spec in future
        ),
        static=tuple(Covariate(spec.name, categories=labels[spec.name]) for spec in static),
        past_TP=_columns([own.past.get(spec.name, (nothing_T, None))[0] for spec in past], bars),
        days_S=own.days_S,
        future_SF=_columns([own.future.get(spec.name, nothing_S) for spec in future], sessions),
        static_C=np.array([_coded(own.static.get(spec.name, ""), labels[spec.name]) for spec in static]),
    )
    return replace(history, covariates=covariates, findings=(*history.findings, *findings))


def _columns(columns: Sequence[Floats], rows: int) -> Floats:
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0))


def _coded(text: str, labels: tuple[str, ...]) -> float:
    if not text:
        return np.nan
    return float(labels.index(text)) if labels else float(text)
