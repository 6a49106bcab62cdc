"""Covariates of loaded histories: read each origin once, join it to every ticker's own sessions, tell what lacks.

Shape legend: T bars, S scheduled sessions of a ticker, P past, F future-known and C static covariates.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from s2squant.config.covariates import CovariateSpec
from s2squant.config.experiment import Experiment
from s2squant.errors import ConfigError, Finding, PriceError, SourceError, first_of
from s2squant.prices.covariates.built_in import WEEKDAYS
from s2squant.prices.covariates.columns import (
    Origin,
    future_column,
    open_origin,
    past_column,
    sessions_around,
    static_value,
)
from s2squant.prices.covariates.told import missing, missing_and_carried, missing_static
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


def with_covariates(loaded: Loaded, experiment: Experiment) -> Loaded:
    """The histories with the experiment's covariates; as they are where it has none.

    A ticker whose own file cannot be read for one is refused by name. Raises CallerError for a covariate that cannot be
    read at all, that is for nobody, or that covers no date.
    """
    specs = experiment.covariates
    if not specs:
        return loaded
    _refuse_strangers(specs, loaded)
    origins = {spec.name: open_origin(spec, experiment.universe, loaded.source) for spec in specs}
    refused, findings = dict(loaded.refused), dict(loaded.findings)
    drawn: dict[str, Drawn] = {}
    for history in loaded.histories:
        try:
            drawn[history.ticker] = _drawn(history, specs, origins, experiment.walk.horizon)
        except PriceError as error:
            refused[history.ticker], findings[history.ticker] = error.reason, error.findings
    usable = tuple(history for history in loaded.histories if history.ticker in drawn)
    if not usable:
        reasons = [f"{ticker}: {reason}" for ticker, reason in refused.items()]
        raise SourceError(f"no usable prices; {first_of(reasons, 3, between='; ')}")
    _refuse_empty(specs, drawn, loaded)
    drawn = _ranked(specs, usable, drawn)
    labels = {spec.name: _labels(spec, drawn) for spec in specs if spec.kind == "static"}
    attached = tuple(_attached(h, _of_market(specs, usable, h.calendar), drawn[h.ticker], labels) for h in usable)
    beside = tuple(origin for origin in origins.values() if isinstance(origin, PriceHistory))
    return replace(loaded, histories=attached, refused=refused, findings=findings, beside=beside)


def unread(loaded: Sequence[PriceHistory], specs: Specs) -> tuple[str, ...]:
    """Headings of the tickers' tables that nothing reads, each once."""
    declared = {spec.column for spec in specs if spec.origin == "column"}
    return tuple(dict.fromkeys(name for history in loaded for name in history.unread if name not in declared))


def is_for(spec: CovariateSpec, history: PriceHistory) -> bool:
    """Whether a covariate is for a ticker."""
    by_market = not spec.markets or history.calendar in spec.markets
    return by_market and (not spec.tickers or history.ticker in spec.tickers)


def _of_market(specs: Specs, histories: Sequence[PriceHistory], market: str) -> Specs:
    """The covariates that are for any ticker of a market: the columns that all of its tickers have."""
    members = [history for history in histories if history.calendar == market]
    return tuple(spec for spec in specs if any(is_for(spec, history) for history in members))


def _refuse_strangers(specs: Specs, loaded: Loaded) -> None:
    """Raise ConfigError for a covariate that names a ticker or a market that is not there."""
    tickers = [*(h.ticker for h in loaded.histories), *loaded.refused]
    markets = sorted({h.calendar for h in loaded.histories})
    for spec in specs:
        for key, names, known in (("tickers", spec.tickers, tickers), ("markets", spec.markets, markets)):
            if strangers := [name for name in names if name not in known]:
                near = difflib.get_close_matches(strangers[0], known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {first_of(known, 8)}"
                raise ConfigError(f"covariate {spec.name}: {key} names {strangers[0]!r}, which is not there; {hint}")
        if spec.values and not set(spec.values) & set(tickers):
            raise ConfigError(f"covariate {spec.name}: values names no ticker of {first_of(tickers, 8)}")


def _drawn(history: PriceHistory, specs: Specs, origins: Mapping[str, Origin], horizon: int) -> Drawn:
    own = tuple(spec for spec in specs if is_for(spec, history))
    days_S = sessions_around(history, own, horizon)
    place_T = np.searchsorted(days_S, history.dates, side="right") - 1
    past = {}
    for spec in own:
        if spec.kind == "past":
            column = past_column(spec, origins[spec.name], history, days_S)
            past[spec.name] = (
                np.where(place_T >= 0, column.values_S[place_T], np.nan),
                np.where(place_T >= 0, column.age_S[place_T], -1),
            )
    first = max(int(place_T[0]), 0)
    return Drawn(
        days_S=days_S[first:],
        past=past,
        future={s.name: future_column(s, origins[s.name], history, days_S)[first:] for s in own if s.kind == "future"},
        static={s.name: static_value(s, origins[s.name], history) for s in own if s.kind == "static"},
    )


def _refuse_empty(specs: Specs, drawn: Mapping[str, Drawn], loaded: Loaded) -> None:
    """Raise SourceError for a covariate that no ticker has a value of."""
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
        raise SourceError(f"covariate {spec.name}: {what}")


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
        past=tuple(Covariate(spec.name, spec.transform == "variance") for spec in past),
        future=tuple(
            Covariate(spec.name, spec.transform == "variance", WEEKDAYS if spec.calendar == "weekday" else ())
            for spec in future
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
