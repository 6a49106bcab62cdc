"""What a person at a terminal, or a program reading standard output, sees of a run.

Results go to standard output; progress, skipped tickers and errors go to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:  # study brings torch, which a help text can do without
    from s2squant.evaluation.results import Study
    from s2squant.runs.runner import JobResult
    from s2squant.study import Run

Mode = Literal["text", "quiet", "json"]


class Watcher(Protocol):
    """Told how a run goes on: first `opened`, then `finished` once a job, then `written`."""

    def opened(self, run: Run) -> None: ...

    def finished(self, result: JobResult) -> None: ...

    def written(self, folder: Path, study: Study) -> None: ...


class Screen:
    """The Watcher of the command line: bars on a terminal, one line a job elsewhere, the results at the end."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.folder: Path | None = None
        """The run's folder, once it is known."""
        self.study: Study | None = None
        """The finished study; None while the run goes on."""
        self._console = Console(stderr=True, quiet=mode == "quiet", highlight=False, soft_wrap=True)
        self._progress = bars(self._console)
        self._bar_of: dict[str, TaskID] = {}
        self._label_of: dict[str, str] = {}
        self._left = 0

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_bars()

    def opened(self, run: Run) -> None:
        """Show the folds and what was skipped; lay out one bar a stage."""
        self.folder = run.folder
        if self.mode == "text":
            print(run.fold_table.rstrip("\n"), flush=True)
        for ticker, reason in run.skipped.items():
            self._say(f"skipped {ticker}: {reason}")
        for number, stage in enumerate(run.stages, 1):
            bar = self._progress.add_task(f"stage {number} of {len(run.stages)}", total=len(stage), start=False)
            self._bar_of |= dict.fromkeys((job.key for job in stage), bar)
            self._label_of |= {job.key: job.label for job in stage}
        self._left = len(self._bar_of)
        self._start_clocks()
        if self._console.is_terminal:
            self._progress.start()

    def finished(self, result: JobResult) -> None:
        """Move the bar on; say what failed, and off a terminal every job."""
        self._left -= 1
        self._progress.advance(self._bar_of[result.key])
        self._start_clocks()
        label = self._label_of[result.key]
        if result.status == "failed":
            self._say(f"failed {label}: {result.reason}")
        elif not self._console.is_terminal:
            total = len(self._bar_of)
            self._say(f"[{total - self._left}/{total}] {label}: {result.status}, {result.seconds:.1f} s")
        if self._left == 0:
            self._progress.add_task("scores and report", total=None)

    def written(self, folder: Path, study: Study) -> None:
        """Show the leaderboard, the tickers that fell out, the verdict and where the report is."""
        self._stop_bars()
        self.folder, self.study = folder, study
        if self.mode == "json":
            print(json.dumps(summary(folder, study), indent=1))
            return
        if self.mode == "text":
            Console(highlight=False, markup=False).print(leaderboard(study))
            for report in study.tickers:
                if report.status != "ok":
                    print(f"{report.status} {report.ticker}: {report.reason}")
        print(study.sentence)
        print(f"report: {folder / 'index.html'}", flush=True)

    def _start_clocks(self) -> None:
        """A stage's clock runs from the end of the stage before."""
        for task in self._progress.tasks:
            self._progress.start_task(task.id)
            if not task.finished:
                break

    def _stop_bars(self) -> None:
        if self._console.is_terminal:  # elsewhere they never started, and stopping would print an empty line
            self._progress.stop()

    def _say(self, line: str) -> None:
        self._progress.console.print(line, markup=False)


def bars(console: Console) -> Progress:
    """Bars with what is done, how long it took and how long it will."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def leaderboard(study: Study) -> Table:
    """The short leaderboard, in the study's order; 80 columns suffice."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1))
    table.add_column("model", no_wrap=True)
    for name in ("CRPS %", "skill %", "by date, 95 %", "won %", "cov80", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in study.leaderboard.to_dict("records"):
        table.add_row(
            row["model"],
            f"{row['crps']:.4f}",
            f"{100 * row['skill']:+.2f}",
            _interval(row["effect"], row["effect_low"], row["effect_high"]),
            f"{100 * row['won']:.0f}",
            f"{100 * row['coverage_80']:.1f}",
            f"{row['dm_p']:.3f}",
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
        "leaderboard": json.loads(study.leaderboard.to_json(orient="records")),
    }


def dropped(study: Study) -> Mapping[str, dict[str, str]]:
    """The tickers without a result and the reason of each, by what became of them."""
    return {
        status: {report.ticker: report.reason for report in study.tickers if report.status == status}
        for status in ("skipped", "failed")
    }


def exit_status(study: Study) -> int:
    """0 where every ticker has a result, 3 where some have none."""
    return 0 if study.status == "done" else 3


def complain(line: str) -> None:
    """Say one error on one line of standard error."""
    print("error: " + " ".join(line.split()), file=sys.stderr, flush=True)
