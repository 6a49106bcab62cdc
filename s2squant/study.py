"""The line itself, from prices to report: a table of contents.

with open_run(experiment, out) as run:
    for stage in run.stages:
        for job in stage:
            run.execute(job)
    study = run.finish()
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from s2squant import __version__
from s2squant.config.experiment import Engine, Experiment
from s2squant.config.files import make_experiment
from s2squant.config.models import BASELINES
from s2squant.errors import CallerError, S2squantError
from s2squant.evaluation.evidence import assess
from s2squant.evaluation.losses import score
from s2squant.evaluation.paths import scores_table
from s2squant.evaluation.previous_run import compare
from s2squant.evaluation.results import Study, TickerReport
from s2squant.evaluation.strategy.trade import trade
from s2squant.evaluation.strategy.trial_ledger import asked, ledger_path
from s2squant.evaluation.verdict import judge
from s2squant.evaluation.wording import after_audit
from s2squant.forecasters.blend import GATE_COLUMNS, blend
from s2squant.forecasters.recalibration import adapted
from s2squant.prices.sources.from_store import pinned
from s2squant.report.study_pages import render
from s2squant.runs.audit import audit
from s2squant.runs.engines.choose import check_engine, make_pool
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, Job, stages_of
from s2squant.runs.manifest import manifest, provenance
from s2squant.runs.plan import make_plan
from s2squant.runs.runner import SEQUENTIAL, JobResult
from s2squant.runs.study_files import load_study, write_study
from s2squant.series.arrays import Floats
from s2squant.series.forecast import SUFFIX, quantile_crps
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Fold
from s2squant.series.windows import fold_table

__all__ = ["Job", "JobResult", "Run", "backtest", "open_run"]


def open_run(
    experiment: Experiment,
    out: Path | None = None,
    *,
    workers: int | None = None,
    engine: Engine = "local",
    flow: str = "backtest",
    command: str = "",
    trial: bool = True,
) -> Run:
    """Read the prices, make the folds, and claim the folder; a killed run of the same experiment in `out` is resumed.

    `workers` processes carry out the jobs, as many as there are processors when None, none but this one when 0; they
    are started by the `engine`.
    A `trial` is entered into the trial ledger when it is finished; an audit is none.
    Nothing is written before the input is found sound. Raises CallerError when it is not.
    """
    started = time.perf_counter()
    check_engine(engine)
    experiment = experiment if out is None else _as_begun(experiment, RunFolder(out))
    plan = make_plan(experiment)
    repeatable = pinned(experiment.universe, plan.histories.values())
    experiment = experiment.model_copy(update={"universe": repeatable})
    identity = {
        "experiment": json.loads(experiment.to_json()),
        "prices": {ticker: history.sha256 for ticker, history in sorted(plan.histories.items())},
        "version": __version__,
    }
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    folder = RunFolder(out) if out is not None else RunFolder.fresh(flow, tag)
    folder.claim(identity)
    inputs = Inputs(experiment, plan.panels, plan.folds, plan.sessions, folder)
    seconds = time.perf_counter() - started
    ledger = ledger_path() if trial else None
    try:
        return Run(
            inputs,
            plan.tickers,
            plan.histories,
            workers=workers,
            engine=engine,
            command=command,
            seconds=seconds,
            ledger=ledger,
        )
    except BaseException:
        folder.release()
        raise


def _as_begun(experiment: Experiment, folder: RunFolder) -> Experiment:
    """The experiment as of the moment at which it was begun in the folder: bars that came later are not its own."""
    begun = (folder.begun_with() or {}).get("experiment")
    if experiment.universe.as_of is not None or not isinstance(begun, dict):
        return experiment
    noted = {name: begun.get("universe", {}).get(name) for name in ("as_of", "pinned")}
    settings = json.loads(experiment.to_json())
    if noted["as_of"] is None or begun != settings | {"universe": settings["universe"] | noted}:
        return experiment
    return make_experiment(begun, where=str(folder.path))


class Run:
    """A backtest under way: its jobs, the pool that carries them out, and its end."""

    def __init__(
        self,
        inputs: Inputs,
        tickers: tuple[TickerReport, ...],
        histories: Mapping[str, PriceHistory],
        *,
        workers: int | None,
        engine: Engine = "local",
        command: str = "",
        seconds: float = 0.0,
        ledger: Path | None = None,
    ) -> None:
        self.inputs = inputs
        self.experiment = inputs.experiment
        self.folder = inputs.folder.path
        self.stages = stages_of(inputs)
        self.skipped = {r.ticker: r.reason for r in tickers if r.status != "ok"}
        self.fold_table = fold_table(self._folds())
        self._tickers, self._histories, self._command, self._ledger = tickers, histories, command, ledger
        self._started, self._loading = datetime.now(UTC), seconds
        self._failed: dict[str, str] = {}  # by ticker
        self._failed_markets: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._attention: dict[str, Floats] = {}  # by ticker; its own net's in place of a pooled one's
        self._energy: list[Mapping[str, Any]] = []  # scores of whole paths, by model, ticker and fold
        jobs = sum(len(stage) for stage in self.stages)
        self.workers = 1 if workers == 0 else max(1, min(workers or os.cpu_count() or 1, jobs))
        self.engine = engine
        self._pool = make_pool(engine, inputs, 0 if workers == 0 else self.workers)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close(cancel=kind is not None)
        self.inputs.folder.release()

    def execute(self, job: Job) -> JobResult:
        """Carry out one job in a worker process; a failure is a result, not an exception."""
        if self.inputs.folder.is_done(job.key):
            return JobResult(job.key, "kept", "", 0.0)
        if job.market in self._failed_markets:
            return self._fail(job, self._failed_markets[job.market], 0.0)
        started = time.perf_counter()
        reason = self._pool.perform(job)
        seconds = time.perf_counter() - started
        if reason:
            return self._fail(job, reason, seconds)
        return JobResult(job.key, "done", "", seconds)

    def execute_all(self, stage: tuple[Job, ...]) -> Iterator[JobResult]:
        """Carry out the jobs of one stage side by side; results come as they end."""
        threads = ThreadPoolExecutor(self.workers)  # they only wait; the worker processes work
        try:
            for done in as_completed([threads.submit(self.execute, job) for job in stage]):
                yield done.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _fail(self, job: Job, reason: str, seconds: float) -> JobResult:
        if job.kind in SEQUENTIAL:
            self._failed_markets.setdefault(job.market, f"{job.label} failed: {reason}")
        else:
            self._failed[job.ticker] = reason
        return JobResult(job.key, "failed", reason, seconds)

    def finish(self) -> Study:
        """Blend, score, judge, trade, lay out; write everything, the manifest last."""
        self._pool.close()
        clock = time.perf_counter()
        forecasts, gates, training = self._collect_blended()
        experiment, markets = self.experiment, self._markets()
        if experiment.conformal.enabled:
            rows = adapted(forecasts, experiment.verdict.recommended, experiment.conformal)
            forecasts = pd.concat([forecasts, rows], ignore_index=True)
        forecasts = self._ordered(forecasts)
        losses = score(forecasts)
        present = set(losses.tickers)
        kinds = {m: kind_of(m, experiment) for m in losses.models}
        markets = {t: m for t, m in markets.items() if t in present}
        walk, spec = experiment.walk, experiment.verdict
        judged = judge(losses, every=walk.every, horizon=walk.horizon, spec=spec, kinds=kinds, markets=markets)
        evidence = assess(
            forecasts,
            losses,
            judged.verdicts,
            every=walk.every,
            horizon=walk.horizon,
            spec=spec,
            kinds=kinds,
            markets=markets,
            histories=self._histories,
            energies=scores_table(self._energy),
        )
        tickers, created_at = self._reports(), self._started.strftime("%Y-%m-%dT%H:%M:%SZ")
        traded = trade(
            forecasts,
            self._histories,
            experiment,
            losses,
            tickers=tuple(r.ticker for r in tickers),
            run_id=self.folder.name,
            created_at=created_at,
            word=judged.word,
            ledger=self._ledger,
        )
        self._seconds["judge"] = round(time.perf_counter() - clock, 3)
        clock = time.perf_counter()
        audited = audit(self.inputs, forecasts)
        self._seconds["audit"] = round(time.perf_counter() - clock, 3)
        sentence, word = after_audit(judged.sentence, judged.word, audited)
        study = Study(
            experiment=experiment,
            run_id=self.folder.name,
            created_at=created_at,
            status="done" if all(r.status == "ok" for r in tickers) else "partial",
            sentence=sentence,
            word=word,
            rule=judged.rule,
            tickers=tickers,
            folds=self._folds(),
            histories={t: h for t, h in self._histories.items() if t in present},
            forecasts=forecasts,
            scores=losses.table(),
            verdicts=judged.verdicts,
            leaderboard=judged.leaderboard,
            by_step=judged.by_step,
            by_ticker=judged.by_ticker,
            by_ticker_step=judged.by_ticker_step,
            over_time=judged.over_time,
            training=training,
            gates=gates,
            equity=traded.equity,
            provenance=self._provenance() | {"trial_ledger": traded.note},
            performance=traded.performance,
            equity_by_cost=traded.equity_by_cost,
            overfitting=traded.overfitting,
            audit=audited,
            attention={t: weights for t, weights in self._attention.items() if t in present},
            **vars(evidence),
        )
        study = self._beside_previous(study)
        self._write(study)
        return study

    def forecasts(self) -> pd.DataFrame:
        """What the finished jobs and the blend forecast, for a caller who asks for no verdict; ends the jobs."""
        self._pool.close()
        return self._collect_blended()[0]

    @property
    def refused(self) -> dict[str, str]:
        """Why each ticker without a result has none."""
        return {r.ticker: r.reason for r in self._reports() if r.status != "ok"}

    def _markets(self) -> dict[str, str]:
        return {t: m for m, panel in self.inputs.panels.items() for t in panel.tickers}

    def _folds(self) -> tuple[Fold, ...]:
        return tuple(f for market in sorted(self.inputs.folds) for f in self.inputs.folds[market])

    def _collect_blended(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        forecasts, training = self._collect()
        models = self.experiment.forecasters
        if "blend" not in models.models:
            return forecasts, pd.DataFrame(columns=GATE_COLUMNS), training
        rows, gates = blend(forecasts, quantile_crps, models.blending, self._markets())
        return pd.concat([forecasts, rows], ignore_index=True), gates, training

    def _collect(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The parts of all finished jobs, without the tickers that failed."""
        bad = {t for m in self._failed_markets for t in self.inputs.panels[m].tickers} | set(self._failed)
        forecasts, training = [], []
        for job in (job for stage in self.stages for job in stage):
            if job.market in self._failed_markets or job.ticker in bad:
                continue
            part, curve, facts = self.inputs.folder.read_part(job.key)
            self._attention |= {ticker: np.array(weights) for ticker, weights in facts.get("attention", {}).items()}
            self._energy += [record for record in facts.get("energy", []) if record["unique_id"] not in bad]
            forecasts.append(part[~part["unique_id"].isin(bad)] if bad and len(part) else part)
            training.append(curve)
            self._seconds[job.key] = facts["seconds"]
        kept = [part for part in forecasts if len(part)]
        if not kept:
            reason = next(iter([*self._failed_markets.values(), *self._failed.values()]), "nothing was forecast")
            raise S2squantError(f"every ticker failed; the first reason: {reason}")
        curves = [curve for curve in training if len(curve)]
        return pd.concat(kept, ignore_index=True), pd.concat(curves, ignore_index=True) if curves else training[0]

    def _ordered(self, forecasts: pd.DataFrame) -> pd.DataFrame:
        made = set(forecasts["model"])
        models = [name for m in self.experiment.forecasters.models for name in (m, m + SUFFIX) if name in made]
        forecasts["model"] = pd.Categorical(forecasts["model"], categories=models)
        forecasts["unique_id"] = forecasts["unique_id"].astype("category")
        return forecasts.sort_values(["model", "unique_id", "cutoff", "step"], ignore_index=True)

    def _reports(self) -> tuple[TickerReport, ...]:
        def after(report: TickerReport) -> TickerReport:
            reason = self._failed_markets.get(report.market) or self._failed.get(report.ticker)
            if report.status != "ok" or not reason:
                return report
            return TickerReport(**(report.__dict__ | {"status": "failed", "reason": reason}))

        return tuple(after(report) for report in self._tickers)

    def _provenance(self) -> dict[str, Any]:
        timings = {"load": round(self._loading, 3)} | self._seconds
        return provenance(
            self.experiment,
            self._histories,
            command=self._command,
            engine=self.engine,
            workers=self.workers,
            timings=timings,
        )

    def _beside_previous(self, study: Study) -> Study:
        """The study with what changed since the previous run of this experiment, where there is a readable one."""
        for path in self.inputs.folder.earlier(partial(_is_again, study.experiment)):
            try:
                before = load_study(path, without=("forecasts", "scores", "over_time", "training"))
            except CallerError:
                continue
            return replace(study, changes=compare(study, before), previous=before.run_id)
        return study

    def _write(self, study: Study) -> None:
        folder = self.inputs.folder
        write_study(folder, study)
        folder.write_pages(render(study))
        folder.finish(manifest(study))


def backtest(
    experiment: Experiment,
    out: Path | None = None,
    *,
    workers: int | None = None,
    engine: Engine = "local",
    flow: str = "backtest",
    command: str = "",
    on_result: Callable[[JobResult], None] | None = None,
) -> tuple[Path, Study]:
    """Run a whole backtest in a plain loop; returns its folder and the study."""
    with open_run(experiment, out, workers=workers, engine=engine, flow=flow, command=command) as run:
        for stage in run.stages:
            for result in run.execute_all(stage):
                if on_result is not None:
                    on_result(result)
        return run.folder, run.finish()


def _is_again(experiment: Experiment, text: str) -> bool:
    """Whether an experiment.json asks for the same, on whatever bars there were; raises ValueError where it is none."""
    return asked(Experiment.model_validate_json(text)) == asked(experiment)


def kind_of(model: str, experiment: Experiment) -> str:
    """What a model is in the leaderboard."""
    if model.endswith(SUFFIX):
        return "conformal"
    if model == experiment.verdict.reference:
        return "reference"
    if model in BASELINES:
        return "baseline"
    return "network" if model.startswith("seq2seq") else model
