"""Covariates: what else is known beside a ticker's prices, each value as it was known at the time.

Shape legend: T bars of a ticker, R bars of a panel laid end to end, S scheduled sessions of a ticker and V of a panel,
M tickers, N origins, H steps ahead; P past, F future-known and C static covariates. A value not known is NaN.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from s2squant.series.arrays import Dates, Floats, Ints, frozen_array, table_dates


@dataclass(frozen=True)
class Covariate:
    """One column: its name, whether it is a variance, and its categories."""

    name: str
    variance: bool = False
    """The variance of a daily return, up to a factor: zero or more."""
    categories: tuple[str, ...] = ()
    """Labels of a categorical one, whose values are their places here; none for one of numbers."""
    measure: str = ""
    """What a realised one measures, such as total or jump; empty for others."""


@dataclass(frozen=True, eq=False)
class TickerCovariates:
    """The covariates of one ticker.

    Future-known values stand on scheduled sessions, not on bars: whether the ticker will trade on one is not known
    beforehand. Raises ValueError where shapes do not agree.
    """

    past: tuple[Covariate, ...]
    future: tuple[Covariate, ...]
    static: tuple[Covariate, ...]
    past_TP: Floats
    """As known at the close of each bar."""
    days_S: Dates
    """Scheduled sessions, from the first bar on and beyond the last."""
    future_SF: Floats
    static_C: Floats

    def __post_init__(self) -> None:
        for name in ("past_TP", "future_SF", "static_C"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))
        object.__setattr__(self, "days_S", frozen_array(table_dates(self.days_S), table_dates(self.days_S).dtype))
        shapes = (self.past_TP.shape[1:], self.future_SF.shape, self.static_C.shape)
        wanted = ((len(self.past),), (len(self.days_S), len(self.future)), (len(self.static),))
        if shapes != wanted:
            raise ValueError(f"covariates of shapes {shapes}, where {wanted} are declared")
        if (np.diff(self.days_S).astype(np.int64) <= 0).any():
            raise ValueError("scheduled sessions must increase")
        names = [c.name for c in (*self.past, *self.future, *self.static)]
        if len(set(names)) < len(names):
            raise ValueError(f"a covariate stands twice among {', '.join(names)}")

    @property
    def columns(self) -> tuple[tuple[Covariate, ...], ...]:
        """Past, future-known and static columns."""
        return self.past, self.future, self.static

    def of_bars(self, keep: NDArray[np.bool_]) -> TickerCovariates:
        """The covariates of some bars (T,): what was known of the future stays known."""
        return replace(self, past_TP=self.past_TP[keep])

    def only(self, names: Collection[str]) -> TickerCovariates | None:
        """Some columns alone; None where none is left."""
        past, future, static = ([c.name in names for c in columns] for columns in self.columns)
        if not any((*past, *future, *static)):
            return None
        return replace(
            self,
            past=_kept(self.past, past),
            future=_kept(self.future, future),
            static=_kept(self.static, static),
            past_TP=self.past_TP[:, past],
            future_SF=self.future_SF[:, future],
            static_C=self.static_C[static],
        )

    def digest(self) -> bytes:
        """Hash of all columns and values: equal covariates, equal bytes."""
        hashed = hashlib.sha256(repr(self.columns).encode())
        for values in (self.past_TP, self.days_S.astype("int64"), self.future_SF, self.static_C):
            hashed.update(values.tobytes())
        return hashed.digest()


@dataclass(frozen=True, eq=False)
class PanelCovariates:
    """The covariates of a panel's tickers, laid end to end; all tickers have the same columns."""

    past: tuple[Covariate, ...]
    future: tuple[Covariate, ...]
    static: tuple[Covariate, ...]
    past_RP: Floats
    """As known at each row's close."""
    now_RF: Floats
    """Future-known values of the row's own session."""
    static_MC: Floats
    """A number, or the place of a category."""
    future_VF: Floats
    """Future-known values of every ticker's scheduled sessions."""
    place_R: Ints
    """The session of V that each row stands on: the last one scheduled by its date."""
    end_R: Ints
    """Where the sessions of the row's ticker end in V."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns: past, future-known, static."""
        return tuple(c.name for c in (*self.past, *self.future, *self.static))

    def at_steps(self, rows: Ints, horizon: int) -> Floats:
        """Future-known values (N, H, F) of the `horizon` sessions scheduled after each row."""
        index_NH = self.place_R[rows][:, None] + np.arange(1, horizon + 1)
        inside_NH = index_NH < self.end_R[rows][:, None]
        values: Floats = self.future_VF[np.where(inside_NH, index_NH, 0)]
        values[~inside_NH] = np.nan
        return values

    def only(self, names: Collection[str]) -> PanelCovariates | None:
        """Some columns alone; None where none is left."""
        past, future, static = ([c.name in names for c in columns] for columns in (self.past, self.future, self.static))
        if not any((*past, *future, *static)):
            return None
        return replace(
            self,
            past=_kept(self.past, past),
            future=_kept(self.future, future),
            static=_kept(self.static, static),
            past_RP=self.past_RP[:, past],
            now_RF=self.now_RF[:, future],
            static_MC=self.static_MC[:, static],
            future_VF=self.future_VF[:, future],
        )


def filled(values: Floats) -> tuple[Floats, Floats]:
    """Values with zero where one is not known, and the mask: 1 where it is."""
    known = np.isfinite(values)
    return np.where(known, values, 0.0), known.astype(np.float64)


def laid_out(dates: Sequence[Dates], each: Sequence[TickerCovariates | None]) -> PanelCovariates | None:
    """Lay the covariates of tickers with bars on `dates` end to end; None where no ticker has any.

    Raises ValueError where they have different columns.
    """
    some = [covariates for covariates in each if covariates is not None]
    if not some:
        return None
    if len(some) < len(each) or any(covariates.columns != some[0].columns for covariates in some):
        raise ValueError("the tickers of a panel have different covariates; give all of them the same columns")
    ends = np.cumsum([len(covariates.days_S) for covariates in some])
    starts = ends - [len(covariates.days_S) for covariates in some]
    own = [
        np.searchsorted(covariates.days_S, days, side="right") - 1 for days, covariates in zip(dates, some, strict=True)
    ]
    place_R = np.concatenate([start + place for start, place in zip(starts, own, strict=True)])
    future_VF = np.concatenate([covariates.future_SF for covariates in some])
    on_V = np.concatenate([covariates.days_S for covariates in some])
    before_R = np.concatenate(own) < 0
    at_R = np.maximum(place_R, 0)
    stands_R = ~before_R & (on_V[at_R] == np.concatenate(list(dates)))
    return PanelCovariates(
        past=some[0].past,
        future=some[0].future,
        static=some[0].static,
        past_RP=np.concatenate([covariates.past_TP for covariates in some]),
        now_RF=np.where(stands_R[:, None], future_VF[at_R], np.nan),
        static_MC=np.stack([covariates.static_C for covariates in some]),
        future_VF=future_VF,
        place_R=place_R,
        end_R=np.repeat(ends, [len(days) for days in dates]),
    )


def _kept(columns: tuple[Covariate, ...], keep: Sequence[bool]) -> tuple[Covariate, ...]:
    return tuple(column for column, kept in zip(columns, keep, strict=True) if kept)
