"""The tasks: one call each. What they get is a bound method, so that Prefect neither hashes nor copies a run.

Their threads only wait. Training happens in the run's own processes: seeds are global to a process, and threads that
trained side by side would change each other's numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from prefect import task, unmapped
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed
from prefect.states import Completed

from s2squant.cli.screen import dropped, summary
from s2squant.config.models import label
from s2squant.config.nightly import Nightly, Retention
from s2squant.evaluation.results import Study
from s2squant.nightly.operation.upkeep import Upkeep, maintain
from s2squant.nightly.results import Night
from s2squant.prices.store.refresh import Update
from s2squant.runs.runner import JobResult, JobRunner


@task(task_run_name="{job.key}", cache_policy=NO_CACHE, persist_result=False)
def execute(work: Callable[[Any], JobResult], job: Any) -> JobResult:
    """Do one job; a ticker's failure is a named state, and the others go on."""
    result = work(job)
    if result.status == "failed":  # Prefect hands on the state's data
        return Completed(name="TickerFailed", message=result.reason, data=result)  # type: ignore[return-value]
    return result


def execute_stages(run: JobRunner[Any], finished: Callable[[JobResult], None]) -> None:
    """Carry out all jobs, one stage after the other, a task each; `finished` is called as they end."""
    for stage in filter(None, run.stages):
        for future in as_completed(execute.map(unmapped(run.execute), list(stage))):
            finished(future.result())


@task(task_run_name="{ticker}", cache_policy=NO_CACHE, persist_result=False)
def fetch(work: Callable[..., Update], ticker: str, interval: str, start: date | None, anew: bool) -> Update:
    """Bring one ticker of the price store up to date; its failure is a named state, and the others go on."""
    update = work(ticker, interval, start, anew=anew)
    if update.error is not None:
        return Completed(name="TickerFailed", message=update.error.reason, data=update)  # type: ignore[return-value]
    return update


@task(cache_policy=NO_CACHE, persist_result=False)
def finish(work: Callable[[], Study]) -> Study:
    """Scores, verdicts, report and manifest."""
    return work()


@task(cache_policy=NO_CACHE, persist_result=False)
def conclude(work: Callable[[], Night]) -> Night:
    """Gate, issue, score, recalibrate and report of a night."""
    return work()


@task(task_run_name="upkeep-{spec.name}", cache_policy=NO_CACHE, persist_result=False)
def keep_up(spec: Nightly, retention: Retention, dry_run: bool, others: Sequence[Nightly]) -> Upkeep:
    """Remove what is past its retention; the backtests that the `others` name stay."""
    return maintain(spec, retention, dry_run=dry_run, others=others)


def publish(folder: Path, study: Study) -> None:
    """Leave the verdict as one markdown artifact and the leaderboard as one table artifact."""
    create_markdown_artifact(key="backtest", markdown=markdown(folder, study), description=study.run_id)
    create_table_artifact(key="leaderboard", table=summary(folder, study)["leaderboard"], description=study.run_id)


def markdown(folder: Path, study: Study) -> str:
    """The verdict, the first rows of the leaderboard, who dropped out, and where the report is."""
    rows = [
        f"| {label(row['model'])} | {row['crps']:.4f} | {100 * row['skill']:+.2f} % |"
        for row in study.leaderboard.head(5).to_dict("records")
    ]
    table = ["| model | CRPS, % | skill |", "|---|---|---|", *rows]
    out = [f"- {what} {ticker}: {why}" for what, reasons in dropped(study).items() for ticker, why in reasons.items()]
    return "\n".join([f"**{study.sentence}**", "", *table, "", *out, "", f"Report: `{folder / 'index.html'}`"])
