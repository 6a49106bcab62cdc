"""The jobs of a nightly run: a market's anchor and pooled net, then every ticker's own models; kept or fitted anew.

A job reads the panels it was given and last night's weights, stores what it fitted by content hash, and writes its
forecasts to the run's folder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from s2squant.config.models import Forecasters, ModelName, is_own, is_refitted
from s2squant.config.nightly import Nightly
from s2squant.errors import CheckpointError
from s2squant.forecasters.anchor import FittedAnchor
from s2squant.forecasters.catalog import restore
from s2squant.forecasters.features import has_ranges
from s2squant.forecasters.fitting import (
    Failing,
    fit_models,
    market_models,
    note_failure,
    predict_models,
    raise_it,
)
from s2squant.forecasters.network import FittedSeq2Seq, Prepared, prepare
from s2squant.forecasters.plugins import code_of
from s2squant.nightly.weights import ModelStore, bundle, settings_hash, unbundle
from s2squant.nightly.young import grown_rows, is_young, served_rows
from s2squant.runs.folder import RunFolder
from s2squant.series.arrays import Dates, Ints
from s2squant.series.forecast import Fitted, Forecast, State
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Fold, Panel
from s2squant.series.windows import last_rows, of_tickers, train_rows


@dataclass(frozen=True)
class NightJob:
    """One unit of a night's work: a market, or one ticker of it."""

    kind: Literal["market", "ticker"]
    market: str
    ticker: str = ""

    @property
    def key(self) -> str:
        """The job's name in files, logs and the ledger."""
        return f"{self.kind}:{self.ticker or self.market}"

    @property
    def label(self) -> str:
        """The job's name for people."""
        return self.ticker or f"market {self.market}"

    @property
    def shared(self) -> str:
        """What its tickers need, by its name for people; empty for a ticker's own job."""
        return "" if self.ticker else f"its {self.label}"


@dataclass(frozen=True)
class NightInputs:
    """Everything the jobs of a night share."""

    spec: Nightly
    panels: Mapping[str, Panel]
    """Each market's bars, ending with the due session."""
    sessions: Mapping[str, Dates]
    """Each ticker's horizon of sessions to come."""
    due: Mapping[str, np.datetime64]
    parents: Mapping[str, str]
    """By job key, the version of the newest weights; a job without any trains."""
    retrain: Mapping[str, str]
    """Markets to be fitted anew, and why."""
    folder: RunFolder


@dataclass
class PreparedPanels:
    """Each market's panel as its networks read it, computed once a process."""

    by_market: dict[str, tuple[str, Prepared]] = field(default_factory=dict)

    def of(self, inputs: NightInputs, market: str, anchor: FittedAnchor, version: str, *, ranges: bool) -> Prepared:
        """The panel through the anchor of this version, all rows, with the inputs that the network was fitted with."""
        tag = f"{inputs.folder.path.resolve()} {version} {ranges}"
        if market not in self.by_market or self.by_market[market][0] != tag:
            panel = inputs.panels[market]
            every = np.arange(len(panel.log_price))
            spec = inputs.spec.experiment.forecasters.seq2seq
            self.by_market[market] = (tag, prepare(anchor, spec, panel, every, ranges=ranges))
        return self.by_market[market][1]


_prepared = PreparedPanels()


def night_stages(spec: Nightly, todo: Mapping[str, tuple[str, ...]]) -> tuple[tuple[NightJob, ...], ...]:
    """Markets first, then the tickers that are to be forecast; a stage's jobs run in any order."""
    markets = [m for m, tickers in sorted(todo.items()) if tickers]
    shared = {"anchor", "pretrained"} & set(spec.experiment.forecasters.models)
    first = tuple(NightJob("market", market) for market in markets if shared)
    second = tuple(NightJob("ticker", market, ticker) for market in markets for ticker in todo[market])
    return tuple(stage for stage in (first, second) if stage)


def perform(inputs: NightInputs, job: NightJob) -> None:
    """Carry out a job and keep its part; raises whatever went wrong."""
    started, failed = time.perf_counter(), dict[str, str]()
    failing = partial(note_failure, failed, job.label)
    fitted, facts = _market(inputs, job) if job.kind == "market" else _ticker(inputs, job, failing)
    panel = inputs.panels[job.market]
    rows = last_rows(panel)
    if job.ticker:
        rows = of_tickers(panel, rows, [job.ticker])
    forecasts = forecast(inputs, job.market, fitted, rows, facts["anchor_version"], failing)
    states = _states({name: model for name, model in fitted.items() if name not in failed}, failing)
    forecasts = [one for one in forecasts if one.forecaster in states]
    facts |= {"order": list(states), "failed": failed}
    version = _store(inputs).put(bundle(states, _weights_facts(facts)))
    tables = [to_frame(panel, one, inputs.sessions) for one in forecasts]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()  # of a young ticker, all is its market's
    seconds = round(time.perf_counter() - started, 3)
    inputs.folder.save_part(
        job.key, table, pd.DataFrame({"none": []}), facts | {"version": version, "seconds": seconds}
    )


