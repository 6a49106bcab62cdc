"""What share of tickers could be won: python benchmarks/won.py FORECASTS [--cutoffs N] [--aim GAIN]

FORECASTS is `forecasts.parquet` of a backtest, or what benchmarks/skill.py saves. The gain of a ticker has a standard
error, and one whose true gain is g is won with probability Phi(g / s.e.): even skill that is equal everywhere loses
some. Printed are the share won; what it would be on average if each true gain were the mean over tickers, or the
ticker's own shrunk to that (empirical Bayes, Efron and Morris 1973), or GAIN; and the gain that would win 95 %.
`--cutoffs` scales the errors to a walk of so many.

Shape legend: M tickers, C cutoffs.
"""

from __future__ import annotations

import argparse
from math import ceil

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtr

from benchmarks.forecasts import EVERY, HORIZON
from s2squant.config.models import label
from s2squant.evaluation.losses import Losses, group_mean, score
from s2squant.evaluation.statistics.diebold_mariano import ewc
from s2squant.series.arrays import Floats

RIVALS = ("gjr_shrunk", "gjr_t", "historical_simulation")
WANTED = 0.95


def main() -> None:
    """Score the forecasts and print a column a rival."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forecasts")
    parser.add_argument("--model", default="blend")
    parser.add_argument("--cutoffs", type=int, default=0, help="0: as many as there are")
    parser.add_argument("--aim", type=float, default=0.5, help="per cent")
    options = parser.parse_args()
    losses = score(pd.read_parquet(options.forecasts))
    rivals = [name for name in RIVALS if name in losses.models]
    columns = [column(by_date(losses, options.model, rival), options.cutoffs, options.aim) for rival in rivals]
    print(pd.DataFrame(columns, index=pd.Index([label(rival) for rival in rivals])).T.round(2).to_string())


def by_date(losses: Losses, model: str, rival: str) -> Floats:
    """Gains (M, C) in per cent of a ticker's mean loss under the rival; NaN where it lacks a cutoff."""
    size = len(losses.tickers), len(losses.cutoffs)
    cell_U = losses.ticker_U * size[1] + losses.cutoff_U
    base_MC, loss_MC = (group_mean(losses.of(name), cell_U, size[0] * size[1]).reshape(size) for name in (rival, model))
    gain_MC = 100 * (base_MC - loss_MC) / np.nanmean(base_MC, axis=1, keepdims=True)
    return np.asarray(gain_MC[:, np.isfinite(gain_MC).any(axis=0)])


def column(gain_MC: Floats, cutoffs: int, aim: float) -> dict[str, float]:
    """One column of the table: gains in per cent, shares of tickers."""
    gain_M, error_M = np.nanmean(gain_MC, axis=1), errors(gain_MC, cutoffs)
    true = spread_of_truth(gain_MC)
    weight_M = true**2 / (true**2 + errors(apart(gain_MC), 0) ** 2)
    shrunk_M = gain_M.mean() + weight_M * (gain_M - gain_M.mean())
    return {
        "tickers": len(gain_M),
        "gain, mean": gain_M.mean(),
        "won": np.mean(gain_M > 0),
        "s.e. of a ticker's gain, median": np.median(error_M),
        "spread of gains, s.d.": gain_M.std(ddof=1),
        "of which true": true,
        "expected: each at the mean": share_won(gain_M.mean(), error_M),
        "expected: each its own, shrunk": share_won(shrunk_M, error_M),
        f"expected: each at {aim:+.2f}": share_won(aim, error_M),
        f"gain at which {WANTED:.0%} are won": needed(error_M),
    }


def errors(gain_MC: Floats, cutoffs: int) -> Floats:
    """The standard error of each ticker's mean gain, in a walk of so many cutoffs; 0: of those that it has."""
    series = [gain_C[np.isfinite(gain_C)] for gain_C in gain_MC]
    lengths = np.array([len(each) for each in series])
    error_M = np.array([float(ewc(each, ceil(HORIZON / EVERY))[1]) for each in series])
    return np.asarray(error_M * np.sqrt(lengths / cutoffs) if cutoffs else error_M)


def apart(gain_MC: Floats) -> Floats:
    """What is a ticker's own: less the mean over the tickers of a date, in the size of one before that."""
    with_C = np.isfinite(gain_MC).sum(axis=0)
    return np.asarray((gain_MC - np.nanmean(gain_MC, axis=0)) * np.sqrt(with_C / np.maximum(with_C - 1, 1)))


def spread_of_truth(gain_MC: Floats) -> float:
    """Standard deviation of the true gains: what their errors leave of the spread that is seen, at least 0."""
    seen = float(np.nanmean(gain_MC, axis=1).var(ddof=1))
    return float(np.sqrt(max(0.0, seen - np.square(errors(apart(gain_MC), 0)).mean())))


def share_won(true_M: Floats | float, error_M: Floats) -> float:
    """Expected share of tickers won with these true gains."""
    return float(ndtr(true_M / error_M).mean())


def needed(error_M: Floats) -> float:
    """The true gain of every ticker that wins 95 % of them."""
    gain: float = brentq(lambda gain: share_won(gain, error_M) - WANTED, 0.0, 10 * float(error_M.max()))
    return gain


if __name__ == "__main__":
    main()
