"""The jobs of a run, each a function of the run's inputs: what a worker process carries out.

A job reads the panels and folds it was given, the models that earlier stages stored, and writes its part to the run's
folder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.models import Forecasters, ModelName, is_refitted
from s2squant.evaluation.energy import path_scores
from s2squant.evaluation.importance import importances
from s2squant.evaluation.joint_scores import RIVAL
from s2squant.forecasters.catalog import restore
from s2squant.forecasters.fitting import (
    TRAINING_COLUMNS,
    Failing,
    curves,
    fit_models,
    market_models,
    note_failure,
    predict_models,
    ticker_models,
)
from s2squant.forecasters.network import FittedSeq2Seq
from s2squant.runs.folder import RunFolder
from s2squant.series.arrays import Dates, Ints
from s2squant.series.forecast import Fitted, Forecast
from s2squant.series.long_table import to_frame, together
from s2squant.series.panel import Fold, Panel
from s2squant.series.states import load_state, save_state
from s2squant.series.windows import last_rows, test_rows, train_rows


@dataclass(frozen=True)
class Job:
    """One unit of work: a market's anchors, one fold's pooled net, or one ticker."""

    kind: Literal["anchor", "pooled", "ticker", "adapted"]
    market: str
    fold: int = -1
    ticker: str = ""

    @property
    def key(self) -> str:
        """The job's name in files and logs."""
        match self.kind:
            case "anchor":
                return f"anchor:{self.market}"
            case "pooled":
                return f"pooled:{self.market}:{self.fold}"
            case "ticker" | "adapted":
                return f"{self.kind}:{self.ticker}"

    @property
    def label(self) -> str:
        """The job's name for people."""
        match self.kind:
            case "anchor":
                return f"anchor of {self.market}"
            case "pooled":
                return f"pooled net of {self.market}, fold {self.fold}"
            case "ticker":
                return self.ticker
            case "adapted":
                return f"{self.ticker}, adapted"

    @property
    def shared(self) -> str:
        """What the rest of the market needs, by its name for people; empty for a ticker's own job."""
        return "" if self.ticker else self.label


@dataclass(frozen=True)
class Inputs:
    """Everything the jobs of a run share."""

    experiment: Experiment
    panels: Mapping[str, Panel]
    folds: Mapping[str, tuple[Fold, ...]]
    sessions: Mapping[str, Dates]
    folder: RunFolder
    importance: bool = False
    """Whether losses with each covariate of another time are taken too."""

    @property
    def markets(self) -> dict[str, str]:
        """The market of each ticker."""
        return {t: market for market, panel in self.panels.items() for t in panel.tickers}

    @property
    def all_folds(self) -> tuple[Fold, ...]:
        """The folds of every market, market by market."""
        return tuple(fold for market in sorted(self.folds) for fold in self.folds[market])


def stages_of(inputs: Inputs) -> tuple[tuple[Job, ...], ...]:
    """The jobs in the order they depend on each other; long ones first, those of one stage in any order."""
    models = inputs.experiment.forecasters.models
    markets = sorted(inputs.panels)
    pooled = (
        [Job("pooled", m, f.number) for m in markets for f in inputs.folds[m]] if "seq2seq_pooled" in models else []
    )
    tickers = [Job("ticker", m, ticker=t) for m in markets for t in inputs.panels[m].tickers]
    stages = [
        tuple(Job("anchor", m) for m in markets) if {"anchor", "pretrained"} & set(models) else (),
        (*pooled, *tickers),
        tuple(Job("adapted", j.market, ticker=j.ticker) for j in tickers) if "seq2seq_adapted" in models else (),
    ]
    return tuple(stage for stage in stages if stage)


