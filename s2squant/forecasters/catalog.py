"""Every forecaster by name: the one `match` that makes it, and brings it back from its stored state."""

from __future__ import annotations

from typing import cast

from s2squant.config.models import BASELINES, Forecasters, ModelName, OurName, is_own
from s2squant.config.networks import AnchorSpec, Scope
from s2squant.errors import CheckpointError, ConfigError, one_line
from s2squant.forecasters.anchor import Anchor, FittedAnchor
from s2squant.forecasters.baselines import (
    arima,
    block_bootstrap,
    drift,
    ewma,
    fhs,
    field,
    garch,
    garch_x,
    gbm,
    har,
    har_cj,
    historical,
    random_walk,
    ridge,
    smoothing,
)
from s2squant.forecasters.network import FittedSeq2Seq
from s2squant.forecasters.own_model import own_model
from s2squant.forecasters.pretrained import Pretrained
from s2squant.series.forecast import Fitted, State, Storable


def make(
    name: ModelName, settings: Forecasters, *, anchor: FittedAnchor | None = None, pooled: FittedSeq2Seq | None = None
) -> Storable:
    """The unfitted forecaster of this name; networks take a fitted `anchor`, or fit the configured one themselves."""
    if is_own(name):
        return own_model(name, settings.own.get(name, {}))
    return _ours(cast(OurName, name), settings, anchor or settings.anchor, pooled)


def _ours(
    name: OurName, settings: Forecasters, base: AnchorSpec | FittedAnchor, pooled: FittedSeq2Seq | None
) -> Storable:
    match name:
        case "historical_simulation":
            return historical.HistoricalSimulation(settings.historical_simulation)
        case "random_walk":
            return random_walk.RandomWalk(settings.random_walk)
        case "ewma_t":
            return ewma.EwmaT(settings.ewma_t)
        case "garch_t":
            return garch.GarchT(name, settings.garch_t, leverage=False)
        case "gjr_t":
            return garch.GarchT(name, settings.gjr_t, leverage=True)
        case "garch_shrunk":
            return garch.GarchT(name, settings.garch_shrunk, leverage=False)
        case "gjr_shrunk":
            return garch.GarchT(name, settings.gjr_shrunk, leverage=True)
        case "drift":
            return drift.Drift(settings.drift)
        case "block_bootstrap":
            return block_bootstrap.BlockBootstrap(settings.block_bootstrap)
        case "gjr_fhs":
            return fhs.GjrFhs(settings.gjr_fhs)
        case "har":
            return har.Har(settings.har)
        case "garch_x":
            return garch_x.GarchX(settings.garch_x)
        case "har_x":
            return har.Har(settings.har_x, name, reads=True)
        case "har_rv":
            return har.Har(settings.har_rv, name)
        case "har_cj":
            return har_cj.HarCj(settings.har_cj)
        case "ets":
            return smoothing.Ets(settings.ets)
        case "arima":
            return arima.Arima(settings.arima)
        case "theta":
            return smoothing.Theta(settings.theta)
        case "ridge":
            return ridge.Ridge(settings.ridge)
        case "gbm":
            return gbm.Gbm(settings.gbm)
        case "field":
            return field.Field({m: make(m, settings) for m in BASELINES if m in settings.field_members})
        case "anchor":
            return Anchor(settings.anchor)
        case "pretrained":
            return Pretrained(settings.pretrained)
        case "seq2seq_per_ticker":
            return _network(settings, "per_ticker", base)
        case "seq2seq_pooled":
            return _network(settings, "pooled", base)
        case "seq2seq_adapted":
            return _network(settings, "adapted", base, pooled)
        case "blend":
            raise ConfigError("blend averages other models' forecasts and is not fitted by itself")


def _network(
    settings: Forecasters, scope: Scope, anchor: AnchorSpec | FittedAnchor, pooled: FittedSeq2Seq | None = None
) -> Storable:
    from s2squant.forecasters.network_training import (
        Seq2SeqForecaster,
    )  # with torch: a second

    return Seq2SeqForecaster(settings.seq2seq, scope, anchor, pooled)


def restore(name: ModelName, settings: Forecasters, state: State) -> Fitted:
    """The fitted forecaster of this name from its stored state; raises CheckpointError for another kind's or form's."""
    forecaster = make(name, settings)
    try:
        return forecaster.restore(state)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        why = f"{type(error).__name__}: {one_line(str(error))[:120]}"
        raise CheckpointError(
            f"{name}: its state has another form, as of another version ({why}); fit it again"
        ) from None
