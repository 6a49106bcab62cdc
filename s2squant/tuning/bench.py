"""Forecasts of a configuration fold by fold, from worker processes; their scores, and their earnings.

Parts lie below the study's folder by the hash of the settings that decide them: a trial that was killed goes on, and
anchors of equal settings, like the reference, are fitted once for all trials.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.models import ModelName
from s2squant.errors import ConfigError, S2squantError, TrialError
from s2squant.evaluation.comparisons import compare
from s2squant.evaluation.losses import score
from s2squant.evaluation.pools import pools
from s2squant.evaluation.strategy.performance import ratios_of, sharpe_ratio
from s2squant.evaluation.strategy.positions import POOL, holdings, legs, pooled_net
from s2squant.forecasters.blend import blend
from s2squant.runs.engines.local import local_pool
from s2squant.runs.engines.worker import Pool
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, Job, perform, stages_of
from s2squant.series.history import PriceHistory
from s2squant.tuning.results import HeldOut
from s2squant.tuning.space import reduced
from s2squant.tuning.split import Split, WalkPart


class FoldFolder(RunFolder):
    """The parts of one configuration in one fold; its anchor lies where every configuration with it looks."""

    def __init__(self, path: Path, anchor: Path) -> None:
        super().__init__(path)
        self._anchor = RunFolder(anchor)

    def part(self, key: str, kind: str) -> Path:
        """Where a job keeps its result of this kind."""
        return self._anchor.part(key, kind) if key.startswith("anchor:") else super().part(key, kind)

    def model(self, *names: str) -> Path:
        """Where a fitted model is kept."""
        return self._anchor.model(*names) if names[0] == "anchor" else super().model(*names)


@dataclass(frozen=True)
class FoldJob:
    """One job of one configuration in one fold."""

    experiment: Experiment
    """No more than the model needs (`reduced`)."""
    step: int
    job: Job


@dataclass(frozen=True)
class SharedInputs:
    """What all jobs of one part of the walk share."""

    part: WalkPart
    root: Path


def inputs_of(shared: SharedInputs, experiment: Experiment, step: int) -> Inputs:
    """The inputs of one configuration in one fold, as a run's jobs take them."""
    part = shared.part.step(step)
    alone = "anchor" if "anchor" in experiment.forecasters.models else None
    anchor = shared.root / "anchors" / _digest(reduced(experiment, "anchor")) if alone else shared.root / "anchors"
    folder = FoldFolder(shared.root / "parts" / _digest(experiment) / str(step), anchor / str(step))
    return Inputs(experiment, part.panels, part.folds, part.sessions, folder)


def perform_fold(shared: SharedInputs, work: FoldJob) -> None:
    """Carry out a job and keep its part, in a worker process."""
    perform(inputs_of(shared, work.experiment, work.step), work.job)


class Bench:
    """Worker processes over one part of the walk; forecasts of any configuration, fold by fold."""

    def __init__(self, part: WalkPart, root: Path, workers: int | None) -> None:
        self.shared = SharedInputs(part, root)
        self._threads = max(1, workers or os.cpu_count() or 1) if workers != 0 else 1
        self._pool: Pool[FoldJob] = local_pool(self.shared, 0 if workers == 0 else self._threads, perform_fold)

    def forecasts(self, experiment: Experiment, model: ModelName, step: int) -> pd.DataFrame:
        """The forecasts in one fold of all that the model stands on, and of itself unless it is the blend.

        Raises TrialError when a job fails, naming it.
        """
        small = reduced(experiment, model)
        inputs = inputs_of(self.shared, small, step)
        alone = all(m in ("anchor", "seq2seq_pooled", "seq2seq_adapted", "blend") for m in small.forecasters.models)
        parts = []
        for stage in stages_of(inputs):
            jobs = [job for job in stage if not (alone and job.kind == "ticker")]
            todo = [FoldJob(small, step, job) for job in jobs if not inputs.folder.is_done(job.key)]
            self._carry_out(todo)
            parts += [inputs.folder.read_part(job.key)[0] for job in jobs]
        table = pd.concat([part for part in parts if len(part)], ignore_index=True)
        return table[self._asked(table, step)].reset_index(drop=True)

    def _asked(self, table: pd.DataFrame, step: int) -> pd.Series:
        """Which rows stand at a cutoff of the fold: a job forecasts from the last bar too, which nobody can score."""
        market, asked = table["unique_id"].map(self.markets), pd.Series(False, index=table.index)
        for name, folds in self.shared.part.step(step).folds.items():
            asked |= (market == name) & table["cutoff"].isin(folds[0].cutoffs.astype("datetime64[s]"))
        return asked

    @property
    def markets(self) -> dict[str, str]:
        """The market of each ticker."""
        return {t: m for m, panel in self.shared.part.panels.items() for t in panel.tickers}

    def _carry_out(self, todo: Sequence[FoldJob]) -> None:
        threads = ThreadPoolExecutor(self._threads)  # they only wait; the worker processes work
        try:
            for work, reason in zip(todo, threads.map(self._pool.perform, todo), strict=True):
                if reason:
                    raise TrialError(f"{work.job.label}: {reason}")
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def forget(self, experiment: Experiment, model: ModelName) -> None:
        """Drop what is kept of a configuration, its anchors excepted."""
        shutil.rmtree(self.shared.root / "parts" / _digest(reduced(experiment, model)), ignore_errors=True)

    def close(self, *, cancel: bool = False) -> None:
        """End the workers."""
        self._pool.close(cancel=cancel)


