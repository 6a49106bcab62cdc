"""s2squant beside what people would pick instead: python benchmarks/peers.py [--environment DIR] [--windows N]

Installs neuralforecast and darts into an environment of their own, beside the torch that s2squant runs on, and has each
of them and a plain torch loop do what s2squant's per-ticker network does as it ships: the same simulated GARCH-t
tickers, a net a ticker, at each fit as many training windows (an origin with its past, decoded over the horizon), the
same cutoffs, levels and horizon. Each runs in a process of its own on one thread. Prints one table of ratios, of CPU
seconds, since neighbours take wall seconds; and the CRPS of all forecasts, with who knows the truth and two baselines
beside it for scale. Peers get returns in units of their deviation and no scaling of windows; quantiles of single days
are summed as days independent given the past. What cannot be installed or fails is a row with its reason. Linux only.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.contenders.measured import Task
from benchmarks.contenders.ours import panel_of, rows_at
from benchmarks.forecasts import EVERY, HORIZON, REFIT, refitted, shipped
from benchmarks.regret import true_forecast
from benchmarks.simulated_processes import own_returns
from benchmarks.training import BATCH, PAST
from s2squant.config.models import Forecasters, ModelName, label
from s2squant.forecasters.challengers.levels import summed
from s2squant.series.arrays import Floats
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS, quantile_crps

ROOT = Path(__file__).parents[1]
TICKERS, LEARN, WALKED, SEED = 20, 2500, 500, 7
SCALE: tuple[ModelName, ...] = ("historical_simulation", "random_walk")
"""Baselines, the first of which skill is told against."""
INSTALL_SECONDS, RUN_SECONDS = 900, 1800
IMPORTS = 3


@dataclass(frozen=True)
class Contender:
    """Who is measured: the module of benchmarks/contenders, what is installed for it, and how a user imports it."""

    name: str
    module: str
    face: str
    requirements: tuple[str, ...] = ()


OURS = Contender("s2squant", "ours", "from s2squant.estimator import PriceForecaster")
PEERS = (
    Contender("plain torch", "plain", "import torch", ("numpy",)),
    Contender(
        "neuralforecast",
        "neuralforecast_lstm",
        "from neuralforecast import NeuralForecast; from neuralforecast.models import LSTM",
        ("neuralforecast",),
    ),
    Contender(
        "darts", "darts_rnn", "from darts import TimeSeries; from darts.models import BlockRNNModel", ("darts[torch]",)
    ),
)


@dataclass(frozen=True)
class Measured:
    """What one run gives; mean CRPS is in per cent."""

    name: str
    own: float
    pooled: float
    walk: float
    one: float
    imports: float
    imported: float
    peak: float
    crps: float


COLUMNS = (
    ("own", "training, a net a ticker", "{:,.0f} windows/s"),
    ("pooled", "training, one net for all", "{:,.0f} windows/s"),
    ("walk", "walk-forward, a net a ticker", "{:.0f} s"),
    ("one", "one forecast, net in memory", "{:.1f} ms"),
    ("imports", "import", "{:.1f} s"),
    ("imported", "memory after import", "{:.0f} MB"),
    ("peak", "peak memory of the walk", "{:.0f} MB"),
)
"""Of the table: a field of Measured, its heading and its unit, in CPU seconds."""


@dataclass(frozen=True)
class Failed:
    """Who gave nothing, and why."""

    name: str
    reason: str


class StepError(Exception):
    """A step that failed, with its reason in one line."""


def task_of(windows: int, tickers: int) -> Task:
    """The work of all: on simulated returns, at the cutoffs and fits of a walk over the last bars."""
    cutoffs_C = np.arange(LEARN, LEARN + WALKED, EVERY)
    returns_MT = own_returns("garch_t", tickers, LEARN + WALKED + HORIZON, SEED)
    hidden = Forecasters().seq2seq.encoder.hidden
    return Task(returns_MT, cutoffs_C[:: REFIT // EVERY], cutoffs_C, LEVELS, HORIZON, PAST, hidden, BATCH, windows)


def windows_shipped() -> int:
    """Training windows of a per-ticker network as it ships."""
    spec = Forecasters().seq2seq
    return spec.per_ticker.steps * spec.per_ticker.batch * spec.training.positions


def step(argv: list[str], limit: float) -> str:
    """What a process prints, from the root of the repository and on one thread; raises StepError where it fails."""
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            argv, cwd=ROOT, env={**os.environ, **alone}, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise StepError(f"not done after {limit:.0f} s") from None
    except OSError as error:
        raise StepError(str(error)) from None
    if done.returncode:
        raise StepError(reason(done.stderr) or f"exit status {done.returncode}")
    return done.stdout


def reason(said: str) -> str:
    """The line of an error output that says why: pip's first error, else the last line; a table's cell long."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors[:1] or lines[-1:] or [""])[0].removeprefix("ERROR: ").replace("|", "/")[:160]


def environment(folder: Path) -> str:
    """The interpreter of a virtual environment, made where there is none."""
    python = str(folder / "bin" / "python")
    if not Path(python).exists():
        step([sys.executable, "-m", "venv", str(folder)], INSTALL_SECONDS)
    return python


