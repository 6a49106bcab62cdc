"""A fitted baseline as a record: its settings, tickers and learnt arrays, stored and restored alike for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import numpy as np

from s2squant.errors import CheckpointError
from s2squant.forecasters.baselines.returns import Origins, by_ticker
from s2squant.forecasters.baselines.sampling import ticker_seed
from s2squant.forecasters.intraday_profile import Profiles
from s2squant.series.arrays import Floats, Ints, frozen_array
from s2squant.series.forecast import State
from s2squant.series.panel import Panel

Spec = TypeVar("Spec")


@dataclass(frozen=True)
class FittedBaseline(Generic[Spec]):
    """Settings, tickers and learnt arrays of a baseline fitted per ticker; each adds its own `predict`."""

    spec: Spec
    name: str
    tickers: tuple[str, ...]
    horizon: int
    seed: int | None = None
    """None where nothing is drawn."""
    arrays: Mapping[str, Floats] = field(default_factory=dict)
    """Learnt arrays by name, tickers along the first axis."""
    fallback: tuple[str, ...] | None = None
    """Tickers whose likelihood could not be maximised; None for a model without one."""
    covariates: tuple[str, ...] = ()
    """Names of the covariates that it was fitted with."""
    profiles: Profiles | None = None
    """Of returns within the day; None for bars of a day or longer."""

    def __post_init__(self) -> None:
        frozen = {name: frozen_array(values, np.float64) for name, values in self.arrays.items()}
        object.__setattr__(self, "arrays", frozen)

    @property
    def learnt(self) -> Floats:
        """Coefficients (M, P), a row a ticker."""
        return self.arrays["learnt"]

    def seed_of(self, ticker: str) -> int:
        """The seed of one ticker's draws."""
        assert self.seed is not None
        return ticker_seed(self.seed, ticker, self.name)

    def origins(self, panel: Panel, rows: Ints) -> Iterator[Origins]:
        """The origins ticker by ticker, their returns over the daily profile where there is one."""
        sd_R = None if self.profiles is None else self.profiles.sd(panel)
        for origins in by_ticker(panel, rows, self.tickers, self.name):
            if self.profiles is None or sd_R is None:
                yield origins
                continue
            ahead_NH = self.profiles.ahead(panel, rows[origins.where], self.horizon)
            sd_T = sd_R[panel.rows_of(origins.ticker)[1:]]
            yield origins._replace(returns=origins.returns / sd_T, ahead=ahead_NH, sd=sd_T)

    def state(self) -> State:
        meta: dict[str, object] = {"name": self.name, "tickers": list(self.tickers), "horizon": self.horizon}
        if self.seed is not None:
            meta["seed"] = self.seed
        if self.fallback is not None:
            meta["fallback"] = list(self.fallback)
        if self.covariates:
            meta["covariates"] = list(self.covariates)
        if self.profiles is None:
            return State(self.arrays, meta)
        profiles = self.profiles.state()
        return State({**self.arrays, **profiles.arrays}, {**meta, **profiles.meta})

    @classmethod
    def restored(cls, spec: Spec, state: State, name: str) -> Self:
        """The fitted forecaster that wrote `state`; raises CheckpointError for another model's."""
        check_state(state, name)
        meta = state.meta
        fallback = tuple(meta["fallback"]) if "fallback" in meta else None
        covariates = tuple(meta.get("covariates", ()))
        arrays = {key: values for key, values in state.arrays.items() if not key.startswith("profile/")}
        return cls(
            spec,
            name,
            tuple(meta["tickers"]),
            meta["horizon"],
            meta.get("seed"),
            arrays,
            fallback,
            covariates,
            Profiles.restored(state),
        )


def check_state(state: State, name: str) -> None:
    """Raise CheckpointError unless the state was written by the model named."""
    if state.meta.get("name") != name:
        raise CheckpointError(f"this state belongs to {state.meta.get('name')!r}, not to {name}")
