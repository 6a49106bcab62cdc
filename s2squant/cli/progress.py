"""Progress of a command on standard error: bars on a terminal, lines elsewhere, nothing where it is quiet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeVar

from rich.console import Console

if TYPE_CHECKING:  # seconds that a help text need not wait for
    from rich.progress import ProgressColumn, TaskID

    from s2squant.runs.runner import JobResult, Runnable

Mode = Literal["text", "quiet", "json"]
R = TypeVar("R", contravariant=True)
S = TypeVar("S", contravariant=True)


class Watcher(Protocol[R, S]):
    """Hears how a run goes on: first `opened`, then `finished` once a job, then `written`."""

    def opened(self, run: R, /) -> None: ...

    def finished(self, result: JobResult, /) -> None: ...

    def written(self, folder: Path, result: S, /) -> None: ...


def mode_of(*, as_json: bool, quiet: bool) -> Mode:
    """What --json and --quiet come to; --json wins."""
    return "json" if as_json else "quiet" if quiet else "text"


class Progress:
    """Bars with what is done, how long it took and how long it will; they end with the block, however that ends."""

    def __init__(self, *columns: ProgressColumn, quiet: bool = False) -> None:
        from rich.progress import Progress as Bars

        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self.bars = Bars(*(columns or usual_columns()), console=self._console, transient=True)
        self.on_terminal = self._console.is_terminal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Show the bars, on a terminal."""
        if self.on_terminal:
            self.bars.start()

    def stop(self) -> None:
        """Take the bars away."""
        if self.on_terminal:  # elsewhere they never started, and stopping would print an empty line
            self.bars.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.bars.console.print(line, markup=False)


def usual_columns() -> tuple[ProgressColumn, ...]:
    """A name, a bar, how many of how many, the time it took, and the time that is left."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    name, left = TextColumn("{task.description}"), TextColumn("left")
    return (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), left, TimeRemainingColumn())


class JobProgress(Progress):
    """A bar a stage on a terminal, one line a job elsewhere; what failed is said on both."""

    def __init__(self, mode: Mode) -> None:
        super().__init__(quiet=mode == "quiet")
        self.mode = mode
        self.folder: Path | None = None
        """The run's folder, once it is known and written to."""
        self.left = 0
        """Jobs that are not finished."""
        self._bar_of: dict[str, TaskID] = {}
        self._label_of: dict[str, str] = {}

    def lay_out(self, stages: Sequence[Sequence[Runnable]], names: Sequence[str], *, running: bool) -> None:
        """Add one bar a stage; their clocks are `running` or started later."""
        for stage, name in zip(stages, names, strict=True):
            bar = self.bars.add_task(name, total=len(stage), start=running)
            self._bar_of |= dict.fromkeys((job.key for job in stage), bar)
            self._label_of |= {job.key: job.label for job in stage}
        self.left = len(self._bar_of)

    def finished(self, result: JobResult) -> None:
        """Move the bar on; say what failed, and off a terminal every job."""
        self.left -= 1
        self.bars.advance(self._bar_of[result.key])
        label, total = self._label_of[result.key], len(self._bar_of)
        if result.status == "failed":
            self.say(f"failed {label}: {result.reason}")
        elif not self.on_terminal:
            self.say(f"[{total - self.left}/{total}] {label}: {result.status}, {result.seconds:.1f} s")
