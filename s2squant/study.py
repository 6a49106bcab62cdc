"""The backtest, from prices to report: a table of contents.

with open_run(experiment, out) as run:
    for result in run.execute_stages():
        ...
    study = run.finish()
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from s2squant.config.defaults import Engine
from s2squant.config.experiment import Experiment, VerdictSpec
from s2squant.errors import CallerError
from s2squant.evaluation.evaluate import Evaluation, evaluate
from s2squant.evaluation.portfolio.tables import portfolio_tables
from s2squant.evaluation.portfolio.weights import check_rule
from s2squant.evaluation.results import Portfolio, Study, TickerReport
from s2squant.evaluation.strategy.trade import Traded, trade
from s2squant.evaluation.strategy.trial_ledger import ledger_path
from s2squant.evaluation.wording import after_audit, after_shuffling
from s2squant.prices.covariates.load import unread
from s2squant.prices.sources.from_store import pinned
from s2squant.report.runs_page import runs_page
from s2squant.report.study_pages import render
from s2squant.runs.audit import audit, places_of, rows_for
from s2squant.runs.collect import Collected, collect, combine, reports_after, without_models
from s2squant.runs.engines.background import Background
from s2squant.runs.engines.choose import check_engine, make_pool
from s2squant.runs.engines.spread import spread_map
from s2squant.runs.identity import as_begun, beside_previous, claimed_folder
from s2squant.runs.jobs import Inputs, Job, stages_of
from s2squant.runs.joint import joint_rows, joint_scores, newest_paths
from s2squant.runs.manifest import manifest, provenance
from s2squant.runs.memory import give_memory_back
from s2squant.runs.newcomers import newcomers, told
from s2squant.runs.plan import planned
from s2squant.runs.run_list import write_list
from s2squant.runs.runner import JobResult, JobRunner
from s2squant.runs.shuffled import shuffled_headline
from s2squant.runs.study_files import TOP, write_study
from s2squant.series.history import PriceHistory
from s2squant.series.long_table import rounded
from s2squant.series.windows import fold_table

Later = Callable[[], pd.DataFrame]
"""Waits for a table that is under way."""

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
    experiment = as_begun(experiment, out)
    experiment, plan = planned(experiment)
    check_rule(experiment.portfolio, {market: panel.tickers for market, panel in plan.panels.items()})
    repeatable = pinned(experiment.universe, (*plan.histories.values(), *plan.beside))
    experiment = experiment.model_copy(update={"universe": repeatable})
    folder = claimed_folder(experiment, plan, out, flow)
    inputs = Inputs(experiment, plan.panels, plan.folds, plan.sessions, folder, importance=True)
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
        self.unread = unread(tuple(histories.values()), inputs.experiment.covariates)
        """Columns of the tickers' files that nothing reads."""
        self.skipped = {r.ticker: r.reason for r in tickers if r.status != "ok"}
        self.fold_table = fold_table(inputs.all_folds)
        self._tickers, self._histories, self._command, self._ledger = tickers, histories, command, ledger
        self._created_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._seconds = {"load": round(seconds, 3)}
        super().__init__(inputs.folder, stages_of(inputs), workers, partial(make_pool, engine, inputs))

    def finish(self) -> Study:
        """Collect, combine, evaluate, trade, shuffle, audit; write the study and its report, the manifest last."""
        self.close()
        with self._timed("collect"):
            collected = collect(self.inputs, self)
            self._seconds |= collected.seconds
            _refuse_needed(self.experiment.verdict, collected.failed_models)
            running = without_models(self.experiment, collected.failed_models)
            inputs = replace(self.inputs, experiment=running)
            forecasts, weights, recalibration = combine(collected.forecasts, running, inputs.markets)
            collected = replace(collected, forecasts=pd.DataFrame())  # it would be in memory twice
            forecasts = rounded(forecasts)  # as they are stored, and all that follows is of what is stored
        with Background(inputs, self._beside) as background:
            shuffled, audited, joined, young = self._begin(background, inputs, forecasts)
            with self._timed("judge"):
                evaluation = evaluate(
                    forecasts,
                    running,
                    markets=inputs.markets,
                    histories=self._histories,
                    path_scores=collected.path_scores,
                    importances=collected.importances,
                )
                traded = self._trade(forecasts, evaluation)
            with self._timed("portfolio"):
                held = self._portfolio(forecasts, traded)
            beyond = (shuffled(), joined(), audited(), held)
            newcomer_rows = young()
        self._seconds |= background.seconds
        study = self._study(collected, forecasts, (weights, recalibration), evaluation, traded, beyond)
        study = replace(study, newcomers=newcomer_rows, tickers=told(study.tickers, newcomer_rows))
        study = beside_previous(study, self.inputs.folder)
        self._write(study)
        return study

    def _begin(self, background: Background[Inputs], inputs: Inputs, forecasts: pd.DataFrame) -> tuple[Later, ...]:
        """Begin what does not wait for the verdict: the shuffled headline, the audit, joint scores and newcomers."""
        kept = self._ledger.parent / "shuffled" if self._ledger is not None else None
        tickers = tuple(str(ticker) for ticker in forecasts["unique_id"].unique())
        places = places_of(inputs, forecasts)
        left_out = [self._histories[ticker] for ticker in self.skipped if ticker in self._histories]
        return (
            background.start(partial(shuffled_headline, tickers=tickers, kept=kept), "shuffled"),
            background.start(partial(audit, places=places, forecasts=rows_for(inputs, places, forecasts)), "audit"),
            background.start(partial(joint_scores, forecasts=joint_rows(inputs, forecasts)), "joint"),
            background.start(partial(newcomers, left_out=left_out), "newcomers"),
        )

    @property
    def _processes(self) -> int:
        """Worker processes of this machine beside this one, once the jobs have ended: none where one did all."""
        workers = min(self.workers, os.cpu_count() or 1)  # a cluster's are not of this machine
        return workers if workers > 1 else 0

    @property
    def _beside(self) -> int:
        """Worker processes while this one judges, which takes a processor itself; each more is 150 to 250 MB."""
        return max(1, self._processes - 1) if self._processes else 0

    def _trade(self, forecasts: pd.DataFrame, evaluation: Evaluation) -> Traded:
        """What the declared rule would have earned, entered into the trial ledger."""
        return trade(
            forecasts,
            self._histories,
            self.experiment,
            evaluation.losses,
            markets=self.inputs.markets,
            tickers=tuple(report.ticker for report in self._tickers),
            run_id=self.folder.name,
            created_at=self._created_at,
            word=evaluation.judgement.word,
            ledger=self._ledger,
        )

    def _portfolio(self, forecasts: pd.DataFrame, traded: Traded) -> Portfolio:
        """What the portfolio of the experiment would have made, and what is to be expected of it."""
        markets = {t: m for t, m in self.inputs.markets.items() if t in self._histories}
        tried = int(traded.performance["trials"].max()) if len(traded.performance) else 1
        return portfolio_tables(forecasts, self._histories, self.experiment, markets=markets, trials=tried)

    def _study(
        self,
        collected: Collected,
        forecasts: pd.DataFrame,
        decisions: tuple[pd.DataFrame, pd.DataFrame],
        evaluation: Evaluation,
        traded: Traded,
        beyond: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Portfolio],
    ) -> Study:
        """Everything as one record."""
        tickers, present = reports_after(self._tickers, self), set(evaluation.losses.tickers)
        judgement = evaluation.judgement
        nothing, joined, audited, held = beyond
        sentence, word = after_audit(after_shuffling(judgement.sentence, nothing), judgement.word, audited)
        study = Study(
            experiment=self.experiment,
            run_id=self.folder.name,
            created_at=self._created_at,
            status="partial" if collected.failed_models or any(r.status != "ok" for r in tickers) else "done",
            sentence=sentence,
            word=word,
            rule=judgement.rule,
            tickers=tickers,
            folds=self.inputs.all_folds,
            histories={t: h for t, h in self._histories.items() if t in present},
            forecasts=forecasts,
            scores=evaluation.losses.table(),
            verdicts=judgement.verdicts,
            leaderboard=judgement.leaderboard,
            by_step=judgement.by_step,
            by_ticker=judgement.by_ticker,
            by_ticker_step=judgement.by_ticker_step,
            over_time=judgement.over_time,
            training=collected.training,
            weights=decisions[0],
            recalibration=decisions[1],
            equity=traded.equity,
            provenance=self._provenance() | {"trial_ledger": traded.note} | collected.trained,
            performance=traded.performance,
            overfitting=traded.overfitting,
            months=traded.months,
            drawdowns=traded.drawdowns,
            rolling_sharpe=traded.rolling_sharpe,
            shuffled=nothing,
            joint=joined,
            audit=audited,
            failed_models=collected.failed_models,
            attention={t: weights for t, weights in collected.attention.items() if t in present},
            portfolio=held,
            **vars(evaluation.evidence),
        )
        return replace(study, rows={name: len(getattr(study, name)) for name in TOP})

    def _provenance(self) -> dict[str, Any]:
        return provenance(
            self.experiment,
            self._histories,
            command=self._command,
            engine=self.engine,
            workers=self.workers,
            timings=self._seconds,
        )

    def _write(self, study: Study) -> None:
        folder = self.inputs.folder
        with self._timed("write"):
            write_study(folder, study)
            if study.experiment.portfolio.paths:
                folder.write_table("paths.parquet", newest_paths(self.inputs, study.forecasts))
        with self._timed("render"):
            spread = partial(spread_map, workers=self._processes) if self._processes else None
            with closing(render(study, runs=folder.runs_page, spread=spread)) as pages:
                folder.write_pages(pages)
        timed = {**study.provenance, "timings": dict(self._seconds)}
        folder.finish(manifest(replace(study, provenance=timed)))
        write_list(folder, runs_page)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        give_memory_back()
        self._seconds[step] = round(time.perf_counter() - started, 3)


def _refuse_needed(spec: VerdictSpec, failed: Mapping[str, str]) -> None:
    """Raise CallerError where the verdict would be about an own model that failed."""
    for role, model in (("reference", spec.reference), ("recommended", spec.recommended)):
        if model in failed:
            raise CallerError(f"{model}, which is verdict.{role}, failed on {failed[model]}")


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
