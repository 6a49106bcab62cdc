"""Return windows of a panel: which are unusual (autoencoder), and new ones like them (variational autoencoder).

A window's returns are in units of the ticker's deviation as known before it: an EWMA of squared returns, not less than
`FLOOR` of the expanding one. So a quiet currency and a lively stock share one net, and scenarios start from today's.

Shape legend: R rows of a panel, N windows, L returns of a window, F values of a step, S paths, E error measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from s2squant.config.relatives import AutoencoderSpec, LatentSpec, VariationalSpec
from s2squant.errors import CheckpointError
from s2squant.forecasters.features import ewma
from s2squant.nets.latent import SequenceAutoencoder, VariationalAutoencoder, fit_latent
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import State
from s2squant.series.panel import Panel

Net = TypeVar("Net", bound=nn.Module)
SPEED = 0.06
FLOOR = 0.3
SMALLEST = 0.02
"""Sizes below this are one size to the autoencoder: quotes are rounded, and zero has no logarithm."""
MEASURES = ("typical error of the returns", "largest error of the returns", "typical error of their sizes")


@dataclass(frozen=True)
class ReturnWindows:
    """Windows of daily log returns: `returns_NL` in units `unit_N`, the first return being that of bar `rows_N` + 1."""

    rows_N: Ints
    unit_N: Floats
    returns_NL: Floats


def known_units(panel: Panel) -> Floats:
    """Each ticker's standard deviation of a daily log return as known at every row (R,); NaN at a ticker's first."""
    unit_R = np.full(len(panel.log_price), np.nan)
    for m, (a, b) in enumerate(zip(panel.starts[:-1], panel.starts[1:], strict=True)):
        square = panel.histories[m].log_returns ** 2
        expanding = np.cumsum(square) / np.arange(1, len(square) + 1)
        unit_R[a + 1 : b] = np.sqrt(np.maximum(ewma(square, SPEED), FLOOR**2 * expanding))
    return unit_R


def return_windows(panel: Panel, rows: Ints, length: int) -> ReturnWindows:
    """The `length` returns after each of `rows`; raises ValueError where a ticker has too few bars or never moved."""
    if (panel.bars_left(rows) < length).any():
        raise ValueError(f"a window of {length} returns goes beyond its ticker's last bar")
    unit_N = known_units(panel)[rows]
    if not (unit_N > 0).all():
        raise ValueError("no deviation is known at a ticker's first bar, nor where its price has never moved")
    price_NL = panel.log_price[rows[:, None] + np.arange(length + 1)]
    return ReturnWindows(rows, unit_N, np.diff(price_NL, axis=1) / unit_N[:, None])


def described(returns_NL: Floats) -> Tensor:
    """Inputs of the autoencoder from scaled returns (N, L, 2): sign and log(1 + size), and log size."""
    size = np.abs(returns_NL)
    values = [np.sign(returns_NL) * np.log1p(size), 0.5 * np.log(np.maximum(size, SMALLEST))]
    return torch.from_numpy(np.stack(values, axis=2).astype(np.float32))


@dataclass(frozen=True)
class FittedWatch:
    """An autoencoder that scores how unusual a window is by its reconstruction error.

    The error is measured in three ways (`MEASURES`), each as a log, centred and scaled by the median and the median
    absolute deviation of the training windows'; the score is the largest of the three.
    """

    net: SequenceAutoencoder
    centre_E: Floats
    spread_E: Floats
    losses: tuple[float, ...] = ()

    def reconstruct(self, returns_NL: Floats) -> Floats:
        """Reconstruction of windows (N, L, 2), in the terms of `described`."""
        made_NLF: Floats = _reconstructed(self.net, described(returns_NL)).numpy()
        return made_NLF

    def measures(self, returns_NL: Floats) -> Floats:
        """The three standardised errors (N, E) of windows in units."""
        return (_errors(self.net, returns_NL) - self.centre_E) / self.spread_E

    def score(self, returns_NL: Floats) -> Floats:
        """Anomaly score of each window (N,); about 1 for a usual one."""
        largest: Floats = self.measures(returns_NL).max(axis=1)
        return largest

    def state(self) -> State:
        arrays = {"centre": self.centre_E, "spread": self.spread_E}
        return _state("autoencoder", self.net, self.net.spec, self.net.length, arrays)


def fit_watch(windows: ReturnWindows, spec: AutoencoderSpec, *, seed: int) -> FittedWatch:
    """Learn what windows usually look like; the windows' length is kept."""
    x_NLF = described(windows.returns_NL)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SequenceAutoencoder(spec, length=x_NLF.shape[1], values=x_NLF.shape[2])
    losses = fit_latent(net, lambda _, draw: _some(x_NLF, spec.batch, draw), seed=seed)
    errors_NE = _errors(net, windows.returns_NL)
    centre_E = np.median(errors_NE, axis=0)
    spread_E = 1.4826 * np.median(np.abs(errors_NE - centre_E), axis=0)
    return FittedWatch(net, centre_E, spread_E, tuple(losses))