def forecast(
    inputs: NightInputs,
    market: str,
    fitted: Mapping[str, Fitted],
    rows: Ints,
    anchor_version: str,
    failing: Failing = raise_it,
) -> list[Forecast]:
    """What fitted models say from `rows` of a market's panel; networks share one view of it.

    A young ticker has a forecast of the pretrained model alone.
    """
    panel, experiment = inputs.panels[market], inputs.spec.experiment

    def prepared(model: FittedSeq2Seq) -> Prepared:
        return _prepared.of(inputs, market, model.anchor, anchor_version, ranges=model.ranges)

    grown, others = grown_rows(panel, rows, experiment), [m for name, m in fitted.items() if name != "pretrained"]
    said = [one for _, one in predict_models(others, panel, grown, prepared, failing)] if len(grown) else []
    if "pretrained" in fitted:
        said.append(fitted["pretrained"].predict(panel, served_rows(panel, rows, experiment)))
    return said


def restored(state: State, settings: Forecasters) -> tuple[dict[str, Fitted], dict[str, Any]]:
    """The fitted models of a stored bundle, in the order they were fitted in, and its facts."""
    members, facts = unbundle(state)
    names: dict[str, ModelName] = {name: name for name in settings.models}
    if missing := [name for name in members if name not in names]:
        raise CheckpointError(f"stored weights of {missing[0]}, which is no model of this nightly")
    return {name: restore(names[name], settings, members[name]) for name in facts["order"]}, facts


def _market(inputs: NightInputs, job: NightJob) -> tuple[dict[str, Fitted], dict[str, Any]]:
    """The anchor and the pooled net: last night's, or fitted anew."""
    market = job.market
    last, facts, why = _last(inputs, job)
    if market in inputs.retrain:
        last, why = {}, inputs.retrain[market]
    names, rows = _market_names(inputs, market), _training_rows(inputs, market)
    if last and set(last) != set(names):
        last, why = {}, "the first ticker came of age"
    if not last:
        fitted = _fit(inputs, market, names, rows, {})
        facts = {"how": "trained", "trained": str(inputs.due[market]), "why": why}
    else:
        fitted = last
        stay = {name: facts[name] for name in ("trained", "anchor_version")}
        facts = stay | {"how": "kept", "why": "", "parent": _parent(inputs, job, facts)}
    if "anchor" in fitted:
        facts.setdefault("anchor_version", _store(inputs).put(fitted["anchor"].state()))
    return fitted, _completed(inputs, job, {"anchor_version": ""} | facts, fitted)


def _market_names(inputs: NightInputs, market: str) -> tuple[ModelName, ...]:
    """The models of a market: those that learn where a ticker is not young, the pretrained one where it serves one."""
    panel, experiment = inputs.panels[market], inputs.spec.experiment
    rows = last_rows(panel)
    names = market_models(experiment.forecasters) if len(grown_rows(panel, rows, experiment)) else ("pretrained",)
    return tuple(n for n in names if n != "pretrained" or len(served_rows(panel, rows, experiment)))


def _ticker(inputs: NightInputs, job: NightJob, failing: Failing) -> tuple[dict[str, Fitted], dict[str, Any]]:
    """A ticker's baselines and own models, fitted each night, and its net: last night's, or anew with its market."""
    market, settings = job.market, inputs.spec.experiment.forecasters
    panel = inputs.panels[market]
    if is_young(panel.histories[panel.tickers.index(job.ticker)], inputs.spec.experiment):
        facts = {name: _market_facts(inputs, market)[name] for name in ("how", "trained", "anchor_version")}
        return {}, _completed(inputs, job, facts | {"why": "", "how": "kept"}, {})
    rows = of_tickers(inputs.panels[market], _training_rows(inputs, market), [job.ticker])
    fitted = _fit(inputs, market, [m for m in settings.models if is_refitted(m)], rows, {}, failing)
    market_facts = _market_facts(inputs, market) if {"anchor", "pretrained"} & set(settings.models) else {}
    trained = str(market_facts.get("trained", inputs.due[market]))
    facts = {"how": "trained", "trained": trained, "why": "", "anchor_version": market_facts.get("anchor_version", "")}
    if "seq2seq_per_ticker" in settings.models:
        last, known, why = _last(inputs, job)
        if last and known["anchor_version"] == facts["anchor_version"]:
            fitted["seq2seq_per_ticker"] = last["seq2seq_per_ticker"]
            facts |= {"how": "kept", "parent": _parent(inputs, job, known)}
        else:
            anchor = restore("anchor", settings, _store(inputs).get(facts["anchor_version"]))
            fitted |= _fit(inputs, market, ["seq2seq_per_ticker"], rows, {"anchor": anchor})
            facts["why"] = why or "its market was fitted anew"
    return fitted, _completed(inputs, job, facts, fitted)


