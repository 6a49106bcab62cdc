"""A forecast on fixed quantile levels, its CRPS, and the contract of every forecaster (fit, predict).

Shape legend: N origins, H steps ahead, Q quantile levels.
Unit of record: cumulative log return from the cutoff, log P[t+h] - log P[t], on the adjusted close.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from s2squant.series.arrays import Floats, Ints
from s2squant.series.panel import Panel


def quantile_crps(y: Floats, quantiles: Floats) -> Floats:
    """CRPS of quantile forecasts in the units of `y`: twice the mean pinball loss over LEVELS.

    `y` (...) and `quantiles` (..., Q) on records.LEVELS give (...). A finite grid is not the exact CRPS (39 levels:
    2.4 % above it for a standard normal), so only values on the same grid compare. Laio and Tamea 2007.
    """
    if quantiles.shape != (*np.shape(y), len(LEVELS)):
        raise ValueError(f"quantiles {quantiles.shape} for outcomes {np.shape(y)} and {len(LEVELS)} levels")
    return _crps(np.asarray(y, np.float64), (quantiles[..., k] for k in range(len(LEVELS))))


def _crps(y: Floats, columns: Iterable[NDArray[Any]]) -> Floats:
    """Twice the mean pinball loss, one quantile column at a time: no second copy of the quantiles in float64."""
    total = np.zeros(np.shape(y))
    for level, q in zip(LEVELS, columns, strict=True):
        miss = y - q
        total += np.maximum(level * miss, (level - 1.0) * miss)
    return 2.0 * total / len(LEVELS)


SUFFIX = "+aci"


LEVELS: Floats = np.arange(1, 40) / 40.0
"""The quantile levels of every forecast, 0.025 .. 0.975 by 0.025."""


QUANTILE_COLUMNS: tuple[str, ...] = tuple(f"q{level:.3f}" for level in LEVELS)
"""Their column names in a forecast table, q0.025 .. q0.975."""


@dataclass(frozen=True)
class Forecast:
    """Quantiles of the cumulative log return at every step, for N origins of one forecaster.

    `rows` (N,) are rows of the panel the forecast was made on, `quantiles_NHQ` is ordered and finite.
    """

    forecaster: str
    rows: Ints
    quantiles_NHQ: Floats
    mean_NH: Floats
    paths_NSH: Floats | None = None
    attention_NHL: Floats | None = None

    def __post_init__(self) -> None:
        q = self.quantiles_NHQ
        if q.ndim != 3 or q.shape[0] != len(self.rows) or q.shape[2] != len(LEVELS):
            raise ValueError(
                f"{self.forecaster}: quantiles {q.shape} for {len(self.rows)} origins, {len(LEVELS)} levels"
            )
        if self.mean_NH.shape != q.shape[:2]:
            raise ValueError(f"{self.forecaster}: mean {self.mean_NH.shape} beside quantiles {q.shape}")
        if not (np.isfinite(q).all() and np.isfinite(self.mean_NH).all()):
            raise ValueError(f"{self.forecaster}: a forecast is not finite")
        if (np.diff(q, axis=2) < 0).any():
            raise ValueError(f"{self.forecaster}: quantiles cross")


@dataclass(frozen=True)
class State:
    """What a fitted forecaster has learned: arrays for safetensors, plain values for JSON."""

    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]


class Fitted(Protocol):
    """A forecaster that has learned; it forecasts any row and remembers nothing between calls."""

    @property
    def name(self) -> str: ...

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Forecast from `rows`, reading no bar after each; a row's forecast does not depend on the other rows."""
        ...

    def state(self) -> State: ...


class Forecaster(Protocol):
    """The contract of every model, baseline or network."""

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> Fitted:
        """Learn from a panel that ends at the fit date; `rows` are the training origins, labels inside the panel."""
        ...