def install(python: str, requirements: tuple[str, ...]) -> None:
    """Install them beside torch of this process's version."""
    wanted = f"torch=={metadata.version('torch').partition('+')[0]}"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted]
    step([*pip, *requirements], INSTALL_SECONDS)


def imported(python: str, face: str) -> tuple[float, float]:
    """CPU seconds of an interpreter that imports it, the least of some, and the memory that it then holds, in MB."""
    code = f"{face}\nfrom benchmarks.contenders.measured import peak_mb\nprint(peak_mb())"
    spent = []
    for _ in range(IMPORTS):
        before = of_children()
        memory = float(step([python, "-c", code], RUN_SECONDS))
        spent.append(of_children() - before)
    return min(spent), memory


def of_children() -> float:
    """CPU seconds of the processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measured(who: Contender, python: str, task: Path, truth_MCH: Floats) -> Measured:
    """One contender's run; raises StepError where it fails."""
    result = task.with_name(f"{who.module}.npz")
    step([python, "-m", f"benchmarks.contenders.{who.module}", str(task), str(result)], RUN_SECONDS)
    with np.load(result) as stored:
        quantiles = stored["quantiles"]
        if not stored["of_sums"]:
            shape = quantiles.shape
            quantiles = summed(quantiles.reshape(-1, *shape[2:]), SEED).reshape(shape)
        crps = 100 * float(quantile_crps(truth_MCH, quantiles).mean())
        figures = {name: float(stored[name]) for name in ("own", "pooled", "walk", "one", "peak")}
        name = f"{who.name} {stored['version']}"
    seconds, memory = imported(python, who.face)
    return Measured(name, imports=seconds, imported=memory, crps=crps, **figures)


def scale(task: Task) -> dict[str, float]:
    """Mean CRPS in per cent of the baselines, refitted as the walk goes on, and of who knows the truth."""
    panel = panel_of(task)
    rows, days = rows_at(panel, task.cutoffs_C), panel.calendar_dates()[task.cutoffs_C]
    known = {}
    for name in SCALE:
        forecast = refitted(name, shipped(*SCALE), panel, rows, days)
        known[label(name)] = quantile_crps(panel.targets(forecast.rows, HORIZON), forecast.quantiles_NHQ).mean()
    truth = true_forecast(panel, pd.DataFrame({"cutoff": days}))
    known["the truth"] = quantile_crps(truth["y"].to_numpy(), truth[list(QUANTILE_COLUMNS)].to_numpy(np.float64)).mean()
    return {name: 100 * float(crps) for name, crps in known.items()}


def table(rows: list[Measured | Failed], known: dict[str, float]) -> str:
    """The table as markdown: the first row in its own units, the others as multiples of it; baselines by CRPS alone."""
    first, (reference, base) = rows[0], next(iter(known.items()))
    heads = ("", *(head for _, head, _ in COLUMNS), f"CRPS, % (gain on {reference})")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        if isinstance(row, Failed):
            lines.append(f"| {row.name} | {row.reason} " + "| " * (len(heads) - 2) + "|")
            continue
        cells = []
        for name, _, unit in COLUMNS:
            value, of_first = getattr(row, name), getattr(first, name, None)
            cell = unit.format(value)
            cells.append(cell if row is first or of_first is None else f"{value / of_first:.2f} x ({cell})")
        lines.append(f"| {row.name} | {' | '.join(cells)} | {against(row.crps, base)} |")
    empty = "| " * len(COLUMNS)
    return "\n".join([*lines, *(f"| {name} {empty}| {against(crps, base)} |" for name, crps in known.items())])


def against(crps: float, base: float) -> str:
    """CRPS, and how much less it is than the base."""
    return f"{crps:.3f} ({100 * (1 - crps / base):+.1f} %)"


def main() -> None:
    """Install, measure one after the other, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(tempfile.gettempdir(), "s2squant-peers")
    parser.add_argument("--environment", type=Path, default=default, help=f"folder of the environment ({default})")
    parser.add_argument(
        "--windows", type=int, default=windows_shipped(), help="of a peer's fit; as s2squant's by default"
    )
    parser.add_argument("--tickers", type=int, default=TICKERS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = task_of(options.windows, options.tickers)
    panel = panel_of(work)
    truth = panel.targets(rows_at(panel, work.cutoffs_C), HORIZON).reshape(options.tickers, -1, HORIZON)
    rows: list[Measured | Failed] = []
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder, "task.npz")
        work.save(task)
        for who in (OURS, *PEERS):
            start = time.perf_counter()
            try:
                python = sys.executable
                if who is not OURS:
                    python = environment(options.environment.absolute())
                    install(python, who.requirements)
                rows.append(measured(who, python, task, truth))
            except StepError as error:
                rows.append(Failed(who.name, str(error)))
            print(f"{who.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print(
        f"{options.tickers} tickers, {len(work.fits_F)} fits, {len(work.cutoffs_C)} cutoffs, horizon {HORIZON}; "
        f"windows of a fit: s2squant {windows_shipped():,} as shipped, peers {options.windows:,}, past of {PAST}, "
        f"hidden {work.hidden}, batch {BATCH}; CPU seconds, one thread, torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.0f}\n"
    )
    print(table(rows, scale(work)))


if __name__ == "__main__":
    main()
