"""The terminal screen of a backtest: progress and skipped tickers to standard error, results to standard output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from s2squant.cli.progress import JobProgress, Mode
from s2squant.cli.tables import page_at, plain_console, plain_table
from s2squant.errors import first_of

if TYPE_CHECKING:  # study brings torch, which a help text can do without
    from s2squant.evaluation.results import Study
    from s2squant.runs.runner import JobResult
    from s2squant.study import Run


class Screen(JobProgress):
    """The Watcher of the command line: folds first, progress, then the leaderboard and the verdict."""

    def __init__(self, mode: Mode) -> None:
        super().__init__(mode)
        self.study: Study | None = None
        """The finished study; None while the run goes on."""

    def opened(self, run: Run) -> None:
        """Show the folds and what was skipped; lay out one bar a stage."""
        self.folder = run.folder
        if self.mode == "text":
            print(run.fold_table.rstrip("\n"), flush=True)
        for ticker, reason in run.skipped.items():
            self.say(f"skipped {ticker}: {reason}")
        if run.unread:
            self.say(f"columns that are not read: {first_of(run.unread, 8)}; declare them as covariates to use them")
        count = len(run.stages)
        self.lay_out(run.stages, [f"stage {number} of {count}" for number in range(1, count + 1)], running=False)
        self._start_clocks()
        self.start()

    def finished(self, result: JobResult) -> None:
        """Move the bar on, and the clock to the next stage where one has ended."""
        super().finished(result)
        self._start_clocks()
        if self.left == 0:
            self.bars.add_task("scores and report", total=None)

    def written(self, folder: Path, study: Study) -> None:
        """Show the leaderboard, the tickers that fell out, the verdict and where the report is."""
        self.stop()
        self.folder, self.study = folder, study
        if self.mode == "json":
            print(json.dumps(summary(folder, study), indent=1))
            return
        if self.mode == "text":
            plain_console().print(leaderboard(study))
            for report in study.tickers:
                if report.status != "ok":
                    print(f"{report.status} {report.ticker}: {report.reason}")
            for name, reason in study.failed_models.items():
                print(f"failed {name}: {reason}")
        print(study.sentence)
        print(f"report: {page_at(folder / 'index.html')}", flush=True)

    def _start_clocks(self) -> None:
        """A stage's clock runs from the end of the stage before."""
        for task in self.bars.tasks:
            self.bars.start_task(task.id)
            if not task.finished:
                break


def leaderboard(study: Study) -> Table:
    """The short leaderboard, in the study's order; 80 columns suffice."""
    from s2squant.config.models import label  # pydantic, which a help text can do without

    table = plain_table("model", ">CRPS %", ">skill %", ">by date, 95 %", ">won %", ">cov80", ">p")
    for row in study.leaderboard.to_dict("records"):
        table.add_row(
            label(row["model"]),
            f"{row['crps']:.4f}",
            f"{100 * row['skill']:+.2f}",
            _interval(row["effect"], row["effect_low"], row["effect_high"]),
            f"{100 * row['won']:.0f}",
            f"{100 * row['coverage_80']:.1f}",
            f"{row['dm_p']:.3f}" if isfinite(row["dm_p"]) else "-",
        )
    return table


def _interval(effect: float, low: float, high: float) -> str:
    if not (isfinite(low) and isfinite(high)):
        return "not tested"
    return f"{100 * effect:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def summary(folder: Path, study: Study) -> dict[str, Any]:
    """The run in plain JSON values: status, verdict, leaderboard (absent numbers are null) and where things are."""
    return {
        "run_id": study.run_id,
        "status": study.status,
        "exit_status": exit_status(study),
        "verdict": study.word,
        "sentence": study.sentence,
        "folder": str(folder),
        "report": str(folder / "index.html"),
        "tickers": {"ok": sum(t.status == "ok" for t in study.tickers), **dropped(study)},
        "failed_models": dict(study.failed_models),
        "leaderboard": json.loads(study.leaderboard.to_json(orient="records")),
    }


def dropped(study: Study) -> Mapping[str, dict[str, str]]:
    """The tickers without a result and the reason of each, by status."""
    return {
        status: {report.ticker: report.reason for report in study.tickers if report.status == status}
        for status in ("skipped", "failed")
    }


def exit_status(study: Study) -> int:
    """0 where every ticker and model has a result, 3 where some have none."""
    return 0 if study.status == "done" else 3
