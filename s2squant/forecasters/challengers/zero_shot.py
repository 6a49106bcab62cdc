"""Zero-shot models from local weights: quantiles of the log price, of every step at once, from a window of the past.

Fracast-0 ships its weights in its wheel; Chronos-2, TiRex and TimesFM take them from a folder. Nothing is learnt, and
nothing downloaded.

Shape legend: N origins, W bars of the window, H steps ahead, L levels of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from s2squant.errors import CheckpointError, ConfigError
from s2squant.forecasters.challengers.extras import extra, say_licence, weights_folder
from s2squant.forecasters.challengers.levels import on_our_levels
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import Forecast, State
from s2squant.series.panel import Panel

BATCH = 256
"""Windows that go through a model at once."""
TIREX_FILE = "model.ckpt"
FEWEST = 64
"""Bars without which nothing is forecast."""


@dataclass(frozen=True)
class ZeroShot:
    """A pretrained model by its name, and where its weights are; empty: in the library."""

    name: Literal["fracast", "chronos2", "tirex", "timesfm"]
    window: int
    weights: str

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> FittedZeroShot:  # noqa: ARG002
        """Nothing to learn: the weights are as they came."""
        return FittedZeroShot(self, horizon)

    def restore(self, state: State) -> FittedZeroShot:
        """The model that wrote `state`; raises CheckpointError for another's."""
        if state.meta.get("model") != self.name:
            raise CheckpointError(f"a stored {state.meta.get('model')!r} is not {self.name}")
        return FittedZeroShot(self, state.meta["horizon"])


@dataclass(frozen=True)
class FittedZeroShot:
    """A pretrained model for a horizon."""

    model: ZeroShot
    horizon: int

    @property
    def name(self) -> str:
        return self.model.name

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Quantiles of the log price less the last one; raises ValueError where a ticker has too few bars."""
        few = np.flatnonzero(panel.bar_number(rows) + 1 < FEWEST)
        if len(few):
            ticker = panel.tickers[panel.ticker_of[rows[few[0]]]]
            raise ValueError(f"{self.name} needs {FEWEST} bars of {ticker}")
        window_NW = _windows(panel, rows, self.model.window)
        parts: list[Floats] = [np.empty((0, self.horizon, 2))]
        levels: Sequence[float] = (0.25, 0.75)
        for first in range(0, len(rows), BATCH):
            quantiles, levels = _quantiles(self.model, window_NW[first : first + BATCH], self.horizon)
            parts = [*(parts if first else []), quantiles]
        moved_NHL = np.concatenate(parts) - panel.log_price[rows][:, None, None]
        quantiles_NHQ = on_our_levels(moved_NHL, levels)
        return Forecast(self.name, rows, quantiles_NHQ, quantiles_NHQ.mean(axis=2))

    def state(self) -> State:
        return State({}, {"model": self.model.name, "horizon": self.horizon})


def _windows(panel: Panel, rows: Ints, window: int) -> Floats:
    """The last log prices up to each row (N, W), NaN before a ticker's first bar."""
    index_NW = rows[:, None] - np.arange(window - 1, -1, -1)
    first_N = panel.starts[panel.ticker_of[rows]]
    known_NW = index_NW >= first_N[:, None]
    return np.where(known_NW, panel.log_price[np.where(known_NW, index_NW, 0)], np.nan)


def _quantiles(model: ZeroShot, window_NW: Floats, horizon: int) -> tuple[Floats, Sequence[float]]:
    """Quantiles (N, H, L) of the log price, and their levels."""
    match model.name:
        case "fracast":
            net = _fracast(model.weights)
            return np.asarray(net.forecast_batch(window_NW, horizon=horizon), np.float64), net.quantiles
        case "chronos2":
            import torch

            net = _chronos2(model.weights)
            levels = [round(float(level), 6) for level in net.quantiles]
            inputs = torch.from_numpy(window_NW.astype(np.float32))[:, None]
            each = net.predict(inputs, prediction_length=horizon)
            return np.stack([one[0].double().numpy().T for one in each]), levels
        case "tirex":
            net = _tirex(model.weights)
            told, _ = net.forecast(context=window_NW, prediction_length=horizon, output_type="numpy", batch_size=BATCH)
            return np.asarray(told, np.float64), net.config.quantiles
        case "timesfm":
            net = _timesfm(model.weights)
            options = extra("timesfm", "timesfm").ForecastConfig(
                max_context=model.window,
                max_horizon=horizon,
                normalize_inputs=True,
                per_core_batch_size=min(BATCH, len(window_NW)),
                use_continuous_quantile_head=True,
                infer_is_positive=False,
                fix_quantile_crossing=True,
            )
            net.compile(options)
            _, told = net.forecast(horizon, list(window_NW))
            return np.asarray(told[:, :, 1:], np.float64), net.model.config.quantiles


@lru_cache(maxsize=1)
def _fracast(weights: str) -> Any:
    return extra("fracast", "fracast").FracastModel.from_pretrained(Path(weights) if weights else None, weights="fp32")


@lru_cache(maxsize=1)
def _chronos2(weights: str) -> Any:
    return extra("chronos", "chronos2").Chronos2Pipeline.from_pretrained(
        weights, device_map="cpu", local_files_only=True, use_safetensors=True
    )


@lru_cache(maxsize=1)
def _tirex(weights: str) -> Any:
    model = extra("tirex.models.tirex", "tirex").TiRexZero
    with redirect_stdout(sys.stderr):  # it says that it loads
        net = model.from_pretrained(str(Path(weights) / TIREX_FILE), backend="torch", device="cpu")
    return net.eval()


@lru_cache(maxsize=1)
def _timesfm(weights: str) -> Any:
    net = extra("timesfm", "timesfm").TimesFM_2p5_200M_torch(torch_compile=False)
    net.model.device = "cpu"
    net.load_checkpoint(weights)
    return net


def fracast(window: int = 512, weights: str = "") -> ZeroShot:
    """Fracast-0 with the weights of its wheel, or of a folder."""
    extra("fracast", "fracast")
    _check_window(window)
    folder = weights_folder("fracast", weights, "config.json", "model.safetensors") if weights else None
    say_licence("fracast", folder)
    return ZeroShot("fracast", window, str(folder) if folder else "")


def chronos2(weights: str = "", window: int = 1024) -> ZeroShot:
    """Chronos-2 with the weights of a folder."""
    extra("chronos", "chronos2")
    _check_window(window)
    folder = weights_folder("chronos2", weights, "config.json", "model.safetensors")
    say_licence("chronos-forecasting", folder)
    return ZeroShot("chronos2", window, str(folder))


def tirex(weights: str = "", window: int = 2048) -> ZeroShot:
    """TiRex with the weights of a folder, a checkpoint of plain tensors: code in it is refused."""
    extra("tirex", "tirex")
    _check_window(window)
    folder = weights_folder("tirex", weights, TIREX_FILE)
    say_licence("tirex-ts", folder)
    return ZeroShot("tirex", window, str(folder))


def timesfm(weights: str = "", window: int = 1024) -> ZeroShot:
    """TimesFM 2.5 with the weights of a folder."""
    extra("timesfm", "timesfm")
    _check_window(window)
    folder = weights_folder("timesfm", weights, "model.safetensors")
    say_licence("timesfm", folder)
    return ZeroShot("timesfm", window, str(folder))


def _check_window(window: int) -> None:
    if not FEWEST <= window <= 8192:
        raise ConfigError(f"window is {window}; give {FEWEST} to 8192 bars")
