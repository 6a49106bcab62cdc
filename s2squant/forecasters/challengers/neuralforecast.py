"""Any model of neuralforecast by its name, on daily log returns: trained on a fold's past, one net a ticker.

Its quantiles of each step's return are summed to those of the cumulative return, steps drawn independently.

Shape legend: N origins, H steps ahead, W returns of the input, Q quantile levels.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from s2squant.errors import CheckpointError, ConfigError, one_line
from s2squant.forecasters.baselines.returns import by_ticker
from s2squant.forecasters.baselines.sampling import ticker_seed
from s2squant.forecasters.challengers.extras import extra, say_licence
from s2squant.forecasters.challengers.lessons import about, lessons_of, told
from s2squant.forecasters.challengers.levels import summed
from s2squant.forecasters.challengers.lightning import QUIET, quietly
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import LEVELS, Forecast, State
from s2squant.series.panel import Panel

NAME = "neuralforecast"
BATCH = 32
OURS = ("h", "batch_size", "loss", "valid_loss", "random_seed", "alias")
"""Settings that are not the user's to give."""


@dataclass(frozen=True)
class NeuralForecast:
    """A model by its class's name, its settings, and how many returns it reads and is trained on."""

    model: str
    settings: Mapping[str, Any]
    input_size: int
    window: int

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedNeuralForecast:
        """Train a net on the last `window` returns of each ticker."""
        lessons, nets = lessons_of(panel, rows, self.window, horizon=horizon, seed=seed), []
        for ticker, returns in zip(lessons.tickers, lessons.returns, strict=True):
            net = self.made(horizon, ticker_seed(seed, ticker, NAME))
            with quietly():
                net.fit(dataset=_dataset(returns[None]), val_size=0)
            nets.append(net)
        return FittedNeuralForecast(self, horizon, seed, lessons.tickers, tuple(nets))

    def restore(self, state: State) -> FittedNeuralForecast:
        """The model that wrote `state`; raises CheckpointError for another's."""
        import torch

        (horizon, seed, tickers), nets = told(state, self.model), []
        for m, ticker in enumerate(tickers):
            net = self.made(horizon, ticker_seed(seed, ticker, NAME))
            arrays = {k.partition("/")[2]: a for k, a in state.arrays.items() if k.startswith(f"{m}/")}
            try:
                net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
            except RuntimeError as error:
                raise CheckpointError(f"{NAME}: weights of another form ({one_line(str(error))[:120]})") from None
            nets.append(net)
        return FittedNeuralForecast(self, horizon, seed, tickers, tuple(nets))

    def made(self, horizon: int, seed: int = 0) -> Any:
        """The untrained net of the library, with our quantile levels."""
        loss = extra("neuralforecast.losses.pytorch", NAME).MQLoss(quantiles=LEVELS.tolist())
        given = {"scaler_type": "standard", "max_steps": 200, **self.settings, **QUIET, "batch_size": BATCH}
        with quietly():
            return _class(self.model)(
                h=horizon, input_size=self.input_size, loss=loss, random_seed=seed % 2**32, **given
            )


@dataclass(frozen=True)
class FittedNeuralForecast:
    """A trained net for each ticker."""

    spec: NeuralForecast
    horizon: int
    seed: int
    tickers: tuple[str, ...]
    nets: tuple[Any, ...]
    name: str = NAME

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles and mean of the cumulative return; raises ValueError where a ticker has too few bars."""
        quantiles_NHQ = np.empty((len(rows), self.horizon, len(LEVELS)))
        size = self.spec.input_size
        for origins in by_ticker(panel, rows, self.tickers, NAME):
            if origins.bars.min() < size:
                raise ValueError(f"{NAME} needs {size + 1} bars of {origins.ticker}")
            past_NW = origins.returns[origins.bars[:, None] - np.arange(size, 0, -1)]
            with quietly():
                given = self.nets[origins.number].predict(dataset=_dataset(_whole_batches(past_NW)))
            steps_NHQ = np.asarray(given, np.float64).reshape(-1, self.horizon, len(LEVELS))[: len(past_NW)]
            steps_NHQ = np.sort(steps_NHQ, axis=2)
            seed = ticker_seed(self.seed, origins.ticker, NAME)
            quantiles_NHQ[origins.where] = summed(steps_NHQ, seed)
        return Forecast(self.name, rows, quantiles_NHQ, quantiles_NHQ.mean(axis=2))

    def state(self) -> State:
        weights = [net.state_dict() for net in self.nets]
        arrays = {f"{m}/{name}": tensor.numpy() for m, each in enumerate(weights) for name, tensor in each.items()}
        return State(arrays, about(self.spec.model, self.horizon, self.seed, self.tickers))


def neuralforecast(
    model: str, settings: Mapping[str, Any] | None = None, input_size: int = 40, window: int = 2500
) -> NeuralForecast:
    """A model of neuralforecast by the name of its class, as NHITS or LSTM, with its settings."""
    given = dict(settings or {})
    if taken := [name for name in given if name in OURS]:
        raise ConfigError(f"{NAME}: {taken[0]} is not to be set; horizon, quantiles and seed are the experiment's")
    if not 2 <= input_size < window <= 100_000:
        raise ConfigError(f"{NAME}: input_size is {input_size}; give 2 bars or more, fewer than window ({window})")
    made = NeuralForecast(model, given, input_size, window)
    trainer = extra("pytorch_lightning", NAME).Trainer
    known = {name for taker in (_class(model), trainer) for name in inspect.signature(taker.__init__).parameters}
    if strange := [name for name in given if name not in known]:
        raise ConfigError(f"{NAME}: {model} takes no {strange[0]}; it takes {', '.join(sorted(known - set(OURS)))}")
    try:
        made.made(2)
    except ConfigError:
        raise
    except Exception as error:  # whatever its library finds wrong with a setting
        raise ConfigError(f"{NAME}: {model} does not take these settings ({one_line(str(error))[:200]})") from None
    say_licence("neuralforecast", None)
    return made


def _dataset(returns_NT: Floats) -> Any:
    """A data set of the library: N series of T returns."""
    count, length = returns_NT.shape
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(count), length),
            "ds": np.tile(np.arange(length), count),
            "y": returns_NT.ravel().astype(np.float32),
        }
    )
    return extra("neuralforecast.tsdataset", NAME).TimeSeriesDataset.from_df(frame)[0]


def _whole_batches(past_NW: Floats) -> Floats:
    """The windows, the last one again until batches are whole: sums come out by the size of a batch."""
    lacking = -len(past_NW) % BATCH
    return np.concatenate([past_NW, np.repeat(past_NW[-1:], lacking, axis=0)])


def _class(name: str) -> Any:
    models = extra("neuralforecast.models", NAME)
    if name not in models.__all__:
        raise ConfigError(f"{NAME}: has no model {name}; it has {', '.join(sorted(models.__all__))}")
    return vars(models)[name]
