"""Returns that a model of another library is fitted on: with horizon and seed they are all of its state."""

from __future__ import annotations

from dataclasses import dataclass

from s2squant.errors import CheckpointError
from s2squant.forecasters.baselines.returns import log_returns, tickers_of
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import State
from s2squant.series.panel import Panel


@dataclass(frozen=True)
class Lessons:
    """The last daily log returns of each ticker up to the fit date, oldest first."""

    horizon: int
    seed: int
    tickers: tuple[str, ...]
    returns: tuple[Floats, ...]

    def state(self, model: str) -> State:
        """What is stored of a model that is fitted again on them."""
        arrays = {str(m): own for m, own in enumerate(self.returns)}
        return State(arrays, about(model, self.horizon, self.seed, self.tickers))


def lessons_of(panel: Panel, rows: Ints, window: int, *, horizon: int, seed: int) -> Lessons:
    """The last `window` returns of each ticker of the rows."""
    tickers = tickers_of(panel, rows)
    return Lessons(horizon, seed, tickers, tuple(log_returns(panel, ticker)[-window:] for ticker in tickers))


def restored(state: State, model: str) -> Lessons:
    """The lessons of a stored `model`; raises CheckpointError where another's are stored."""
    horizon, seed, tickers = told(state, model)
    return Lessons(horizon, seed, tickers, tuple(state.arrays[str(m)] for m in range(len(tickers))))


def about(model: str, horizon: int, seed: int, tickers: tuple[str, ...]) -> dict[str, object]:
    """What a state says beside its arrays."""
    return {"model": model, "horizon": horizon, "seed": seed, "tickers": list(tickers)}


def told(state: State, model: str) -> tuple[int, int, tuple[str, ...]]:
    """Horizon, seed and tickers of a stored `model`; raises CheckpointError where another's is stored."""
    meta = state.meta
    if meta.get("model") != model:
        raise CheckpointError(f"a stored {meta.get('model')!r} is not {model}")
    return meta["horizon"], meta["seed"], tuple(meta["tickers"])
