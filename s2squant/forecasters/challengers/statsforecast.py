"""Any model of statsforecast by its name, on daily log returns: fitted on a fold's past, carried forward from there.

A model that its library cannot carry forward (GARCH, averages) is fitted at every origin, on the returns up to it.
Marginal quantiles of each step's return are summed to those of the cumulative return, steps drawn independently.

Shape legend: N origins, H steps ahead, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2squant.errors import ConfigError, one_line
from s2squant.forecasters.baselines.returns import by_ticker
from s2squant.forecasters.baselines.sampling import ticker_seed
from s2squant.forecasters.challengers.extras import extra, say_licence
from s2squant.forecasters.challengers.lessons import Lessons, lessons_of, restored
from s2squant.forecasters.challengers.levels import summed
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.panel import Panel

NAME = "statsforecast"
BANDS = [5 * k for k in range(1, 20)]
"""Per cent that the bands hold, whose edges are our levels but the median."""


@dataclass(frozen=True)
class StatsForecast:
    """A model by its class's name, its settings, and how many returns it is fitted on."""

    model: str
    settings: Mapping[str, Any]
    window: int

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedStatsForecast:
        """Keep the last `window` returns of each ticker, and fit on them; nothing of the model is random."""
        return FittedStatsForecast(self, lessons_of(panel, rows, self.window, horizon=horizon, seed=seed))

    def restore(self, state: State) -> FittedStatsForecast:
        """The model that wrote `state`, fitted again on the returns in it; raises CheckpointError for another's."""
        return FittedStatsForecast(self, restored(state, self.model))

    def made(self) -> Any:
        """The unfitted model of the library."""
        return _class(self.model)(**self.settings)


@dataclass(frozen=True)
class FittedStatsForecast:
    """A model of statsforecast for each ticker, fitted when made from its training returns."""

    spec: StatsForecast
    lessons: Lessons
    name: str = NAME
    fitted: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        models = (self.spec.made() for _ in self.lessons.returns)
        fitted = (m.fit(lesson) if _forwards(m) else m for m, lesson in zip(models, self.lessons.returns, strict=True))
        object.__setattr__(self, "fitted", tuple(fitted))

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles and mean of the cumulative return."""
        quantiles_NHQ = np.empty((len(rows), self.lessons.horizon, len(LEVELS)))
        mean_NH = np.empty((len(rows), self.lessons.horizon))
        for origins in by_ticker(panel, rows, self.lessons.tickers, NAME):
            model, seed = self.fitted[origins.number], ticker_seed(self.lessons.seed, origins.ticker, NAME)
            told = [self._steps(model, origins.returns[max(b - self.spec.window, 0) : b]) for b in origins.bars]
            steps_NHQ, daily_NH = (np.stack(part) for part in zip(*told, strict=True))
            quantiles_NHQ[origins.where] = summed(steps_NHQ, seed)
            mean_NH[origins.where] = np.cumsum(daily_NH, axis=1)
        return Forecast(self.name, rows, quantiles_NHQ, mean_NH)

    def _steps(self, model: Any, returns: Floats) -> tuple[Floats, Floats]:
        """Quantiles (H, Q) and mean (H,) of the returns of the steps after these."""
        tell = model.forward if _forwards(model) else model.forecast
        told = tell(y=returns, h=self.lessons.horizon, level=BANDS)
        mean = np.asarray(told["mean"], np.float64)
        lower = [np.asarray(told[f"lo-{band}"], np.float64) for band in reversed(BANDS)]
        upper = [np.asarray(told[f"hi-{band}"], np.float64) for band in BANDS]
        return np.sort(np.stack([*lower, mean, *upper], axis=1), axis=1), mean

    def state(self) -> State:
        return self.lessons.state(self.spec.model)


def statsforecast(model: str, settings: Mapping[str, Any] | None = None, window: int = 1000) -> StatsForecast:
    """A model of statsforecast by the name of its class, as AutoETS or AutoARIMA, with its settings."""
    made = StatsForecast(model, dict(settings or {}), window)
    try:
        made.made()
    except TypeError as error:
        raise ConfigError(f"{NAME}: {model} does not take these settings ({one_line(str(error))})") from None
    if not 100 <= window <= 100_000:
        raise ConfigError(f"{NAME}: window is {window}; give 100 to 100000 bars")
    say_licence("statsforecast", None)
    return made


def _forwards(model: Any) -> bool:
    """Whether a model can be carried forward from its fit to later returns."""
    return callable(getattr(model, "forward", None))


def _class(name: str) -> Any:
    models = extra("statsforecast.models", NAME)
    if name not in models.__all__:
        raise ConfigError(f"{NAME}: has no model {name}; it has {', '.join(sorted(models.__all__))}")
    return vars(models)[name]
