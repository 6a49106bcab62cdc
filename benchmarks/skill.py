"""CRPS skill on 20 US stocks, 2016-2022: python benchmarks/skill.py DIR   (DIR as written by benchmarks/sp500.py)

The bank and the networks are fitted once, on bars to 2015-12-31, and never again; the baselines get a refit every 250
bars. Cutoffs every 10 bars, horizon 20. Skill is 1 - CRPS / CRPS of a reference, averaged over stocks, its standard
error from dates (EWC); "shape" is what is left with all medians at zero. Settings are the package's defaults.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch

from benchmarks.forecasts import RIVAL, cutoffs_between, judged, shipped, table
from s2squant.config.experiment import Experiment, Universe
from s2squant.config.models import ModelName
from s2squant.prices.universe import load_universe
from s2squant.series.panel import Panel

ACCEPT = ("placeholder before listing",)
"""RRC's first 69 bars are one price; the measure is of all 20 stocks, from the dataset's first day."""
REFERENCES: tuple[ModelName, ...] = (RIVAL, "gjr_t", "historical_simulation")


def main() -> None:
    """Fit, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--fit-to", default="2015-12-31", help="last bar the bank and the networks see")
    parser.add_argument("--test-to", default="2022-12-31")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", default="", help="a parquet file for the forecasts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    panel = stocks(options.folder, options.test_to)
    experiment = shipped("historical_simulation", "garch_t", "gjr_t", "garch_shrunk", seed=options.seed)
    fit_to = np.datetime64(options.fit_to)
    frame = table(panel, fit_to, cutoffs_between(panel, fit_to), experiment, said)
    if options.save:
        frame.to_parquet(options.save)
    report(frame, experiment, panel)


def stocks(folder: str, end: str) -> Panel:
    """All tickers of the folder, from their first bar on."""
    return Panel(load_universe(Universe(source=f"csv:{folder}", end=end, accept=ACCEPT)).histories)


def said(name: str, seconds: float) -> None:
    """One model is ready."""
    print(f"{name:22} {seconds:6.1f} CPU s", flush=True)


def report(frame: pd.DataFrame, experiment: Experiment, panel: Panel) -> None:
    """Skill against each reference with its standard error, share of stocks won, and coverage."""
    boards = {name: judged(frame, experiment, panel, name).leaderboard.set_index("model") for name in REFERENCES}
    heads = "  ".join(f"{'vs ' + name:>30}" for name in boards)
    print(
        f"\n{'model':22} {'CRPS %':>7}  {heads}  coverage 50/80/95\n{'':30}  " + f"{'skill (s.e.) shape won':>30}  " * 3
    )
    for model in boards[RIVAL].index:
        rows = [board.loc[model] for board in boards.values()]
        cells = [
            f"{100 * r['skill']:+6.2f} ({100 * (r['effect_high'] - r['effect']) / 2:.2f}) {100 * r['shape']:+6.2f} "
            f"({100 * (r['shape_high'] - r['shape']) / 2:.2f}) {r['won']:4.2f}"
            for r in rows
        ]
        cover = "/".join(f"{100 * rows[0][f'coverage_{c}']:.1f}" for c in (50, 80, 95))
        print(f"{model:22} {rows[0]['crps']:7.4f}  {'  '.join(f'{cell:>30}' for cell in cells)}  {cover}")


if __name__ == "__main__":
    main()
