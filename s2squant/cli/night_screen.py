"""What a person at a terminal, or a program reading standard output, sees of a night."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.console import Console
from rich.progress import TaskID
from rich.table import Table

from s2squant.cli.screen import Mode, bars

if TYPE_CHECKING:  # a night brings torch, which a help text can do without
    from s2squant.nightly.night import NightRun
    from s2squant.nightly.results import Night
    from s2squant.runs.runner import JobResult

EXIT_STATUS = {"done": 0, "skipped": 0, "partial": 3, "late": 3, "failed": 1}
"""By what became of a night."""


class NightWatcher(Protocol):
    """Told how a night goes on: first `opened`, then `finished` once a job, then `written`."""

    def opened(self, run: NightRun) -> None: ...

    def finished(self, result: JobResult) -> None: ...

    def written(self, folder: Path, night: Night) -> None: ...


class NightScreen:
    """The watcher of the command line: a bar a stage on a terminal, one line a job elsewhere, the result at the end."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.folder: Path | None = None
        self.night: Night | None = None
        self._console = Console(stderr=True, quiet=mode == "quiet", highlight=False, soft_wrap=True)
        self._progress = bars(self._console)
        self._bar_of: dict[str, TaskID] = {}
        self._label_of: dict[str, str] = {}
        self._done = 0

    def __enter__(self) -> NightScreen:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def opened(self, run: NightRun) -> None:
        """Lay out one bar a stage."""
        self.folder = None if run.skipped else run.folder
        for number, stage in enumerate(run.stages, 1):
            bar = self._progress.add_task("markets" if number == 1 < len(run.stages) else "tickers", total=len(stage))
            self._bar_of |= dict.fromkeys((job.key for job in stage), bar)
            self._label_of |= {job.key: job.label for job in stage}
        if self._console.is_terminal and run.stages:
            self._progress.start()

    def finished(self, result: JobResult) -> None:
        """Move the bar on; say what failed, and off a terminal every job."""
        self._done += 1
        self._progress.advance(self._bar_of[result.key])
        label = self._label_of[result.key]
        if result.status == "failed":
            self._progress.console.print(f"failed {label}: {result.reason}", markup=False)
        elif not self._console.is_terminal:
            line = f"[{self._done}/{len(self._bar_of)}] {label}: {result.status}, {result.seconds:.1f} s"
            self._progress.console.print(line, markup=False)

    def written(self, folder: Path, night: Night) -> None:
        """Show tonight's forecasts, the tickers without one, and where the report is."""
        self._stop()
        self.night = night
        if self.mode == "json":
            print(json.dumps(summary(folder, night), indent=1))
            return
        if self.mode == "text" and len(night.today):
            Console(highlight=False, markup=False).print(tonight(night))
        print(night.message)
        if self.mode == "text" and night.status != "skipped":
            print(night.track.sentence)
            if night.monitor.alarmed:
                print(night.monitor.sentence)
        if night.status != "skipped":
            print(f"report: {folder / 'index.html'}", flush=True)

    def _stop(self) -> None:
        if self._console.is_terminal:
            self._progress.stop()


def tonight(night: Night) -> Table:
    """Tonight's forecasts in prices: the recalibrated recommended model at steps 1 and H."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1))
    table.add_column("ticker", no_wrap=True)
    table.add_column("from", no_wrap=True)
    for name in ("close", "step", "5 %", "median", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = night.today[night.today["model"] == night.track.model]
    last = rows["step"].max() if len(rows) else 0
    for at in rows[rows["step"].isin([1, last])].to_dict("records"):
        close = at["close"]
        # as reports do, whose formats bring pandas
        digits = 2 if close >= 10 else 4 if close >= 0.1 else 6
        prices = [f"{p:,.{digits}f}" for p in (close, *(close * exp(at[q]) for q in ("q0.050", "q0.500", "q0.950")))]
        day = str(at["cutoff"])[:10]
        table.add_row(at["unique_id"], day, prices[0], str(at["step"]), *prices[1:])
    return table


def summary(folder: Path, night: Night) -> dict[str, Any]:
    """The night in plain JSON values."""
    return {
        "run_id": night.run_id,
        "status": night.status,
        "exit_status": EXIT_STATUS[night.status],
        "message": night.message,
        "folder": None if night.status == "skipped" else str(folder),
        "report": None if night.status == "skipped" else str(folder / "index.html"),
        "issued": night.issued,
        "reissued": night.reissued,
        "scored": night.scored,
        "sessions": {market.market: market.session for market in night.markets},
        "tickers": {t.ticker: {"status": t.status, "reason": t.reason, "how": t.how} for t in night.tickers},
        "drift": night.monitor.alarmed,
        "record": night.track.sentence,
    }
