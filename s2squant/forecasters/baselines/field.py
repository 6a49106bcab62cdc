"""The field: the equal-weight average of the baselines' quantiles.

Shape legend: N origins, H steps ahead, Q quantile levels.
Source: Vincent averaging; Lichtendahl, Grushka-Cockayne and Winkler, Management Science 59 (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from s2squant.errors import CheckpointError
from s2squant.forecasters.baselines.fitted import check_state
from s2squant.series.arrays import Ints
from s2squant.series.forecast import Fitted, Forecast, State, Storable
from s2squant.series.panel import Panel
from s2squant.series.tails import exponential_tails

NAME = "field"


@dataclass(frozen=True)
class Field:
    """The average of its members, each fitted by its own rule."""

    members: Mapping[str, Storable]

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedField:
        """Fit every member."""
        return FittedField(
            tuple(member.fit(panel, rows, horizon=horizon, seed=seed) for member in self.members.values())
        )

    def restore(self, state: State) -> FittedField:
        """The fitted forecaster that wrote `state`, whose members are among these."""
        check_state(state, NAME)
        stored = {
            name: State(
                {k.removeprefix(f"{name}/"): v for k, v in state.arrays.items() if k.startswith(f"{name}/")}, meta
            )
            for name, meta in state.meta["members"].items()
        }
        if strangers := stored.keys() - self.members.keys():
            raise CheckpointError(f"this state averages {min(strangers)}, which is no member of the field")
        return FittedField(tuple(self.members[name].restore(stored[name]) for name in self.members if name in stored))


@dataclass(frozen=True)
class FittedField:
    """The average of fitted members."""

    members: tuple[Fitted, ...]

    @property
    def name(self) -> str:
        return NAME

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles and means, each the plain average over the members."""
        return average([member.predict(panel, rows) for member in self.members])

    def state(self) -> State:
        states = {member.name: member.state() for member in self.members}
        return State(
            arrays={f"{name}/{key}": value for name, state in states.items() for key, value in state.arrays.items()},
            meta={"name": NAME, "members": {name: dict(state.meta) for name, state in states.items()}},
        )


def average(forecasts: Sequence[Forecast]) -> Forecast:
    """The equal-weight average of forecasts of the same origins."""
    rows = forecasts[0].rows
    if any(not np.array_equal(f.rows, rows) for f in forecasts):
        raise ValueError("the members of the field forecast different origins; they cannot be averaged")
    quantiles_NHQ = sum((f.quantiles_NHQ for f in forecasts[1:]), forecasts[0].quantiles_NHQ) / len(forecasts)
    mean_NH = sum((f.mean_NH for f in forecasts[1:]), forecasts[0].mean_NH) / len(forecasts)
    tails = [f.tails_NHT for f in forecasts]
    known = [exponential_tails(f.quantiles_NHQ) if t is None else t for f, t in zip(forecasts, tails, strict=True)]
    return Forecast(NAME, rows, quantiles_NHQ, mean_NH, tails_NHT=sum(known[1:], known[0]) / len(known))
