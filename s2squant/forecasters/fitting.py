"""Fitting all models of an experiment in order, and their forecasts: the loop of backtest, estimator and nightly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from s2squant.config.models import Forecasters, ModelName, is_own
from s2squant.errors import one_line
from s2squant.forecasters.anchor import FittedAnchor
from s2squant.forecasters.baselines.field import FittedField, average
from s2squant.forecasters.catalog import make
from s2squant.forecasters.network import FittedSeq2Seq, Prepared
from s2squant.forecasters.own_model import FittedOwn
from s2squant.series.arrays import Ints
from s2squant.series.forecast import Fitted, Forecast
from s2squant.series.panel import Panel

MARKET_MODELS: tuple[ModelName, ...] = ("anchor", "pretrained", "seq2seq_pooled")
"""Fitted once for all tickers of a market, in this order."""

Failing = Callable[[ModelName, Exception], None]
"""Called with a model of the user's own that failed, and what it raised; the model is left out."""


def raise_it(name: ModelName, error: Exception) -> None:  # noqa: ARG001 (the shape of Failing)
    """Let a failing own model end what is being done, as any other does."""
    raise error


def note_failure(failed: dict[str, str], where: str, name: ModelName, error: Exception) -> None:
    """Enter an own model that failed, with where and the first reason, into what a job notes."""
    failed.setdefault(name, one_line(f"{where}: {type(error).__name__}: {error}")[:300])


TRAINING_COLUMNS = ["model", "unique_id", "market", "fold", "seed", "step", "loss"]
CURVE_POINTS = 60
"""A training curve keeps about this many points, each the mean of the steps around it."""


def market_models(forecasters: Forecasters) -> tuple[ModelName, ...]:
    """The models that are fitted once for a market, in their order."""
    return tuple(m for m in MARKET_MODELS if m in forecasters.models)


def ticker_models(forecasters: Forecasters) -> tuple[ModelName, ...]:
    """The models that are fitted for each ticker by itself, in their order; the blend is fitted for none."""
    return tuple(m for m in forecasters.models if m not in (*MARKET_MODELS, "blend"))


def fit_models(
    names: Iterable[ModelName],
    forecasters: Forecasters,
    panel: Panel,
    rows: Ints,
    *,
    horizon: int,
    seed: int,
    market: Mapping[ModelName, Fitted],
    failing: Failing = raise_it,
) -> Iterator[tuple[ModelName, Fitted]]:
    """Fit the named models one after the other on the training origins `rows` of a panel that ends at the fit date.

    A network stands on the anchor, the adapted one on the pooled net too: those of `market`, or fitted here before it.
    The field takes its members as they were fitted here. A model of the user's own that fails is handed to `failing`.
    """
    fitted = dict(market)
    for name in names:
        if name == "field":
            fitted[name] = FittedField(tuple(fitted[member] for member in forecasters.field_members))
        elif is_own(name):
            try:
                fitted[name] = make(name, forecasters).fit(panel, rows, horizon=horizon, seed=seed)
            except Exception as error:  # whatever a user's code raises
                failing(name, error)
                continue
        else:
            anchor, pooled = fitted.get("anchor"), fitted.get("seq2seq_pooled")
            assert anchor is None or isinstance(anchor, FittedAnchor)
            assert pooled is None or isinstance(pooled, FittedSeq2Seq)
            maker = make(name, forecasters, anchor=anchor, pooled=pooled)
            fitted[name] = maker.fit(panel, rows, horizon=horizon, seed=seed)
        yield name, fitted[name]


def predict_models(
    fitted: Iterable[Fitted],
    panel: Panel,
    rows: Ints,
    prepared: Callable[[FittedSeq2Seq], Prepared | None] = lambda _: None,
    failing: Failing = raise_it,
) -> Iterator[tuple[Fitted, Forecast]]:
    """Each fitted model with its forecast from `rows`; the field averages the forecasts that its members made before.

    `prepared` gives the panel as a network reads it, where the caller has it at hand. A model of the user's own that
    fails is handed to `failing`.
    """
    forecasts: dict[str, Forecast] = {}
    for model in fitted:
        match model:
            case FittedField():
                forecast = average([forecasts[member.name] for member in model.members])
            case FittedSeq2Seq():
                forecast = model.predict(panel, rows, prepared(model))
            case FittedOwn():
                try:
                    forecast = model.predict(panel, rows)
                except Exception as error:  # whatever a user's code raises
                    failing(model.name, error)
                    continue
            case _:
                forecast = model.predict(panel, rows)
        forecasts[model.name] = forecast
        yield model, forecast


def origins_needed(forecasters: Forecasters) -> int:
    """Consecutive training origins without which a model cannot be fitted."""
    needed = [1]
    if "anchor" in forecasters.models:
        needed.append(forecasters.anchor.stride)
    if forecasters.networks:
        spec = forecasters.seq2seq.training
        needed += [spec.chunk - spec.warm, spec.chunk - forecasters.anchor.warmup]
    return max(needed)


def curves(fitted: FittedSeq2Seq, market: str, fold: int) -> pd.DataFrame:
    """The training losses of a fitted network as rows of the training table."""
    parts = []
    for ticker, seeds in fitted.losses.items():
        for seed, losses in enumerate(seeds):
            blocks = np.array_split(np.asarray(losses), min(CURVE_POINTS, len(losses)))
            ends = np.cumsum([len(block) for block in blocks])
            parts.append(
                pd.DataFrame(
                    {
                        "model": fitted.name,
                        "unique_id": ticker,
                        "market": market,
                        "fold": fold,
                        "seed": seed,
                        "step": ends,
                        "loss": [float(block.mean()) for block in blocks],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)
