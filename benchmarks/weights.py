"""Pretrained weights on tickers and years they never saw: python benchmarks/weights.py DIR (as of benchmarks/sp500.py)

Every stock is cut to listings of 60, 120, 250, 450 and 900 bars, each by itself, and forecast 20 steps from its last
one; with `currencies` for DIR, so are the sample's euro rates. By default weights are fitted on every second ticker up
to --fit-to, and the others are scored from there to --test-to, then the same with the halves exchanged. `--judged`
scores the shipped judged weights on all of DIR instead: from 2016 on, that is what they never saw. Baselines are fitted
on the listing's bars. Skill is 1 - CRPS / CRPS, averaged over tickers; its standard error comes from years.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.skill import stocks
from s2squant.config.experiment import Experiment, Universe
from s2squant.config.models import ModelName, label
from s2squant.forecasters.catalog import make
from s2squant.forecasters.expected_return import shrunk_drifts
from s2squant.forecasters.pretrained import FittedPretrained, Weights, load
from s2squant.forecasters.pretraining import moving, pretrain
from s2squant.prices.sources.sample import SampleSource
from s2squant.prices.universe import load_universe
from s2squant.series.arrays import Floats
from s2squant.series.forecast import LEVELS, Fitted, quantile_crps
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

HORIZON, EVERY = 20, 60
BARS = (60, 120, 250, 450, 900)
BASELINES: tuple[ModelName, ...] = ("historical_simulation", "gjr_shrunk")
COVERAGES = (0.5, 0.8, 0.95)


def main() -> None:
    """Fit, cut, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a folder of CSVs, or currencies")
    parser.add_argument("--fit-to", default="2003-12-31")
    parser.add_argument("--test-to", default="2015-12-31")
    parser.add_argument("--judged", action="store_true", help="score the shipped judged weights, from --fit-to on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    first = np.datetime64(options.fit_to)
    histories = [moving(h) for h in prices(options.folder, options.test_to).histories]
    asset_class = histories[0].asset_class
    halves = (histories[0::2], histories[1::2])
    tests: list[tuple[Weights, list[PriceHistory]]] = []
    if options.judged:
        tests.append((load(asset_class, judged=True), histories))
    for learn, test in (halves, halves[::-1]) if not options.judged else ():
        tests.append((pretrain(asset_class, [h.between(None, first) for h in learn], horizon=HORIZON), list(test)))
    print(f"{'bars':>5} {'listings':>8}  {'skill, % (s.e.) over':50} coverage 50/80/95: pretrained, then those")
    for bars in BARS:
        report(bars, [row for weights, test in tests for h in test for row in scored(weights, h, bars, first)])


def prices(folder: str, end: str) -> Panel:
    """The stocks of a folder, or the sample's currencies."""
    if folder != "currencies":
        return stocks(folder, end)
    tickers = tuple(t for t in SampleSource().tickers() if t.startswith("EUR"))
    return Panel(load_universe(Universe(source="sample", tickers=tickers, end=end)).histories)


Row = tuple[str, int, Floats, Floats]
"""Ticker, year, losses by model (pretrained first), and whether each model's bands held (models, coverages)."""


def scored(weights: Weights, history: PriceHistory, bars: int, first: np.datetime64) -> Iterator[Row]:
    """Loss and coverage of every model at the end of each listing."""
    for start in range(0, len(history) - bars - HORIZON + 1, EVERY):
        if history.dates[start + bars - 1] <= first:
            continue
        past = Panel((history.between(history.dates[start], history.dates[start + bars - 1]),))
        end = start + bars - 1
        y_1H = (history.log_price[end + 1 : end + 1 + HORIZON] - history.log_price[end])[None]
        models: list[Fitted] = [fitted_on(weights, past)]
        models += [fit(name, past) for name in BASELINES]
        said = [model.predict(past, np.array([bars - 1])).quantiles_NHQ for model in models]
        held = [[inside(y_1H, q, c) for c in COVERAGES] for q in said]
        losses = np.array([quantile_crps(y_1H, q).mean() for q in said])
        yield history.ticker, int(str(history.dates[end])[:4]), losses, np.array(held)


def fitted_on(weights: Weights, past: Panel) -> FittedPretrained:
    """The pretrained model with the drift that the listing's own bars tell."""
    return FittedPretrained({weights.about.asset_class: weights}, shrunk_drifts(past), HORIZON)


def fit(name: ModelName, past: Panel) -> Fitted:
    """A baseline, fitted on the listing's bars."""
    return make(name, Experiment().forecasters).fit(past, np.arange(len(past.dates)), horizon=HORIZON, seed=0)


def inside(y_NH: Floats, quantiles_NHQ: Floats, coverage: float) -> float:
    """Share of outcomes within the central band."""
    low, high = np.searchsorted(LEVELS, [(1 - coverage) / 2 - 1e-9, (1 + coverage) / 2 - 1e-9])
    return float(((y_NH >= quantiles_NHQ[:, :, low]) & (y_NH <= quantiles_NHQ[:, :, high])).mean())


def report(bars: int, rows: list[Row]) -> None:
    """One line of the table."""
    if not rows:
        return
    tickers, years = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    losses, held = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    told = []
    for k, name in enumerate(BASELINES, start=1):
        by_year = [skill(losses[years == year], tickers[years == year], k) for year in np.unique(years)]
        error = np.std(by_year) / np.sqrt(max(1, len(by_year) - 1))
        told.append(f"{label(name)} {skill(losses, tickers, k):+5.2f} ({error:.2f})")
    cover = "  ".join("/".join(f"{100 * c:.1f}" for c in held[:, k].mean(axis=0)) for k in range(1 + len(BASELINES)))
    print(f"{bars:>5} {len(rows):>8}  {'  '.join(told):50} {cover}", flush=True)


def skill(losses: Floats, tickers: np.ndarray, k: int) -> float:
    """Of the first model over the k-th, in per cent, the mean over tickers."""
    each = [losses[tickers == t, 0].sum() / losses[tickers == t, k].sum() for t in np.unique(tickers)]
    return float(100 * (1 - np.mean(each)))


if __name__ == "__main__":
    main()
