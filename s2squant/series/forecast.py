"""A forecast on fixed quantile levels, its CRPS, and the contract of every forecaster (fit, predict).

Shape legend: N origins, H steps ahead, Q quantile levels (the even grid), T tail levels, A all levels.
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
from s2squant.series.tails import LEVELS, QUANTILE_COLUMNS, TAIL_LEVELS, exponential_tails, put_together, taken_apart

__all__ = [
    "LEVELS", "QUANTILE_COLUMNS", "Fitted", "Forecast", "Forecaster", "State", "Storable", "column_crps",
    "quantile_crps",
]  # fmt: skip


def quantile_crps(y: Floats, quantiles: Floats) -> Floats:
    """CRPS of quantile forecasts in the units of `y`: twice the mean pinball loss over LEVELS.

    `y` (...) and `quantiles` (..., Q) on LEVELS give (...). A finite grid is not the exact CRPS (39 levels:
    2.4 % above it for a standard normal), so only values on the same grid compare. Laio and Tamea 2007.
    """
    if quantiles.shape != (*np.shape(y), len(LEVELS)):
        raise ValueError(f"quantiles {quantiles.shape} for outcomes {np.shape(y)} and {len(LEVELS)} levels")
    return column_crps(np.asarray(y, np.float64), (quantiles[..., k] for k in range(len(LEVELS))))


def column_crps(y: Floats, columns: Iterable[NDArray[Any]]) -> Floats:
    """CRPS as `quantile_crps`, from one column a level: no second copy of the quantiles in float64."""
    total = np.zeros(np.shape(y))
    for level, q in zip(LEVELS, columns, strict=True):
        miss = y - q
        total += np.maximum(level * miss, (level - 1.0) * miss)
    return 2.0 * total / len(LEVELS)


@dataclass(frozen=True)
class Forecast:
    """Quantiles and mean of the cumulative log return at every step, for N origins of one forecaster.

    Parameters
    ----------
    forecaster : str
        The model's name.
    rows : (N,) int
        The origins, as rows of the panel.
    quantiles_NHQ : (N, H, Q) float
        At LEVELS, ordered and finite.
    mean_NH : (N, H) float
        The mean, finite.
    paths_NSH : (N, S, H) float, optional
        Sample paths.
    attention_NHL : (N, H, L) float, optional
        Weights on the last L bars.
    tails_NHT : (N, H, T) float, optional
        Quantiles at TAIL_LEVELS; an exponential law through the two outermost quantiles where a model says none.
    trained_steps : int, optional
        The steps that the model was trained on, where they are fewer than H: beyond, its decoder runs free.

    Raises
    ------
    ValueError
        Shapes do not agree, a value is not finite, or quantiles cross.

    Examples
    --------
    >>> flat = Forecast("flat", np.array([7]), np.zeros((1, 5, len(LEVELS))), np.zeros((1, 5)))
    >>> Forecast("falling", flat.rows, flat.quantiles_NHQ - LEVELS, flat.mean_NH)
    Traceback (most recent call last):
    ValueError: falling: quantiles cross
    """

    forecaster: str
    rows: Ints
    quantiles_NHQ: Floats
    mean_NH: Floats
    paths_NSH: Floats | None = None
    attention_NHL: Floats | None = None
    tails_NHT: Floats | None = None
    trained_steps: int | None = None

    @classmethod
    def of_levels(
        cls, forecaster: str, rows: Ints, levels_NHA: Floats, mean_NH: Floats, paths_NSH: Floats | None = None
    ) -> Forecast:
        """A forecast from its quantiles at ALL_LEVELS, the tails among them."""
        even_NHQ, tails_NHT = taken_apart(levels_NHA)
        return cls(forecaster, rows, even_NHQ, mean_NH, paths_NSH, tails_NHT=tails_NHT)

    @property
    def levels_NHA(self) -> Floats:
        """Quantiles at ALL_LEVELS."""
        tails = exponential_tails(self.quantiles_NHQ) if self.tails_NHT is None else self.tails_NHT
        return put_together(self.quantiles_NHQ, tails)

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
        tails = self.tails_NHT
        if tails is not None and (tails.shape != (*q.shape[:2], len(TAIL_LEVELS)) or not np.isfinite(tails).all()):
            raise ValueError(f"{self.forecaster}: tails {tails.shape} beside quantiles {q.shape}, or not finite")


@dataclass(frozen=True)
class State:
    """What a fitted forecaster has learned: arrays for safetensors, plain values for JSON."""

    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]


class Forecaster(Protocol):
    """The contract of every model, baseline or network."""

    def fit(self, panel: Panel, rows: Ints, *, horizon: int, seed: int) -> Fitted:
        """Learn from a panel that ends at the fit date.

        Parameters
        ----------
        panel : Panel
            The market up to the fit date.
        rows : (N,) int
            The training origins; their labels lie inside the panel.
        horizon : int
            Steps ahead, H.
        seed : int
            Equal seeds give equal fits.

        Returns
        -------
        Fitted
            What forecasts; the forecaster itself stays as it was.

        Examples
        --------
        >>> from s2squant.config.baselines import RandomWalkSpec
        >>> from s2squant.forecasters.baselines.random_walk import RandomWalk
        >>> from s2squant.prices.sources.sample import SampleSource
        >>> panel = Panel((SampleSource().history("EURUSD"),))
        >>> fitted = RandomWalk(RandomWalkSpec()).fit(panel, np.arange(1000), horizon=5, seed=0)
        >>> fitted.name
        'random_walk'
        """
        ...


class Fitted(Protocol):
    """A fitted forecaster: it forecasts from any row and remembers nothing between calls."""

    @property
    def name(self) -> str:
        """The model's name, as forecasts carry it."""
        ...

    def predict(self, panel: Panel, rows: Ints) -> Forecast:
        """Forecast from each of some rows, reading no bar after it; a row's forecast does not depend on the others.

        Parameters
        ----------
        panel : Panel
            The market, bars after the fit included.
        rows : (N,) int
            The origins.

        Returns
        -------
        Forecast
            A row an origin, in the same order.

        Examples
        --------
        >>> fitted.predict(panel, np.array([1500, 1600])).quantiles_NHQ.shape
        (2, 5, 39)
        """
        ...

    def state(self) -> State:
        """All that was learned, enough for the same forecasts from a file."""
        ...


class Storable(Forecaster, Protocol):
    """A forecaster whose fitted state can be stored, and read back."""

    def restore(self, state: State) -> Fitted:
        """The fitted forecaster that wrote `state`; raises CheckpointError for a state of another kind."""
        ...
