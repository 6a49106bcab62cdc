"""Covariates in a caller's frames: declared by column, continued by newer bars, their future given at a forecast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from s2squant.config.covariates import CovariateSpec
from s2squant.config.experiment import Experiment
from s2squant.errors import ConfigError, PriceError, SourceError, first_of
from s2squant.estimator.caller_keys import Keys
from s2squant.estimator.dataframes import as_pandas
from s2squant.prices.covariates.as_of import Observations, transformed
from s2squant.prices.covariates.load import with_covariates
from s2squant.prices.sources.continued import ContinuedSource
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.sources.numbers import decimal_sign, numbers
from s2squant.prices.sources.table import Named
from s2squant.prices.universe import Loaded
from s2squant.series.arrays import Dates, Floats, Ints
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

CHANGES = ("difference", "return")
"""Transforms that are taken from the value before."""
FUTURE = Named(dates=("ds",), prices=())
"""Headings of a frame of future values."""


def declared(hist: object, futr: object, stat: object, more: object) -> list[dict[str, Any]]:
    """The covariates of an experiment that are columns of the frame by kind, and those that are written out."""
    tables = []
    for parameter, kind, given in (
        ("hist_exog", "past", hist),
        ("futr_exog", "future", futr),
        ("stat_exog", "static", stat),
    ):
        columns = dict(given) if isinstance(given, Mapping) else dict.fromkeys(_names(parameter, given), "level")
        tables += [{"name": n, "kind": kind, "column": n, "transform": how} for n, how in columns.items()]
    if more is None:
        return tables
    if isinstance(more, str | Mapping) or not isinstance(more, Iterable):
        raise ConfigError("PriceForecaster: covariates is a list of tables, as those of an experiment's [[covariates]]")
    return [*tables, *(dict(table) for table in more)]


def _names(parameter: str, given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise ConfigError(f"PriceForecaster: {parameter} is {given!r}; give a column, or several in a list")
    return tuple(given)


def with_static(df: pd.DataFrame, static_df: object) -> pd.DataFrame:
    """The frame with the columns of another that has a row a ticker."""
    if static_df is None:
        return df
    static, _ = as_pandas(static_df, "static_df")
    once = static.columns.is_unique and "unique_id" in static.columns
    if not once or not static["unique_id"].map(str).is_unique:
        raise SourceError("static_df has a row a ticker: one column unique_id in which each stands once")
    if both := [str(name) for name in static.columns if name in df.columns and name != "unique_id"]:
        raise SourceError(f"static_df has {first_of(both, 3)}, and so has df; keep one")
    by_text = static.assign(unique_id=static["unique_id"].map(str)).set_index("unique_id")
    columns = by_text.reindex(df["unique_id"].map(str))
    return df.assign(**{str(name): columns[name].to_numpy() for name in columns})


def newer_covariates(loaded: Loaded, fitted: Mapping[str, PriceHistory], experiment: Experiment) -> Loaded:
    """Newer bars with the columns of their fit: those of the fit's own days as they were, later ones from the frame."""
    source = loaded.source
    columns = next((h.covariates for h in fitted.values() if h.covariates is not None), None)
    if columns is None or not isinstance(source, ContinuedSource):
        return loaded
    there = {h.ticker for h in loaded.histories}
    specs = tuple(
        spec.model_copy(update={"tickers": tuple(t for t in spec.tickers if t in there)})
        for spec in experiment.covariates
        if spec.kind != "static" and (not spec.tickers or set(spec.tickers) & there)
    )
    read = with_covariates(loaded, experiment.model_copy(update={"covariates": specs}))
    histories = tuple(_continued(h, fitted.get(h.ticker), columns, source.first_day(h.ticker)) for h in read.histories)
    return replace(read, histories=histories)


def _continued(
    newer: PriceHistory, fitted: PriceHistory | None, columns: TickerCovariates, first: np.datetime64
) -> PriceHistory:
    """A history with the columns of the fit: from `first` on as the newer frame gives them, before as they were.

    A newcomer has no static values.
    """
    before, after = None if fitted is None else fitted.covariates, newer.covariates
    if fitted is None or before is None:
        fitted, first = newer, newer.dates[0]
        before = replace(
            columns,
            past_TP=np.full((len(newer), len(columns.past)), np.nan),
            days_S=newer.dates,
            future_SF=np.full((len(newer), len(columns.future)), np.nan),
            static_C=np.full(len(columns.static), np.nan),
        )
    days_S = before.days_S if after is None else np.union1d(before.days_S[before.days_S < first], after.days_S)
    past_TP, future_SF = (
        np.full((len(newer), len(before.past)), np.nan),
        np.full((len(days_S), len(before.future)), np.nan),
    )
    _, at, was = np.intersect1d(newer.dates, fitted.dates, return_indices=True)
    past_TP[at] = before.past_TP[was]
    _, at, was = np.intersect1d(days_S, before.days_S, return_indices=True)
    future_SF[at] = before.future_SF[was]
    if after is not None:
        _renew(
            past_TP, before.past, after.past, after.past_TP, np.flatnonzero(newer.dates >= first), newer.dates >= first
        )
        late = np.isin(after.days_S, days_S) & (after.days_S >= first)
        _renew(
            future_SF, before.future, after.future, after.future_SF, np.searchsorted(days_S, after.days_S[late]), late
        )
    return replace(newer, covariates=replace(before, past_TP=past_TP, days_S=days_S, future_SF=future_SF))


