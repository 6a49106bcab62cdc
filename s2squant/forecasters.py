"""Every forecaster by name: one `match` to make it, one to bring it back from a file.

The contract itself (Forecaster, Fitted) stands in `records`.
"""

from __future__ import annotations

from s2squant.anchor import Anchor, FittedAnchor, restore_anchor
from s2squant.baselines import ewma, garch, historical, random_walk
from s2squant.config import Forecasters, ModelName
from s2squant.errors import CheckpointError, ConfigError
from s2squant.neural import FittedSeq2Seq, Seq2SeqForecaster, restore_seq2seq
from s2squant.records import Fitted, Forecaster, State


def make(
    name: ModelName, settings: Forecasters, *, anchor: FittedAnchor | None = None, pooled: FittedSeq2Seq | None = None
) -> Forecaster:
    """The unfitted forecaster of this name; networks take a fitted `anchor`, or fit the configured one themselves."""
    base = anchor or settings.anchor
    match name:
        case "historical_simulation":
            return historical.HistoricalSimulation(settings.historical_simulation)
        case "random_walk":
            return random_walk.RandomWalk(settings.random_walk)
        case "ewma_t":
            return ewma.EwmaT(settings.ewma_t)
        case "garch_t":
            return garch.GarchT(settings.garch_t, leverage=False)
        case "gjr_t":
            return garch.GarchT(settings.gjr_t, leverage=True)
        case "anchor":
            return Anchor(settings.anchor)
        case "seq2seq_per_ticker":
            return Seq2SeqForecaster(settings.seq2seq, "per_ticker", base)
        case "seq2seq_pooled":
            return Seq2SeqForecaster(settings.seq2seq, "pooled", base)
        case "seq2seq_adapted":
            return Seq2SeqForecaster(settings.seq2seq, "adapted", base, pooled)
        case "blend":
            raise ConfigError("blend averages other models' forecasts and is not fitted by itself")


def restore(name: ModelName, settings: Forecasters, state: State) -> Fitted:
    """Rebuild the fitted forecaster of this name from its stored state; raises CheckpointError for another kind's."""
    match name:
        case "historical_simulation":
            return historical.restore(settings.historical_simulation, state)
        case "random_walk":
            return random_walk.restore(settings.random_walk, state)
        case "ewma_t":
            return ewma.restore(settings.ewma_t, state)
        case "garch_t":
            return garch.restore(settings.garch_t, state)
        case "gjr_t":
            return garch.restore(settings.gjr_t, state)
        case "anchor":
            return restore_anchor(state)
        case "seq2seq_per_ticker" | "seq2seq_pooled" | "seq2seq_adapted":
            return restore_seq2seq(state)
        case "blend":
            raise CheckpointError("blend has no state of its own")
