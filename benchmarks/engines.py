"""Engines side by side on random walks: python benchmarks/engines.py --tickers 10 100 --workers 1 2

Each cell is one backtest in a process of its own, as a user runs it without Prefect, a small net a ticker and its
baselines over a short walk. Wall and CPU seconds are of the run and all it started, from the first import to the
manifest; memory is the largest sum over all its processes (proportional set size, so that shared pages count once).
The cells of one size run one after the other, so that their ratios are of one machine in one state. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.watching import watched
from s2squant.config.defaults import Engine
from s2squant.prices.calendars.exchanges import exchange_sessions

ROOT = Path(__file__).parents[1]
BARS = 480
LIGHT: dict[str, object] = {
    "walk.horizon": 5,
    "walk.cutoffs": 4,
    "walk.every": 20,
    "walk.refit_every": 80,
    "walk.min_train": 300,
    "forecasters.models": ["historical_simulation", "random_walk", "anchor", "seq2seq_per_ticker"],
    "forecasters.historical_simulation.paths": 128,
    "forecasters.anchor.steps": 5,
    "forecasters.anchor.warmup": 60,
    "forecasters.seq2seq.encoder.hidden": 8,
    "forecasters.seq2seq.decoder.width": 8,
    "forecasters.seq2seq.training.chunk": 60,
    "forecasters.seq2seq.training.warm": 20,
    "forecasters.seq2seq.training.positions": 4,
    "forecasters.seq2seq.per_ticker.steps": 40,
    "forecasters.seq2seq.per_ticker.batch": 8,
    "verdict.recommended": "seq2seq_per_ticker",
}
"""A small walk: what an engine costs shows the better, the less a ticker takes."""
JOBS_ONLY: dict[str, object] = {
    "forecasters.models": ["historical_simulation", "random_walk", "anchor"],
    "verdict.recommended": "anchor",
}
"""With --jobs-only and --no-networks there is next to nothing to do, so that a thousand tickers can be measured."""


COLUMNS = ("tickers", "engine", "workers", "wall s", "of it jobs", "CPU s", "peak GB", "s/ticker", "MB/ticker")
RATIOS = ("wall", "CPU", "memory")
HEAD = (f"| {' | '.join((*COLUMNS, *RATIOS))} |", "|---" * (len(COLUMNS) + len(RATIOS)) + "|")


@dataclass(frozen=True)
class Cell:
    """One run, measured from outside."""

    engine: Engine
    workers: int
    tickers: int
    wall: float
    cpu: float
    peak: float
    """GB"""
    jobs: float
    """Wall seconds of the stages alone: without the start, the scores and the report."""
    stored: float
    """MB of the run's folder."""


def write_walks(folder: Path, count: int) -> None:
    """Parquet files of random walks of about 1 % a day on the sessions of New York."""
    known = exchange_sessions("XNYS")
    days = known[known >= np.datetime64("2015-01-01")][:BARS]
    for number in range(count):
        rng = np.random.default_rng(number)
        close = 100 * np.exp(np.cumsum(0.01 * rng.standard_t(5, len(days))))
        pd.DataFrame({"Date": days, "Close": close}).to_parquet(folder / f"T{number:05d}.parquet", index=False)


def carry_out(source: str, out: Path, engine: Engine, workers: int, part: str) -> None:
    """In the measured process: the backtest, or its jobs without networks and report, as one line of JSON."""
    from s2squant.config.files import build_experiment
    from s2squant.study import open_run

    changes = LIGHT if part == "whole" else LIGHT | JOBS_ONLY
    settings = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    wanted = build_experiment(None, [f"universe.source={source}", *settings])
    with open_run(wanted, out, workers=workers, engine=engine, trial=False) as run:
        began = time.perf_counter()
        failed = [r for r in run.execute_stages() if r.status != "done"]
        jobs = time.perf_counter() - began
        status = run.finish().status if part != "jobs" else "partial" if failed else "done"
    print(json.dumps({"jobs": jobs, "failed": len(failed), "status": status}))


def measured(source: str, out: Path, engine: Engine, workers: int, tickers: int, part: str) -> Cell:
    """Start a run and watch it and all its processes until it ends; raises RuntimeError when it does not end well."""
    argv = [sys.executable, __file__, "--carry-out", source, str(out), engine, str(workers), part]
    began = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}) as run:
        cpu, peak = watched(run)
        wall = time.perf_counter() - began
        output = run.stdout.read() if run.stdout else ""
    if run.returncode or json.loads(output)["status"] != "done":
        raise RuntimeError(f"{engine}, {workers} workers, {tickers} tickers: exit status {run.returncode}; {output}")
    stored = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    return Cell(engine, workers, tickers, wall, cpu, peak, json.loads(output)["jobs"], stored)


def row(cell: Cell, base: Cell) -> str:
    """A line of the table; ratios to one local worker of the same size."""
    figures = f"{cell.wall:.0f} | {cell.jobs:.0f} | {cell.cpu:.0f} | {cell.peak:.2f} | "
    figures += f"{cell.wall / cell.tickers:.2f} | {cell.stored / cell.tickers:.2f}"
    ratios = f"{cell.wall / base.wall:.2f} | {cell.cpu / base.cpu:.2f} | {cell.peak / base.peak:.2f}"
    return f"| {cell.tickers} | {cell.engine} | {cell.workers} | {figures} | {ratios} |"


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engines", nargs="+", default=["local", "dask", "ray"], choices=["local", "dask", "ray"])
    few = parser.add_mutually_exclusive_group()
    few.add_argument("--no-networks", action="store_true", help="baselines and the anchor, with scores and report")
    few.add_argument("--jobs-only", action="store_true", help="no networks, no scores, no report")
    parser.add_argument("--carry-out", nargs=5, metavar="X", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.carry_out:
        source, out, engine, workers, part = options.carry_out
        carry_out(source, Path(out), engine, int(workers), part)
        return
    part = "jobs" if options.jobs_only else "baselines" if options.no_networks else "whole"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first run\n")
    print("\n".join(HEAD), flush=True)
    for count in options.tickers:
        with tempfile.TemporaryDirectory() as folder:
            prices = Path(folder, "prices")
            prices.mkdir()
            write_walks(prices, count)
            base = None
            for engine in options.engines:
                for workers in options.workers:
                    out = Path(folder, f"{engine}{workers}")
                    cell = measured(f"parquet:{prices}", out, engine, workers, count, part)
                    base = base or cell
                    print(row(cell, base), flush=True)


if __name__ == "__main__":
    main()