def _renew(
    values: Floats,
    columns: Sequence[Covariate],
    newer: Sequence[Covariate],
    given: Floats,
    rows: Ints,
    of: NDArray[np.bool_],
) -> None:
    """Put what is newly given of the columns in place of what stands in some rows."""
    names = [column.name for column in newer]
    for k, column in enumerate(columns):
        if column.name in names:
            new = given[of, names.index(column.name)]
            values[rows, k] = np.where(np.isfinite(new), new, values[rows, k])


def future_frame(panels: Sequence[Panel], keys: Keys, experiment: Experiment, steps: int) -> Any:
    """A row a ticker and session after its last bar, with what is known of the columns that a caller has to fill."""
    parts = []
    for history in (h for panel in panels for h in panel.histories):
        days, values = _ahead(history, experiment, steps)
        if changing := [spec.column for spec in _to_fill(experiment) if spec.transform in CHANGES]:
            days = np.concatenate([history.dates[-1:], days])  # what the first change is taken from
            raw = {name: np.full(len(days), np.nan) for name in changing}
            values = {name: np.concatenate([[np.nan], column]) for name, column in values.items()} | raw
        parts.append(pd.DataFrame({"unique_id": history.ticker, "ds": days.astype("datetime64[s]"), **values}))
    return keys.back(pd.concat(parts, ignore_index=True))


def with_future(panels: Sequence[Panel], futr_df: object, experiment: Experiment) -> list[Panel]:
    """The panels with the future values of a frame; raises SourceError where it is none of the caller's columns."""
    if futr_df is None:
        return list(panels)
    future, _ = as_pandas(futr_df, "futr_df")
    if not (wanted := _to_fill(experiment)):
        raise SourceError("futr_df is read by nothing; no column was declared in futr_exog")
    columns = [spec for spec in wanted if spec.column in future.columns]
    if not {"unique_id", "ds"} <= set(future.columns) or not columns:
        named = ", ".join(["unique_id", "ds", *(spec.column for spec in wanted)])
        raise SourceError(f"futr_df has not the columns {named}; make_future gives the frame to fill")
    source = FrameSource.from_long(future, name="futr_df", named=FUTURE)
    return [_of(panel, {h.ticker: _filled(h, source, columns) for h in panel.histories}) for panel in panels]


def require_future(panels: Sequence[Panel], experiment: Experiment, steps: int) -> None:
    """Raise SourceError for the first future value that a forecast of so many steps lacks: which, when, for whom."""
    for history in (h for panel in panels for h in panel.histories):
        days, values = _ahead(history, experiment, steps)
        for name, column in values.items():
            if np.isnan(column).any():
                day = days[np.isnan(column)][0]
                changes = any(s.column == name and s.transform in CHANGES for s in _to_fill(experiment))
                last = f", and on {history.dates[-1]}, from which it has changed" if changes else ""
                raise SourceError(
                    f"futr_exog {name} is missing on {day} for {history.ticker}; give it in futr_df{last} "
                    "(make_future gives the frame to fill)"
                )


def _to_fill(experiment: Experiment) -> tuple[CovariateSpec, ...]:
    return tuple(s for s in experiment.covariates if s.kind == "future" and s.origin == "column")


def _ahead(history: PriceHistory, experiment: Experiment, steps: int) -> tuple[Dates, dict[str, Floats]]:
    """The sessions after the last bar, and what is known of the caller's columns then."""
    own = history.covariates
    if own is None:
        raise ConfigError("no covariate is declared; name the columns known beforehand in futr_exog, then fit")
    wanted = {spec.name: spec.column for spec in _to_fill(experiment)}
    after = slice(int(np.searchsorted(own.days_S, history.dates[-1], side="right")), None)
    days = own.days_S[after][:steps]
    values = {wanted[c.name]: own.future_SF[after, f][:steps] for f, c in enumerate(own.future) if c.name in wanted}
    return days, values


def _filled(history: PriceHistory, source: FrameSource, columns: Sequence[CovariateSpec]) -> PriceHistory:
    own = history.covariates
    if own is None or history.ticker not in source.tickers():
        return history
    future_SF = np.array(own.future_SF)
    names = [c.name for c in own.future]
    try:
        for spec in columns:
            days, cells = source.other(history.ticker, spec.column, history.calendar)
            given = numbers(cells, days, spec.column, history.ticker, decimal_sign([cells], history.ticker))
            seen = transformed(Observations(days, days.astype("datetime64[s]"), given).superseding(), spec.transform)
            _, at, of = np.intersect1d(own.days_S, seen.days_K, return_indices=True)
            late = own.days_S[at] > history.dates[-1]
            keep = late if spec.transform in CHANGES else np.ones(len(at), bool)
            future_SF[at[keep], names.index(spec.name)] = seen.values_K[of[keep]]
    except PriceError as error:
        raise SourceError(f"futr_df: {error}") from None
    return replace(history, covariates=replace(own, future_SF=future_SF))


def _of(panel: Panel, histories: Mapping[str, PriceHistory]) -> Panel:
    """The panel with other covariates of its tickers; its market is read as it was."""
    return Panel(tuple(histories[h.ticker] for h in panel.histories), panel.whole, panel.whole_until)
