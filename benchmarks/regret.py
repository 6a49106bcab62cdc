"""What the shipped models lose to the truth, and to chance: python benchmarks/regret.py [DIR]

On 20 simulated GARCH(1,1)-t series of 14 years, 10 to learn from, the true model is known: regret is CRPS of a model
over CRPS of the truth, less 1. All series have one law, so that the true skill of a model is the same on each: which
of them it wins is chance, and what the truth gains on a rival is the most that anyone can. With DIR (as written by
benchmarks/sp500.py) also on the 20 stocks to 2015, their days shuffled all together: nothing can be forecast there, and
what one model has over another is the other's noise.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from benchmarks.forecasts import HORIZON, RIVAL, cutoffs_between, judged, shipped, table
from benchmarks.simulated_processes import GARCH, own_returns
from benchmarks.skill import said, stocks
from s2squant.config.baselines import GarchTSpec
from s2squant.config.experiment import Experiment
from s2squant.config.models import label
from s2squant.forecasters.baselines.garch import FittedGarchT
from s2squant.series.arrays import Floats
from s2squant.series.forecast import QUANTILE_COLUMNS, Forecast, quantile_crps
from s2squant.series.history import PriceHistory
from s2squant.series.long_table import to_frame
from s2squant.series.panel import Panel

SERIES, BARS, LEARN = 20, 3500, 2500
NU = 6.0
SEED = 7
RIVALS = (RIVAL, "gjr_t")
"""Whom a model is set beside: gain in CRPS, its standard error, deviation over series, and the share of series won."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    torch.set_num_threads(1)
    experiment = shipped("historical_simulation", "garch_t", "gjr_t", "garch_shrunk")
    simulated(experiment, options.seed)
    if options.folder:
        shuffled(experiment, options.folder, options.seed)


def simulated(experiment: Experiment, seed: int) -> None:
    """Regret to the true GARCH-t, with the standard error over series, which are independent, and series won."""
    days = np.busday_offset("2000-01-03", np.arange(BARS + 1), roll="forward")
    panel = of_returns(own_returns("garch_t", SERIES, BARS, seed), days)
    frame = table(panel, days[LEARN], cutoffs_between(panel, days[LEARN]), experiment, said)
    truth = true_forecast(panel, frame)
    keys = ["unique_id", "cutoff", "step"]
    losses = {str(name): lost(rows.sort_values(keys)) for name, rows in frame.groupby("model", observed=True)}
    best = lost(truth.sort_values(keys))
    print(f"\n{'regret to the truth, %':30} {'mean':>6} {'s.e.':>6}" + "".join(f"  {f'over {r}':>24}" for r in RIVALS))
    for name, loss in sorted({"the truth": best, **losses}.items(), key=lambda item: item[1].mean()):
        regret = 100 * (loss / best - 1)
        gains = [100 * (1 - loss / losses[rival]) for rival in RIVALS]
        cells = [f"{g.mean():+.2f} ({standard_error(g):.2f}, s.d. {g.std():.2f}) {np.mean(g > 0):4.2f}" for g in gains]
        print(
            f"{label(name) if name in losses else name:30} {regret.mean():6.2f} {standard_error(regret):6.2f}"
            + "".join(f"  {cell:>24}" for cell in cells)
        )


def standard_error(value_M: Floats) -> float:
    """Of a mean over independent series."""
    return float(value_M.std(ddof=1) / np.sqrt(len(value_M)))


def of_returns(returns_MT: Floats, days: np.ndarray) -> Panel:
    """A panel of tickers on the same days."""
    closes = 100 * np.exp(np.concatenate([np.zeros((len(returns_MT), 1)), np.cumsum(returns_MT, axis=1)], axis=1))
    return Panel(tuple(PriceHistory(f"S{m:02}", "XNYS", days, close) for m, close in enumerate(closes)))


def true_forecast(panel: Panel, frame: pd.DataFrame) -> pd.DataFrame:
    """The forecasts of whoever knows the parameters, from the same cutoffs."""
    scale = 0.01 * np.sqrt(GARCH.omega / (1 - GARCH.alpha - GARCH.beta))
    unit = GARCH._replace(omega=1 - GARCH.alpha - GARCH.beta)
    learnt = np.tile([scale, 0.0, NU, *unit], (len(panel.tickers), 1))
    spec = GarchTSpec(paths=8192)
    true = FittedGarchT(spec, "truth", panel.tickers, HORIZON, 0, {"learnt": learnt})
    rows = np.flatnonzero(np.isin(panel.dates, frame["cutoff"].to_numpy().astype("datetime64[D]")))
    told: Forecast = replace(true.predict(panel, rows), paths_NSH=None)
    return to_frame(panel, told, {})


def lost(rows: pd.DataFrame) -> Floats:
    """Mean CRPS of each series."""
    quantiles = rows[list(QUANTILE_COLUMNS)].to_numpy(np.float64)
    crps = pd.Series(quantile_crps(rows["y"].to_numpy(np.float64), quantiles))
    return crps.groupby(rows["unique_id"].astype(str).to_numpy()).mean().to_numpy()


def shuffled(experiment: Experiment, folder: str, seed: int) -> None:
    """Skill against the rival on days in random order, all tickers together; fitted on the first two thirds."""
    panel = stocks(folder, "2015-12-31")
    days = panel.calendar_dates()
    whole = [h for h in panel.histories if len(h) == len(days)]
    returns = np.stack([np.diff(h.log_price) for h in whole])
    order = np.random.default_rng(seed).permutation(returns.shape[1])
    mixed = of_returns(returns[:, order], days)
    fit_to = days[2 * len(days) // 3]
    frame = table(mixed, fit_to, cutoffs_between(mixed, fit_to), experiment, said)
    board = judged(frame, experiment, mixed, RIVAL).leaderboard
    print(f"\n{len(whole)} stocks, days shuffled: skill against {label(RIVAL)}, %  (s.e.), and won")
    for row in board.to_dict("records"):
        error = (row["effect_high"] - row["effect"]) / 2
        print(f"{label(str(row['model'])):30} {100 * row['skill']:+6.2f} ({100 * error:.2f}) {row['won']:5.2f}")


if __name__ == "__main__":
    main()
