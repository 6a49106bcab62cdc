"""A user's own forecaster behind the contract: its forecasts under its name, held to what was asked, and its state."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from s2squant.errors import CheckpointError, ConfigError
from s2squant.forecasters.plugins import Settings, make_own
from s2squant.series.arrays import Ints
from s2squant.series.forecast import Fitted, Forecast, Forecaster, State
from s2squant.series.panel import Panel

REMEDY = "write restore(state), which gives the fitted model that wrote the state"


@dataclass(frozen=True)
class OwnModel:
    """Fits a user's forecaster, and restores what it has fitted."""

    name: str
    inner: Forecaster

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedOwn:
        """Fit the forecaster; raises TypeError where it gives nothing that forecasts."""
        fitted = self.inner.fit(panel, rows, horizon=horizon, seed=seed)
        for method in ("predict", "state"):
            if not callable(getattr(fitted, method, None)):
                raise TypeError(f"fit gives {type(fitted).__name__}, which has no {method}")
        return FittedOwn(self.name, fitted, horizon)

    def restore(self, state: State) -> FittedOwn:
        """The fitted forecaster that wrote `state`; raises CheckpointError for another's, and for what it refuses."""
        if state.meta.get("name") != self.name:
            raise CheckpointError(f"this state belongs to {state.meta.get('name')!r}, not to {self.name}")
        inner: Any = self.inner
        if not can_restore(inner):
            raise CheckpointError(f"{self.name} cannot be read back: {REMEDY}")
        try:
            fitted = inner.restore(State(state.arrays, state.meta["own"]))
        except Exception as error:  # whatever a user's code raises
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.name} does not restore its state ({type(error).__name__}: {reason})"
            ) from None
        return FittedOwn(self.name, fitted, state.meta["horizon"])


@dataclass(frozen=True)
class FittedOwn:
    """A user's fitted forecaster."""

    name: str
    inner: Fitted
    horizon: int

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Its forecast; raises ValueError where that is about other rows or steps than asked, TypeError where none."""
        forecast = self.inner.predict(panel, rows)
        if not isinstance(forecast, Forecast):
            raise TypeError(f"predict gives {type(forecast).__name__}, not a Forecast")
        if not np.array_equal(forecast.rows, rows):
            raise ValueError("the forecast is about other rows than were asked for")
        if forecast.mean_NH.shape[1] != self.horizon:
            raise ValueError(f"the forecast has {forecast.mean_NH.shape[1]} steps, {self.horizon} were asked for")
        return replace(forecast, forecaster=self.name)

    def beyond(self, horizon: int) -> FittedOwn:
        """The same, forecasting so many steps; raises ValueError where the user's model has no method `beyond`."""
        longer = getattr(self.inner, "beyond", None)
        if not callable(longer):
            raise ValueError(
                f"{self.name} was fitted for {self.horizon} steps, not {horizon}, and has no beyond(horizon)"
            )
        return FittedOwn(self.name, longer(horizon), horizon)

    def state(self) -> State:
        """Its own state under its name; raises TypeError where that is no State of arrays and plain values."""
        own = self.inner.state()
        if not isinstance(own, State) or not all(isinstance(a, np.ndarray) for a in own.arrays.values()):
            raise TypeError("state gives no State of numpy arrays and plain values")
        plain = json.loads(json.dumps(dict(own.meta)))
        return State(own.arrays, {"name": self.name, "horizon": self.horizon, "own": plain})


def own_model(name: str, settings: Settings) -> OwnModel:
    """The user's forecaster of this name; raises ConfigError where it cannot be made."""
    return OwnModel(name, make_own(name, settings))


def can_restore(forecaster: object) -> bool:
    """Whether a user's forecaster can be read back from a stored state."""
    return callable(getattr(forecaster, "restore", None))


def check_storable(name: str, settings: Settings) -> None:
    """Raise ConfigError for a model that cannot be read back, where it has to be."""
    if not can_restore(make_own(name, settings)):
        raise ConfigError(f"{name}: a nightly and a saved estimator store their models; {REMEDY}")
