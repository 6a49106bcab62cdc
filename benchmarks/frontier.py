"""CPU seconds of a network's fit against its CRPS, for other trainings than the default: python benchmarks/frontier.py

Development folds of the embedded sample, and of a folder of CSVs given by `--folder` (benchmarks/sp500.py writes one),
all scored before 2016 (the sample's stocks before 2009): the anchor is fitted once a fold, each candidate `--nets`
times on it, and scored every 10 bars over the two years after. Prints CPU seconds a net, and
CRPS skill against the anchor (a mean over tickers, then folds) with as many nets averaged as `--average` says; the
difference to the first candidate, with its standard error where there are several folds. CPU seconds are fair on a
machine with neighbours, wall clocks are not.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.forecasts import HORIZON, cutoffs_between
from s2squant.config.experiment import Universe
from s2squant.config.models import Forecasters
from s2squant.config.networks import Scope, Seq2SeqSpec
from s2squant.forecasters.anchor import Anchor, FittedAnchor
from s2squant.forecasters.network_training import Seq2SeqForecaster
from s2squant.prices.universe import load_universe
from s2squant.runs.engines.worker import keep_freed_memory
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import quantile_crps
from s2squant.series.panel import Panel

US = ("AAPL", "GOOG", "IBM", "MSFT")
ECB = tuple(f"EUR{code}" for code in ("USD", "JPY", "GBP", "CHF", "AUD", "CAD", "SEK", "NOK", "NZD", "ZAR"))
MARKETS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "us": (US, (2006,)),
    "ecb": (ECB, (2003, 2007, 2011)),
    "two": (("EURUSD", "EURJPY"), (2003, 2007, 2011)),
    "folder": ((), (1999, 2003, 2007, 2011, 2013)),
}
"""Tickers (none: all), and the last years that are learnt from."""


@dataclass(frozen=True)
class Candidate:
    """One way to train, in the order in which it is named on the command line."""

    decoder: str
    steps: int
    batch: int
    positions: int
    lr: float

    @classmethod
    def read(cls, text: str) -> Candidate:
        """Of decoder:steps:batch:positions:rate, where a decoder is lstm, lstm-linear, mlp or mlp-linear."""
        decoder, steps, batch, positions, lr = text.split(":")
        return cls(decoder, int(steps), int(batch), int(positions), float(lr))

    def spec(self, scope: Scope) -> Seq2SeqSpec:
        """The default network, changed so."""
        base = Forecasters().seq2seq
        parts: dict[str, object] = {
            "kind": "mlp" if self.decoder.startswith("mlp") else "recurrent",
            "width": 0 if self.decoder.endswith("linear") else base.encoder.hidden,
        }
        own = getattr(base, scope).model_copy(
            update={"steps": self.steps, "batch": self.batch, "lr": self.lr, "seeds": 1}
        )
        return base.model_copy(
            update={
                "decoder": base.decoder.model_copy(update=parts),
                "training": base.training.model_copy(update={"positions": self.positions}),
                scope: own,
            }
        )


class World(NamedTuple):
    """One fold: what is learnt from, what is scored, and the anchor with its loss."""

    whole: Panel
    past: Panel
    rows: Ints
    test: Ints
    anchor: FittedAnchor
    loss_M: Floats


def worlds(market: str, folder: str) -> list[World]:
    """The folds of a market."""
    tickers, years = MARKETS[market]
    universe = (
        Universe(tickers=tickers)
        if tickers
        else Universe(source=f"csv:{folder}", end="2015-12-31", accept=("placeholder before listing",))
    )
    histories, made = load_universe(universe).histories, []
    for year in years:
        whole = Panel(tuple(h.between(h.dates[0], np.datetime64(f"{year + 2}-12-31")) for h in histories))
        fit_to = np.datetime64(f"{year}-12-31")
        past = whole.until(fit_to)
        origins, warmup = np.arange(len(past.dates)), Forecasters().anchor.warmup
        rows = origins[(past.bar_number(origins) >= warmup) & (past.bars_left(origins) >= HORIZON)]
        learnt = [whole.tickers.index(past.tickers[m]) for m in np.unique(past.ticker_of[rows])]
        test = np.flatnonzero(np.isin(whole.dates, cutoffs_between(whole, fit_to)) & np.isin(whole.ticker_of, learnt))
        anchor = Anchor(Forecasters().anchor).fit(past, rows, horizon=HORIZON, seed=0)
        loss_M = losses(whole, test, anchor.predict(whole, test).quantiles_NHQ)
        made.append(World(whole, past, rows, test, anchor, loss_M))
    return made


def losses(panel: Panel, test: Ints, quantiles_NHQ: Floats) -> Floats:
    """Mean CRPS of each ticker."""
    loss_N = quantile_crps(panel.targets(test, HORIZON), quantiles_NHQ).mean(axis=1)
    owner = panel.ticker_of[test]
    return np.array([loss_N[owner == m].mean() for m in np.unique(owner)])


def skills(candidate: Candidate, scope: Scope, world: World, nets: int, average: int) -> tuple[list[float], float]:
    """Skill against the anchor, in per cent, of each average of nets; and CPU seconds a net."""
    fitter, drawn, spent = Seq2SeqForecaster(candidate.spec(scope), scope, world.anchor), [], 0.0
    for seed in range(nets):
        began = time.process_time()
        fitted = fitter.fit(world.past, world.rows, horizon=HORIZON, seed=seed)
        spent += time.process_time() - began
        drawn.append(fitted.predict(world.whole, world.test).quantiles_NHQ)
    means = [np.mean(drawn[k : k + average], axis=0) for k in range(0, nets - average + 1, average)]
    found = [100 * float((1 - losses(world.whole, world.test, m) / world.loss_M).mean()) for m in means]
    return found, spent / nets


def main() -> None:
    """Print a row for each market and candidate as it is ready."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="+", help="decoder:steps:batch:positions:rate")
    parser.add_argument("--scope", choices=("per_ticker", "pooled"), default="pooled")
    parser.add_argument("--markets", nargs="+", choices=tuple(MARKETS), default=("us", "ecb"))
    parser.add_argument("--folder", default="", help="CSVs of prices, for the market of that name")
    parser.add_argument("--nets", type=int, default=4, help="fits of each candidate in each fold")
    parser.add_argument("--average", type=int, default=2, help="nets in one forecast")
    options = parser.parse_args()
    if ("folder" in options.markets) != bool(options.folder):
        parser.error("the market `folder` needs --folder DIR, and --folder DIR that market")
    torch.set_num_threads(1)
    keep_freed_memory()
    folds = {market: worlds(market, options.folder) for market in options.markets}
    first: dict[str, Floats] = {}
    for text in options.candidates:
        for market, made in folds.items():
            results = [skills(Candidate.read(text), options.scope, w, options.nets, options.average) for w in made]
            found_WD, spent = np.array([f for f, _ in results]), float(np.mean([s for _, s in results]))
            first.setdefault(market, found_WD)
            gain_W = (found_WD - first[market]).mean(axis=1)
            error = f" ({gain_W.std(ddof=1) / np.sqrt(len(gain_W)):.3f})" if len(gain_W) > 1 else ""
            per_fold = " ".join(f"{skill:+.2f}" for skill in found_WD.mean(axis=1))
            print(
                f"{market:4} {text:28} {spent:6.2f} CPU s a net, skill {found_WD.mean():+.3f} "
                f"(worst {found_WD.min():+.2f}), difference {gain_W.mean():+.3f}{error}; folds {per_fold}",
                flush=True,
            )


if __name__ == "__main__":
    main()