def complete(
    forecasts: pd.DataFrame, experiment: Experiment, model: ModelName, name: str, markets: Mapping[str, str]
) -> pd.DataFrame:
    """The rows of one model, under another name, from the forecasts of all that it stands on; the blend is made here.

    The blend's gate reads matured forecasts alone: rows of later folds change none of the earlier ones.
    """
    if model == "blend":
        rows, _ = blend(forecasts, experiment.forecasters.blending, markets)
    else:
        rows = forecasts[forecasts["model"] == model]
    return rows.assign(model=name)


def measure(
    forecasts: pd.DataFrame, pairs: Sequence[tuple[str, str]], experiment: Experiment, markets: Mapping[str, str]
) -> pd.DataFrame:
    """One row a (challenger, benchmark): the effect over all units by date, its interval, p and word, as in a run.

    Raises TrialError when the forecasts cannot be scored.
    """
    walk = experiment.walk
    try:
        losses = score(forecasts)
    except (ValueError, S2squantError) as error:
        raise TrialError(str(error)) from None
    every = pools(losses, every=walk.every, horizon=walk.horizon, markets=markets)
    everything = [pool for pool in every if pool.family == "all"]
    rows = compare(losses, everything, pairs, experiment.verdict)
    crps = dict(zip(losses.models, losses.crps_UK.mean(axis=0), strict=True))
    return rows.assign(crps=rows["challenger"].map(crps), crps_benchmark=rows["benchmark"].map(crps))


def reference_rows(bench: Bench, experiment: Experiment, number: int) -> pd.DataFrame:
    """The reference's forecasts in one fold; fitted once for all trials. Raises ConfigError when it cannot be."""
    reference = experiment.verdict.reference
    try:
        rows = bench.forecasts(experiment, reference, number)
    except TrialError as error:
        raise ConfigError(
            f"the reference cannot be fitted: {error}; leave the ticker out or choose another verdict.reference"
        ) from None
    return complete(rows, experiment, reference, reference, bench.markets)


def compare_held_out(
    search: Bench, rest: Bench, parts: Split, candidates: Mapping[str, Experiment], experiment: Experiment
) -> tuple[HeldOut, ...]:
    """The candidates against each other and against the reference, on the held-out cutoffs alone.

    The searched cutoffs' forecasts come along, so that a blend's gate knows what it would know in a backtest. Raises
    TrialError when a candidate cannot be fitted.
    """
    tuned, reference = experiment.verdict.recommended, experiment.verdict.reference
    markets = search.markets | rest.markets
    benches = [(search, number) for number in parts.search.steps] + [(rest, number) for number in parts.rest.steps]
    tables = [reference_rows(bench, experiment, number) for bench, number in benches]
    for name, wanted in candidates.items():
        behind = pd.concat([bench.forecasts(wanted, tuned, number) for bench, number in benches], ignore_index=True)
        tables.append(complete(behind, wanted, tuned, name, markets))
    table = pd.concat(tables, ignore_index=True)
    table = table[table["cutoff"] >= parts.first.astype("datetime64[s]")]
    names = list(candidates)
    pairs = [(names[0], other) for other in names[1:]] + [(name, reference) for name in names]
    columns = {f.name for f in fields(HeldOut)}
    rows = measure(table, pairs, experiment, markets).to_dict("records")
    return tuple(HeldOut(**{str(key): value for key, value in row.items() if key in columns}) for row in rows)


def earnings(
    forecasts: pd.DataFrame, model: str, experiment: Experiment, histories: Mapping[str, PriceHistory]
) -> tuple[dict[str, float], pd.Series]:
    """What a model would have earned by the declared rule, as the trial ledger keeps it.

    The Sharpe ratio of a bar by ticker and for the pool "all", and the pool's net return by date.
    """
    spec = experiment.strategy
    traded = list(legs(forecasts, histories, spec, horizon=experiment.walk.horizon, models=[model]))
    whole = pooled_net(traded, spec.cost_bp)[model]
    alone = ratios_of(holdings(traded), model, spec.cost_bp)
    return {POOL: sharpe_ratio(whole.to_numpy(float))} | alone, whole


def _digest(experiment: Experiment) -> str:
    return hashlib.sha256(experiment.to_json().encode()).hexdigest()[:16]