def perform(inputs: Inputs, job: Job) -> None:
    """Carry out a job and keep its part; raises whatever went wrong."""
    started = time.perf_counter()
    forecasts: list[pd.DataFrame] = []
    training: list[pd.DataFrame] = []
    attention: dict[str, list[list[float]]] = {}
    energy: list[dict[str, Any]] = []
    importance: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    devices: set[str] = set()
    precisions: set[str] = set()
    panel = inputs.panels[job.market]
    if job.ticker:
        panel = panel.only(job.ticker)
    folds = inputs.folds[job.market]
    for fold in folds if job.kind != "pooled" else [fold for fold in folds if fold.number == job.fold]:
        rows = forecast_rows(panel, folds, fold)
        if len(rows) == 0:  # delisted, or halted all along: nothing to forecast, perhaps nothing to learn from
            continue
        failing = partial(note_failure, failed, job.label)
        fits = _fits(inputs, job, panel, fold, failing)
        for fitted, forecast in predict_models(fits, panel, rows, failing=failing):
            forecasts.append(to_frame(panel, forecast, inputs.sessions))
            attention |= newest_attention(panel, forecast)
            energy += path_scores(panel, fold.fit_date, forecast)
            if inputs.importance:
                importance += importances(fitted, panel, forecast)
            if isinstance(fitted, FittedSeq2Seq):
                training.append(curves(fitted, job.market, fold.number))
                devices.add(fitted.spec.training.device)
                precisions.add(fitted.spec.training.precision)
    empty = pd.DataFrame(columns=TRAINING_COLUMNS)
    inputs.folder.save_part(
        job.key,
        together(forecasts) if forecasts else pd.DataFrame(),
        pd.concat(training, ignore_index=True) if training else empty,
        {
            "seconds": round(time.perf_counter() - started, 3),
            "attention": attention,
            "energy": energy,
            "importance": importance,
            "failed": failed,
            "devices": sorted(devices),
            "precisions": sorted(precisions),
        },
    )


def _fits(inputs: Inputs, job: Job, panel: Panel, fold: Fold, failing: Failing) -> Iterator[Fitted]:
    """Fit what a job fits in one fold, on its panel up to the fit date; the anchor and the networks are stored."""
    settings = inputs.experiment.forecasters
    past = panel.until(fold.fit_date)
    rows = train_rows(past, fold, warmup=settings.anchor.warmup)
    names = models_of(job, settings)
    market: dict[ModelName, Fitted] = {}
    if any(name.startswith("seq2seq") for name in names):
        market["anchor"] = load_fitted(inputs, "anchor", job.market, fold)
    if "seq2seq_adapted" in names:
        market["seq2seq_pooled"] = load_fitted(inputs, "seq2seq_pooled", job.market, fold)
    seed = inputs.experiment.seed
    fits = fit_models(names, settings, past, rows, horizon=fold.horizon, seed=seed, market=market, failing=failing)
    for name, fitted in fits:
        if not is_refitted(name) or name == RIVAL:  # whose paths over tickers are drawn when all have ended
            save_state(inputs.folder.model(name, job.ticker or job.market, str(fold.number)), fitted.state())
        yield fitted


def models_of(job: Job, forecasters: Forecasters) -> tuple[ModelName, ...]:
    """The models that a job fits, in their order."""
    match job.kind:
        case "anchor":
            return tuple(m for m in market_models(forecasters) if m != "seq2seq_pooled")
        case "pooled":
            return ("seq2seq_pooled",)
        case "adapted":
            return ("seq2seq_adapted",)
        case "ticker":
            return tuple(m for m in ticker_models(forecasters) if m != "seq2seq_adapted")


def newest_attention(panel: Panel, forecast: Forecast) -> dict[str, list[list[float]]]:
    """Where a network attended in its newest forecast of each ticker, (H, W) in plain numbers; empty without any."""
    if forecast.attention_NHL is None:
        return {}
    owner = panel.ticker_of[forecast.rows]
    newest = {panel.tickers[m]: np.flatnonzero(owner == m)[-1] for m in np.unique(owner)}
    return {ticker: np.round(forecast.attention_NHL[at], 5).tolist() for ticker, at in newest.items()}


def load_fitted(inputs: Inputs, name: ModelName, owner: str, fold: Fold) -> Fitted:
    """The model that an earlier job fitted in a fold for a market or a ticker; raises CheckpointError without one."""
    stored = inputs.folder.model(name, owner, str(fold.number))
    return restore(name, inputs.experiment.forecasters, load_state(stored))


def forecast_rows(panel: Panel, folds: Sequence[Fold], fold: Fold) -> Ints:
    """The rows a fold forecasts: its cutoffs, and in the last fold the last bar of every ticker traded by then."""
    rows = test_rows(panel, fold.cutoffs)
    if fold is not folds[-1]:
        return rows
    tomorrow = last_rows(panel)
    traded = (panel.dates[tomorrow] >= fold.fit_date) & panel.settled(tomorrow)
    return np.union1d(rows, tomorrow[traded])