@dataclass(frozen=True)
class FittedScenarios:
    """A variational autoencoder that draws paths of returns like those of the windows it was fitted on."""

    net: VariationalAutoencoder
    losses: tuple[float, ...] = ()

    def draw(self, paths: int, *, seed: int) -> Floats:
        """Daily log returns (S, L) in units."""
        returns_SL: Floats = self.net.generate(paths, torch.Generator().manual_seed(seed)).numpy().astype(np.float64)
        return returns_SL

    def simulate(self, panel: Panel, rows: Ints, *, paths: int, seed: int) -> Floats:
        """Paths (N, S, L) of the cumulative log return after each of `rows`, in today's deviation of its ticker."""
        unit_N = known_units(panel)[rows]
        drawn_NSL = self.draw(len(rows) * paths, seed=seed).reshape(len(rows), paths, self.net.length)
        cumulative: Floats = np.cumsum(drawn_NSL * unit_N[:, None, None], axis=2)
        return cumulative

    def divergence(self, returns_NL: Floats) -> Floats:
        """KL (N, C) of each window's code from the prior, in nats: how much the code says of the window."""
        with torch.no_grad():
            kl: Floats = self.net.posterior(torch.from_numpy(returns_NL.astype(np.float32))).divergence().numpy()
        return kl

    def state(self) -> State:
        return _state("variational", self.net, self.net.spec, self.net.length, {})


def fit_scenarios(windows: ReturnWindows, spec: VariationalSpec, *, seed: int) -> FittedScenarios:
    """Learn to draw windows; the windows' length is kept."""
    x_NL = torch.from_numpy(windows.returns_NL.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = VariationalAutoencoder(spec, length=x_NL.shape[1])
    losses = fit_latent(net, lambda _, draw: _some(x_NL, spec.batch, draw)[..., None], seed=seed)
    return FittedScenarios(net, tuple(losses))


def restore_latent(state: State) -> FittedWatch | FittedScenarios:
    """Rebuild either from its stored state; raises CheckpointError when the parts do not fit together."""
    kind, meta = state.meta.get("kind"), state.meta
    try:
        if kind == "autoencoder":
            watch = SequenceAutoencoder(AutoencoderSpec.model_validate(meta["spec"]), length=meta["length"], values=2)
            return FittedWatch(_loaded(watch, state), state.arrays["centre"], state.arrays["spread"])
        if kind == "variational":
            drawer = VariationalAutoencoder(VariationalSpec.model_validate(meta["spec"]), length=meta["length"])
            return FittedScenarios(_loaded(drawer, state))
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"stored weights do not fit their specification: {error}") from None
    raise CheckpointError(f"a stored {kind!r} is neither an autoencoder nor a variational one")


def _loaded(net: Net, state: State) -> Net:
    weights = {n.removeprefix("net/"): torch.tensor(v) for n, v in state.arrays.items() if n.startswith("net/")}
    net.load_state_dict(weights)
    return net.eval()


def _state(kind: str, net: nn.Module, spec: LatentSpec, length: int, arrays: Mapping[str, Floats]) -> State:
    weights: dict[str, Any] = {f"net/{name}": value.numpy() for name, value in net.state_dict().items()}
    return State({**weights, **arrays}, {"kind": kind, "spec": spec.model_dump(mode="json"), "length": length})


def error_measures(missed_NLF: Floats) -> Floats:
    """The logs of the three measures (N, E) of what a reconstruction missed."""
    values, sizes = np.abs(missed_NLF[..., 0]), missed_NLF[..., 1]
    measures = [np.sqrt(np.mean(values**2, axis=1)), values.max(axis=1), np.sqrt(np.mean(sizes**2, axis=1))]
    logs: Floats = np.log(np.stack(measures, axis=1)).astype(np.float64)
    return logs


def _errors(net: SequenceAutoencoder, returns_NL: Floats) -> Floats:
    x_NLF = described(returns_NL)
    return error_measures((_reconstructed(net, x_NLF) - x_NLF).numpy())


def _reconstructed(net: SequenceAutoencoder, x_NLF: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([net(part) for part in torch.split(x_NLF, 4096)])


def _some(x: Tensor, batch: int, draw: torch.Generator) -> Tensor:
    return x[torch.randint(len(x), (batch,), generator=draw)]
