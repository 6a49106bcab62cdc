"""Skill with little to learn from: python benchmarks/short.py DIR [--first YEAR ...]   (DIR as written by sp500.py)

The 20 stocks cut to 900 bars from the start of each year named: 450 to learn from, 450 to score.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks.forecasts import RIVAL, cutoffs_between, judged, shipped, table
from benchmarks.skill import stocks
from s2squant.config.models import ModelName, label
from s2squant.series.panel import Panel

LEARN, SCORE = 450, 450
YEARS = (1993, 1996, 1999, 2002, 2005, 2008, 2011)
REFERENCES: tuple[ModelName, ...] = (RIVAL, "gjr_t", "historical_simulation")


def main() -> None:
    """Print the blend's skill and its members', a start each, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--first", nargs="+", type=int, default=YEARS, metavar="YEAR")
    options = parser.parse_args()
    torch.set_num_threads(1)
    experiment = shipped("historical_simulation", "gjr_t")
    whole = stocks(options.folder, "2100-01-01")
    found: dict[tuple[str, str], list[float]] = {}
    for year in options.first:
        days = whole.calendar_dates()
        days = days[days >= np.datetime64(f"{year}-01-01")][: LEARN + SCORE]
        panel = Panel(tuple(h.between(days[0], days[-1]) for h in whole.histories if (h.dates <= days[0]).any()))
        frame = table(panel, days[LEARN - 1], cutoffs_between(panel, days[LEARN - 1]), experiment)
        for reference in REFERENCES:
            board = judged(frame, experiment, panel, reference).leaderboard
            for model, skill in zip(board["model"], board["skill"], strict=True):
                found.setdefault((str(model), reference), []).append(100 * float(skill))
        print(f"{days[0]} to {days[LEARN - 1]}, scored to {days[-1]}: {len(panel.tickers)} stocks", flush=True)
    print(f"\n{'skill, %':26} {'against':24} " + " ".join(f"{year:>6}" for year in options.first) + "   mean (s.e.)")
    for (model, against), skills in sorted(found.items()):
        error = np.std(skills) / np.sqrt(max(1, len(skills) - 1))
        told = " ".join(f"{skill:+6.2f}" for skill in skills)
        print(f"{label(model):26} {label(against):24} {told}  {np.mean(skills):+5.2f} ({error:.2f})")


if __name__ == "__main__":
    main()
