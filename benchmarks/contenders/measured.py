"""What each contender of benchmarks/peers.py is asked to do, and how it is timed: needs numpy alone.

A contender runs in a process of its own, `python -m benchmarks.contenders.NAME TASK RESULT`, both files npz.

Shape legend: M tickers, T daily returns, F fits, C cutoffs, N origins, W returns of the past, H steps ahead,
Q quantile levels.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2squant.runs.engines.worker import keep_freed_memory

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]
FEW, TIMES, TURNS, CALLS = 3_200, 4, 3, 50
"""Windows of a short training, how many times as many a long one has, turns of each, and forecasts that are timed."""
LR = 1e-3
"""Of all peers; it is the default of both libraries."""


@dataclass(frozen=True)
class Task:
    """Returns, the bars that fits and forecasts are made at, and the size of net and training.

    A window is one origin with its past, decoded over the horizon. After `k` returns it is bar `k`.
    """

    returns_MT: Floats
    fits_F: Ints
    cutoffs_C: Ints
    levels_Q: Floats
    horizon: int
    past: int
    hidden: int
    batch: int
    windows: int
    """That a net is trained on in a fit of the walk."""

    def save(self, path: Path) -> None:
        """Write it as npz."""
        np.savez(path, **asdict(self))

    @classmethod
    def read(cls, path: Path) -> Task:
        """What `save` wrote."""
        with np.load(path) as stored:
            return cls(**{name: each if each.ndim else each.item() for name, each in stored.items()})

    @property
    def steps(self) -> int:
        """Training steps of a fit of the walk."""
        return round(self.windows / self.batch)

    def folds(self) -> Iterator[tuple[int, Ints]]:
        """Each fit's bar, and which of the cutoffs it serves."""
        ends = [*self.fits_F[1:], self.returns_MT.shape[1] + 1]
        for fit, end in zip(self.fits_F, ends, strict=True):
            yield int(fit), np.flatnonzero((self.cutoffs_C >= fit) & (self.cutoffs_C < end))


class Contender(ABC):
    """One way to forecast."""

    of_sums: bool
    """Whether its quantiles are of the cumulative return; else of each day's."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    @abstractmethod
    def version(self) -> str:
        """Of its library."""

    @abstractmethod
    def train(self, tickers: int, windows: int) -> int:
        """Train one net for the first tickers on about so many windows; returns how many it were."""

    @abstractmethod
    def walk(self) -> Floats:
        """Fit a net a ticker at every fit, and forecast from every cutoff: quantiles (M, C, H, Q)."""

    @abstractmethod
    def loaded(self) -> Callable[[], object]:
        """What makes the newest forecast of one ticker by a fitted net in memory."""


class Windowed(Contender):
    """A library that trains on windows of returns, here in units of their standard deviation."""

    @abstractmethod
    def fit(self, returns_MT: Floats, steps: int) -> Any:
        """A net trained on these series."""

    @abstractmethod
    def predict(self, model: Any, past_NW: Floats) -> Floats:
        """Quantiles (N, H, Q) after each past."""

    def train(self, tickers: int, windows: int) -> int:
        steps = round(windows / self.task.batch)
        returns_MT = self.task.returns_MT[:tickers, : self.task.fits_F[0]]
        self.fit(returns_MT / returns_MT.std(), steps)
        return steps * self.task.batch

    def walk(self) -> Floats:
        task = self.task
        out = np.empty((len(task.returns_MT), len(task.cutoffs_C), task.horizon, len(task.levels_Q)))
        for fit, mine in task.folds():
            for m, returns_T in enumerate(task.returns_MT):
                scale = returns_T[:fit].std()
                model = self.fit(returns_T[None, :fit] / scale, task.steps)
                past_NW = returns_T[task.cutoffs_C[mine][:, None] - np.arange(task.past, 0, -1)]
                out[m, mine] = scale * self.predict(model, past_NW / scale)
        return out

    def loaded(self) -> Callable[[], object]:
        returns_T = self.task.returns_MT[0]
        model = self.fit(returns_T[None] / returns_T.std(), 5)
        past_1W = returns_T[None, -self.task.past :] / returns_T.std()
        return lambda: self.predict(model, past_1W)


def cpu(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its CPU seconds."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def rate(contender: Contender, tickers: int) -> float:
    """Windows that a net trains on in a CPU second; what a fit costs besides is not in it.

    The least of some turns counts: neighbours on a shared machine only ever slow.
    """
    ends = []
    for windows in (FEW, TIMES * FEW):
        turns = [cpu(lambda count=windows: contender.train(tickers, count)) for _ in range(TURNS)]  # type: ignore[misc]
        ends.append((turns[0][0], min(spent for _, spent in turns)))
    (few, short), (many, long) = ends
    return float((many - few) / (long - short))


def peak_mb() -> float:
    """The most memory that this process ever held, in MB; Linux only."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def run(make: Callable[[Task], Contender]) -> None:
    """Do all that is asked, in this process, and write the result."""
    keep_freed_memory()  # as in every worker of s2squant; for all contenders
    task = Task.read(Path(sys.argv[1]))
    contender = make(task)
    contender.train(1, task.batch)  # imports are measured elsewhere
    quantiles, walk = cpu(contender.walk)
    peak = peak_mb()
    forecast = contender.loaded()
    forecast()
    one = 1000 * float(np.median([cpu(forecast)[1] for _ in range(CALLS)]))
    np.savez(
        sys.argv[2],
        version=contender.version,
        of_sums=contender.of_sums,
        quantiles=quantiles,
        walk=walk,
        peak=peak,
        one=one,
        own=rate(contender, 1),
        pooled=rate(contender, len(task.returns_MT)),
    )
