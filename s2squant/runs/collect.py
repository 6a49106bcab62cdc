"""The parts that finished jobs wrote, put together: forecasts of all models, training curves, path scores, timings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.models import RECALIBRATED
from s2squant.errors import S2squantError
from s2squant.evaluation.results import TickerReport
from s2squant.forecasters.blend import WEIGHT_COLUMNS, blend
from s2squant.forecasters.recalibration import DECISIONS, recalibrated
from s2squant.runs.jobs import Inputs, Job
from s2squant.runs.runner import JobRunner
from s2squant.series.arrays import Floats
from s2squant.series.long_table import together


@dataclass(frozen=True)
class Collected:
    """The parts of all finished jobs, without the tickers that failed."""

    forecasts: pd.DataFrame
    """The long table of every fitted model."""
    training: pd.DataFrame
    attention: Mapping[str, Floats]
    """By ticker, where a network attended in its newest forecast: its own net in place of a pooled one."""
    path_scores: Sequence[Mapping[str, Any]]
    """Scores of whole paths, by model, ticker and fold."""
    importances: Sequence[Mapping[str, Any]]
    """Losses with a covariate of another time, by model, ticker, covariate and fold."""
    seconds: Mapping[str, float]
    """By job key."""
    failed_models: Mapping[str, str]
    """Own models that failed on a ticker, which are left out for all, and the first reason."""
    devices: tuple[str, ...] = ()
    """Where networks trained."""
    precisions: tuple[str, ...] = ()
    """In which precision they did."""

    @property
    def trained(self) -> dict[str, list[str]]:
        """Where and in which precision networks trained, as a manifest says it."""
        return {"trained_on": list(self.devices), "trained_in": list(self.precisions)}


def collect(inputs: Inputs, runner: JobRunner[Job]) -> Collected:
    """Read the part of every job; raises S2squantError, with the first reason, when no ticker has a forecast."""
    failed = {t for m, panel in inputs.panels.items() for t in panel.tickers if runner.failure(t, m)}
    jobs = list(runner.finished_jobs())
    forecasts, training, facts = inputs.folder.read_parts([job.key for job in jobs])
    attention: dict[str, Floats] = {}
    path_scores: list[Mapping[str, Any]] = []
    importances: list[Mapping[str, Any]] = []
    broken: dict[str, str] = {}
    for fact in facts:
        attention |= {ticker: np.array(weights) for ticker, weights in fact.get("attention", {}).items()}
        path_scores += [record for record in fact.get("energy", []) if record["unique_id"] not in failed]
        importances += [record for record in fact.get("importance", []) if record["unique_id"] not in failed]
        broken = fact.get("failed", {}) | broken
    if failed and len(forecasts):
        forecasts = forecasts[~forecasts["unique_id"].isin(failed)]
    if broken:
        forecasts = forecasts[~forecasts["model"].isin(broken)] if len(forecasts) else forecasts
        path_scores = [record for record in path_scores if record["model"] not in broken]
    if not len(forecasts):
        first = runner.first_failure or next(iter(broken.values()), "nothing was forecast")
        raise S2squantError(f"every ticker failed; the first reason: {first}")
    return Collected(
        forecasts=together([forecasts]),
        training=training,
        attention=attention,
        path_scores=path_scores,
        importances=importances,
        seconds={job.key: fact["seconds"] for job, fact in zip(jobs, facts, strict=True)},
        failed_models=broken,
        devices=_all_of(facts, "devices"),
        precisions=_all_of(facts, "precisions"),
    )


def _all_of(facts: Sequence[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(sorted({value for fact in facts for value in fact.get(name, ())}))


def without_models(experiment: Experiment, models: Collection[str]) -> Experiment:
    """The experiment without some models; unchanged without any."""
    return (
        experiment.model_copy(update={"forecasters": experiment.forecasters.without(models)}) if models else experiment
    )


def combine(
    forecasts: pd.DataFrame, experiment: Experiment, markets: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The forecasts of all models, blended and recalibrated too, in the experiment's order; and the decisions of both.

    These are the tables `weights` and `recalibration` of Study.
    """
    models, recommended = experiment.forecasters, experiment.verdict.recommended
    tables, weights = [forecasts], pd.DataFrame(columns=WEIGHT_COLUMNS)
    if "blend" in models.models:
        rows, weights = blend(forecasts, models.blending, markets)
        tables.append(rows)
    decided = pd.DataFrame(columns=DECISIONS)
    if experiment.recalibration.enabled:
        raw = pd.concat([table[table["model"] == recommended] for table in tables], ignore_index=True)
        rows, decided = recalibrated(raw, recommended, experiment.recalibration, markets)
        tables.append(rows)
    table = together(tables)  # once: each is of the size of all forecasts
    present = set(table["model"].unique())
    names = [name for m in models.models for name in (m, m + RECALIBRATED) if name in present]
    table["model"] = pd.Categorical(table["model"], categories=names)
    table["unique_id"] = table["unique_id"].astype("category")
    return table.sort_values(["model", "unique_id", "cutoff", "step"], ignore_index=True), weights, decided


def reports_after(tickers: Sequence[TickerReport], runner: JobRunner[Job]) -> tuple[TickerReport, ...]:
    """What became of each ticker once the jobs have ended."""
    return tuple(
        replace(report, status="failed", reason=reason)
        if report.status == "ok" and (reason := runner.failure(report.ticker, report.market))
        else report
        for report in tickers
    )
