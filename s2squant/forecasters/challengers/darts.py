"""Any model of darts that gives a distribution, by its name, on daily log returns: its sample paths, summed.

One that forecasts any series is fitted on a fold's past and shown the returns up to each origin; one that forecasts
only what it was fitted on is fitted at every origin.

Shape legend: N origins, H steps ahead, S sample paths, Q quantile levels.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2squant.errors import ConfigError, one_line
from s2squant.forecasters.baselines.returns import by_ticker
from s2squant.forecasters.baselines.sampling import ticker_seed
from s2squant.forecasters.challengers.extras import extra, say_licence
from s2squant.forecasters.challengers.lessons import Lessons, lessons_of, restored
from s2squant.forecasters.challengers.lightning import QUIET, quietly
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.panel import Panel

NAME = "darts"


@dataclass(frozen=True)
class Darts:
    """A model by its class's name, its settings, how many returns it is fitted on, and paths an origin."""

    model: str
    settings: Mapping[str, Any]
    window: int
    paths: int

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedDarts:
        """Keep the last `window` returns of each ticker, and fit on them."""
        return FittedDarts(self, lessons_of(panel, rows, self.window, horizon=horizon, seed=seed))

    def restore(self, state: State) -> FittedDarts:
        """The model that wrote `state`, fitted again on the returns in it; raises CheckpointError for another's."""
        return FittedDarts(self, restored(state, self.model))

    def made(self, seed: int = 0) -> Any:
        """The unfitted model of the library."""
        make, given = _class(self.model), dict(self.settings)
        if any(base.__name__ == "TorchForecastingModel" for base in make.__mro__):
            given = {"pl_trainer_kwargs": QUIET, **given}
            if isinstance(likelihood := given.get("likelihood"), str):
                given["likelihood"] = _likelihood(likelihood)
        if "random_state" in inspect.signature(make.__init__).parameters or "pl_trainer_kwargs" in given:
            given = {"random_state": seed % 2**32, **given}
        with quietly():
            return make(**given)


@dataclass(frozen=True)
class FittedDarts:
    """A model of darts for each ticker, fitted when made from its training returns."""

    spec: Darts
    lessons: Lessons
    name: str = NAME
    fitted: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        seeds = [ticker_seed(self.lessons.seed, ticker, NAME) for ticker in self.lessons.tickers]
        models = tuple(self.spec.made(seed) for seed in seeds)
        with quietly():
            for model, lesson in zip(models, self.lessons.returns, strict=True):
                if _forwards(model):
                    model.fit(_series(lesson / _scale(lesson)))
        object.__setattr__(self, "fitted", models)

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles and mean of the cumulative return."""
        quantiles_NHQ = np.empty((len(rows), self.lessons.horizon, len(LEVELS)))
        mean_NH = np.empty((len(rows), self.lessons.horizon))
        for origins in by_ticker(panel, rows, self.lessons.tickers, NAME):
            model, seed = self.fitted[origins.number], ticker_seed(self.lessons.seed, origins.ticker, NAME)
            scale = _scale(self.lessons.returns[origins.number])
            for place, bar in zip(origins.where, origins.bars, strict=True):
                past = origins.returns[max(bar - self.spec.window, 0) : bar]
                paths_SH = scale * self._paths(model, past / scale, seed)
                quantiles_NHQ[place] = np.quantile(paths_SH, LEVELS, axis=0).T
                mean_NH[place] = paths_SH.mean(axis=0)
        return Forecast(self.name, rows, quantiles_NHQ, mean_NH)

    def _paths(self, model: Any, returns: Floats, seed: int) -> Floats:
        """Cumulative returns (S, H) after these, the same draws at every origin."""
        given = {"n": self.lessons.horizon, "num_samples": self.spec.paths}
        with quietly(seed % 2**32):
            if _forwards(model):
                given["series"] = _series(returns)
            else:
                model = self.spec.made(seed).fit(_series(returns))
            if "random_state" in inspect.signature(model.predict).parameters:
                given["random_state"] = seed % 2**32
            told = model.predict(**given)
        steps_HS = np.asarray(told.all_values()[:, 0], np.float64)
        return np.cumsum(steps_HS, axis=0).T

    def state(self) -> State:
        return self.lessons.state(self.spec.model)


def darts(model: str, settings: Mapping[str, Any] | None = None, window: int = 1000, paths: int = 500) -> Darts:
    """A model of darts by the name of its class, as LinearRegressionModel or TSMixerModel, with its settings.

    A network takes the name of a class of `darts.utils.likelihood_models` as its likelihood.
    """
    made = Darts(model, dict(settings or {}), window, paths)
    if not 100 <= window <= 100_000 or not 100 <= paths <= 100_000:
        raise ConfigError(f"{NAME}: window is {window} and paths are {paths}; give 100 to 100000 of each")
    try:
        one = made.made()
    except ConfigError:
        raise
    except Exception as error:  # whatever its library finds wrong with a setting
        raise ConfigError(f"{NAME}: {model} does not take these settings ({one_line(str(error))[:200]})") from None
    if not one.supports_probabilistic_prediction:
        raise ConfigError(f"{NAME}: {model} gives no distribution so; set a likelihood in settings, as 'quantile'")
    say_licence("darts", None)
    return made


def _scale(returns: Floats) -> float:
    """The standard deviation of the returns that a model is fitted on: networks expect numbers of size one."""
    return float(returns.std()) or 1.0


def _series(returns: Floats) -> Any:
    return extra("darts", NAME).TimeSeries.from_values(returns)


def _forwards(model: Any) -> bool:
    """Whether a model forecasts other series than the one that it was fitted on."""
    return "series" in inspect.signature(model.predict).parameters


def _class(name: str) -> Any:
    models = extra("darts.models", NAME)
    known = [one for one in models.__all__ if not one.endswith("Filter")]
    if name not in known:
        raise ConfigError(f"{NAME}: has no model {name}; it has {', '.join(sorted(known))}")
    made = getattr(models, name)  # its modules are read when they are asked for
    if not isinstance(made, type):
        raise ConfigError(f"{NAME}: {name} needs a package that is not installed")
    if any(base.__name__ == "FoundationModel" for base in made.__mro__):
        raise ConfigError(f"{NAME}: {name} downloads weights; use chronos2, tirex or timesfm with a folder of them")
    return made


def _likelihood(name: str) -> Any:
    known = extra("darts.utils.likelihood_models", NAME)
    if name not in known.__all__:
        raise ConfigError(f"{NAME}: has no likelihood {name}; it has {', '.join(sorted(known.__all__))}")
    return getattr(known, name)()
