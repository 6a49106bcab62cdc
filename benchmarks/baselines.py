"""Every baseline on the sample, as a table: python benchmarks/baselines.py [MODEL ...] [--gate]

CRPS skill against historical simulation (mean over tickers), CPU seconds of one ticker (its fits and forecasts, mean),
coverage of the central bands; with --gate also the share that the 90 % interval covers on data from each one's own
model. The run's folds and settings are the package's defaults; one process, one thread.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from typing import get_args

import pandas as pd
import torch

from benchmarks.coverage_gate import coverage_gate
from s2squant.config.experiment import Experiment
from s2squant.config.files import make_experiment
from s2squant.config.models import BASELINES, OurName
from s2squant.evaluation.losses import score
from s2squant.evaluation.verdict import judge
from s2squant.forecasters.baselines.field import average
from s2squant.forecasters.catalog import make
from s2squant.runs.plan import Plan, make_plan
from s2squant.series.forecast import Forecast
from s2squant.series.long_table import to_frame
from s2squant.series.windows import of_tickers, test_rows, train_rows


def main() -> None:
    """Fit, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", choices=[*get_args(OurName), []], help="left out: all baselines")
    parser.add_argument("--tickers", default="", help="left out: all of the sample")
    parser.add_argument("--gate", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    asked = options.models or BASELINES
    models = [m for m in BASELINES if m in asked or m == "historical_simulation"]
    tickers = [t for t in options.tickers.split(",") if t]
    experiment = make_experiment(
        {
            "universe": {"tickers": tickers},
            "forecasters": {"models": models},
            "verdict": {"recommended": models[-1]},
        }
    )
    plan = make_plan(experiment)
    frame, seconds = forecasts(plan, experiment)
    board = leaderboard(plan, experiment, frame)
    count = sum(len(panel.tickers) for panel in plan.panels.values())
    gates = {m: coverage_gate(m, experiment.forecasters) for m in models} if options.gate else {}
    print(f"{'model':22} {'CRPS %':>7} {'skill':>8} {'won':>5} {'s/ticker':>9}  {'50/80/95':17} on its own model")
    for row in board.sort_values("crps").to_dict("records"):
        cover = "/".join(f"{100 * row[f'coverage_{c}']:.1f}" for c in (50, 80, 95))
        gate = gates.get(row["model"])
        print(
            f"{row['model']:22} {row['crps']:7.4f} {100 * row['skill']:+7.2f}% {row['won']:5.2f} "
            f"{seconds[row['model']] / count:9.3f}  {cover:17} {gate.sentence if gate else ''}"
        )


def forecasts(plan: Plan, experiment: Experiment) -> tuple[pd.DataFrame, dict[str, float]]:
    """The table of all forecasts, and the CPU seconds of each model."""
    settings, frames = experiment.forecasters, []
    seconds: dict[str, float] = dict.fromkeys(settings.models, 0.0)
    for market, panel in plan.panels.items():
        for fold in plan.folds[market]:
            past = panel.until(fold.fit_date)
            train, test = train_rows(past, fold, warmup=settings.anchor.warmup), test_rows(panel, fold.cutoffs)
            for ticker in panel.tickers:
                rows, targets = of_tickers(past, train, [ticker]), of_tickers(panel, test, [ticker])
                by_name: dict[str, Forecast] = {}
                for name in settings.models:
                    started = time.process_time()
                    if name == "field":
                        by_name[name] = average([by_name[m] for m in settings.field_members])
                    else:
                        fitted = make(name, settings).fit(past, rows, horizon=fold.horizon, seed=experiment.seed)
                        by_name[name] = fitted.predict(panel, targets)
                    seconds[name] += time.process_time() - started
                frames += [to_frame(panel, forecast, plan.sessions) for forecast in by_name.values()]
    return pd.concat(frames, ignore_index=True), seconds


def leaderboard(plan: Plan, experiment: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """The run's own leaderboard."""
    return judge(
        score(frame),
        every=experiment.walk.every,
        horizon=experiment.walk.horizon,
        spec=experiment.verdict,
        kinds={str(m): "reference" if m == experiment.verdict.reference else "baseline" for m in BASELINES},
        markets={t: market for market, panel in plan.panels.items() for t in panel.tickers},
    ).leaderboard


if __name__ == "__main__":
    main()
