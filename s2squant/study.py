"""The line itself, from prices to report: a table of contents.

with open_run(experiment, out) as run:
    for result in run.execute_stages():
        ...
    study = run.finish()
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from s2squant import __version__
from s2squant.config.defaults import Engine
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.config.models import RECALIBRATED, kind_of
from s2squant.errors import CallerError
from s2squant.evaluation.energy import energy_scores
from s2squant.evaluation.evidence import assess
from s2squant.evaluation.losses import score
from s2squant.evaluation.previous_run import compare
from s2squant.evaluation.results import Study, TickerReport
from s2squant.evaluation.strategy.trade import trade
from s2squant.evaluation.strategy.trial_ledger import asked, ledger_path
from s2squant.evaluation.verdict import judge
from s2squant.evaluation.wording import after_audit
from s2squant.forecasters.blend import with_blend
from s2squant.forecasters.recalibration import adapted
from s2squant.prices.sources.from_store import pinned
from s2squant.report.study_pages import render
from s2squant.runs.audit import audit
from s2squant.runs.collect import collect, reports_after
from s2squant.runs.engines.choose import check_engine, make_pool
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Inputs, Job, stages_of
from s2squant.runs.manifest import manifest, provenance
from s2squant.runs.plan import make_plan
from s2squant.runs.runner import JobResult, JobRunner
from s2squant.runs.study_files import load_study, write_study
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


class Run(JobRunner[Job]):
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
        self.engine = engine
        self.skipped = {r.ticker: r.reason for r in tickers if r.status != "ok"}
        self.fold_table = fold_table(self._folds())
        self._tickers, self._histories, self._command, self._ledger = tickers, histories, command, ledger
        self._started, self._loading = datetime.now(UTC), seconds
        self._seconds: dict[str, float] = {}
        super().__init__(inputs.folder, stages_of(inputs), workers, partial(make_pool, engine, inputs))

    def finish(self) -> Study:
        """Blend, score, judge, trade, lay out; write everything, the manifest last."""
        self.close()
        clock = time.perf_counter()
        collected = collect(self.inputs, self)
        self._seconds |= collected.seconds
        experiment, markets = self.experiment, self._markets()
        forecasts, gates = with_blend(collected.forecasts, experiment.forecasters, markets)
        if experiment.conformal.enabled:
            rows = adapted(forecasts, experiment.verdict.recommended, experiment.conformal)
            forecasts = pd.concat([forecasts, rows], ignore_index=True)
        forecasts = self._ordered(forecasts)
        losses = score(forecasts)
        present = set(losses.tickers)
        kinds = {m: kind_of(m, experiment.verdict.reference) for m in losses.models}
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
            energies=energy_scores(collected.energy),
        )
        tickers, created_at = reports_after(self._tickers, self), self._started.strftime("%Y-%m-%dT%H:%M:%SZ")
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
            training=collected.training,
            gates=gates,
            equity=traded.equity,
            provenance=self._provenance() | {"trial_ledger": traded.note},
            performance=traded.performance,
            equity_by_cost=traded.equity_by_cost,
            overfitting=traded.overfitting,
            audit=audited,
            attention={t: weights for t, weights in collected.attention.items() if t in present},
            **vars(evidence),
        )
        study = self._beside_previous(study)
        self._write(study)
        return study

    def _markets(self) -> dict[str, str]:
        return {t: m for m, panel in self.inputs.panels.items() for t in panel.tickers}

    def _folds(self) -> tuple[Fold, ...]:
        return tuple(f for market in sorted(self.inputs.folds) for f in self.inputs.folds[market])

    def _ordered(self, forecasts: pd.DataFrame) -> pd.DataFrame:
        made = set(forecasts["model"])
        models = [name for m in self.experiment.forecasters.models for name in (m, m + RECALIBRATED) if name in made]
        forecasts["model"] = pd.Categorical(forecasts["model"], categories=models)
        forecasts["unique_id"] = forecasts["unique_id"].astype("category")
        return forecasts.sort_values(["model", "unique_id", "cutoff", "step"], ignore_index=True)

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
        for result in run.execute_stages():
            if on_result is not None:
                on_result(result)
        return run.folder, run.finish()


def _is_again(experiment: Experiment, text: str) -> bool:
    """Whether an experiment.json asks for the same, on whatever bars there were; raises ValueError where it is none."""
    return asked(Experiment.model_validate_json(text)) == asked(experiment)