def _fit(
    inputs: NightInputs,
    market: str,
    names: Sequence[ModelName],
    rows: Ints,
    on: Mapping[ModelName, Fitted],
    failing: Failing = raise_it,
) -> dict[str, Fitted]:
    """Fit these models on training origins of a market's panel, networks `on` models that are fitted already."""
    experiment, panel = inputs.spec.experiment, inputs.panels[market]
    horizon, seed = experiment.walk.horizon, experiment.seed
    settings = experiment.forecasters
    return dict(fit_models(names, settings, panel, rows, horizon=horizon, seed=seed, market=on, failing=failing))


def _last(inputs: NightInputs, job: NightJob) -> tuple[dict[str, Fitted], dict[str, Any], str]:
    """Last night's models and their facts; none, and why, where there are none that can be gone on from."""
    version = inputs.parents.get(job.key, "")
    if not version:
        return {}, {}, "no weights yet"
    try:
        models, facts = restored(_store(inputs).get(version), inputs.spec.experiment.forecasters)
    except CheckpointError as error:
        return {}, {}, f"last weights cannot be read ({error})"
    if facts["settings"] != _settings(inputs, job.market):
        return {}, {}, "its settings changed"
    return models, facts, ""


def _completed(
    inputs: NightInputs, job: NightJob, facts: dict[str, Any], fitted: Mapping[str, Fitted]
) -> dict[str, Any]:
    return (
        {"parent": ""}
        | facts
        | {
            "key": job.key,
            "session": str(inputs.due[job.market]),
            "settings": _settings(inputs, job.market),
            "order": list(fitted),
        }
    )


def _parent(inputs: NightInputs, job: NightJob, facts: Mapping[str, Any]) -> str:
    """The weights that these came from; a second run of a session leaves tonight's weights with their own."""
    return str(facts["parent"]) if facts["session"] == str(inputs.due[job.market]) else inputs.parents.get(job.key, "")


def _weights_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of the facts belongs to the weights themselves."""
    return {
        name: facts[name] for name in ("key", "session", "settings", "order", "trained", "anchor_version", "parent")
    }


def _settings(inputs: NightInputs, market: str) -> str:
    """What weights depend on beside the prices."""
    experiment = inputs.spec.experiment
    ranges = has_ranges(inputs.panels[market])
    own = code_of(experiment.forecasters.own_models, experiment.forecasters.features)
    chosen = experiment.forecasters.model_dump(mode="json", exclude={"blend"} | (set() if own else {"features", "own"}))
    facts = {"forecasters": chosen, "walk": experiment.walk.model_dump(mode="json"), "ranges": ranges}
    others = [one.model_dump(mode="json") for one in experiment.covariates]
    return settings_hash(facts | ({"own": own} if own else {}) | ({"covariates": others} if others else {}))


def _market_facts(inputs: NightInputs, market: str) -> dict[str, Any]:
    return inputs.folder.read_part(NightJob("market", market).key)[2]


def _training_rows(inputs: NightInputs, market: str) -> Ints:
    """Origins of the panel that are warm and whose labels are known: the purge."""
    panel, walk = inputs.panels[market], inputs.spec.experiment.walk
    days = panel.calendar_dates()
    start = days[0] if walk.window == "expanding" else days[max(0, len(days) - walk.train_bars)]
    due = inputs.due[market]
    fold = Fold(market, 0, start, due, np.array([due]), walk.horizon)
    return train_rows(panel, fold, warmup=inputs.spec.experiment.forecasters.anchor.warmup)


def _states(fitted: Mapping[str, Fitted], failing: Failing) -> dict[str, State]:
    """The states of fitted models; an own one that gives none is handed to `failing`."""
    states: dict[str, State] = {}
    for name, model in fitted.items():
        try:
            states[name] = model.state()
        except Exception as error:  # whatever a user's code raises
            if not is_own(name):
                raise
            failing(name, error)
    return states


def _store(inputs: NightInputs) -> ModelStore:
    return ModelStore(Path(inputs.spec.models))
