"""Cost of a forecast on hours beside one on days: python benchmarks/hours_cost.py [--tickers 20] [--bars 5000]

Simulated stocks of as many bars each, hourly and daily, are backtested in this one process with the same walk (8 steps,
one fit, as many cutoffs), so both make the same number of forecasts. What is compared is processor seconds for each
forecast of a model, from reading prices to the report's files; `--models` leaves models out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from s2squant.config.experiment import Experiment, Universe, Walk
from s2squant.prices.calendars.exchanges import sessions_between
from s2squant.prices.calendars.grid import bar_grid
from s2squant.study import open_run

LAST = np.datetime64("2025-06-30")
OPENING = 2.0
"""Scale of the first hour's returns over the others'."""


@dataclass(frozen=True)
class Cost:
    """Processor seconds of a backtest: the whole, its jobs by name, and how many forecasts it made."""

    whole: float
    jobs: float
    forecasts: int


def main() -> None:
    """Print both costs and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", type=int, default=20)
    parser.add_argument("--bars", type=int, default=5000)
    parser.add_argument("--cutoffs", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    costs = {}
    for interval in ("1d", "1h"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_prices(folder / "prices", interval, options.tickers, options.bars)
            costs[interval] = cost_of(folder, options.cutoffs, options.models)
        one = costs[interval]
        print(
            f"{interval}: {one.whole:,.0f} s of a processor, {one.jobs:,.0f} of them in jobs; "
            f"{one.forecasts:,} forecasts, {1000 * one.whole / one.forecasts:.1f} ms each",
            flush=True,
        )
    days, hours = costs["1d"], costs["1h"]
    whole = (hours.whole / hours.forecasts) / (days.whole / days.forecasts)
    jobs = (hours.jobs / hours.forecasts) / (days.jobs / days.forecasts)
    print(f"a forecast on hours costs {whole:.2f} times one on days, {jobs:.2f} times in the jobs alone")


def cost_of(folder: Path, cutoffs: int, models: list[str] | None) -> Cost:
    """Backtest what is in a folder, everything in this process."""
    shipped = Experiment()
    every = 11
    walk = Walk(horizon=8, cutoffs=cutoffs, every=every, refit_every=cutoffs * every, min_train=1000)
    settings = shipped.model_copy(update={"universe": Universe(source=f"csv:{folder / 'prices'}"), "walk": walk})
    if models is not None:
        told = settings.model_dump(mode="json")
        told["forecasters"]["models"] = models
        settings = Experiment.model_validate(told)
    began = time.process_time()
    with open_run(settings, folder / "run", workers=0, trial=False) as run:
        first = time.process_time()
        failed = [result.reason for result in run.execute_stages() if result.status == "failed"]
        assert not failed, failed[0]
        jobs = time.process_time() - first
        study = run.finish()
    forecasts = study.forecasts.groupby(["model", "unique_id", "cutoff"], observed=True).ngroups
    return Cost(time.process_time() - began, jobs, forecasts)


def write_prices(folder: Path, interval: str, tickers: int, bars: int) -> None:
    """Random walks on New York's hours or days, wider in the first hour."""
    folder.mkdir()
    if interval == "1h":
        grid = bar_grid("1h:XNYS", LAST - np.timedelta64(bars // 4, "D"), LAST)
        stamps = pd.DatetimeIndex(grid.starts[-bars:]).tz_localize("UTC")
        scale = 0.004 * np.where(grid.slots[-bars:] == 0, OPENING, 1.0)
    else:
        stamps = pd.DatetimeIndex(sessions_between("XNYS", LAST - np.timedelta64(2 * bars, "D"), LAST)[-bars:])
        scale = np.full(bars, 0.012)
    for number in range(tickers):
        shocks = np.random.default_rng(number).standard_t(5, bars) * np.sqrt(3 / 5)
        close = np.round(100 * np.exp(np.cumsum(scale * shocks)), 4)
        pd.DataFrame({"Date": stamps, "Close": close}).to_csv(folder / f"W{number:02}.csv", index=False)


if __name__ == "__main__":
    main()
