"""What one ticker loses to itself among 19 others: python benchmarks/alone.py DIR [--years 10]   (DIR of sp500.py)

Anchors learn from so many years before the end of 2000, 2005 and 2010 and are scored on the five years after: pooled
over all stocks of DIR, and each stock by itself, without a prior, with the pretrained weights as one, and those
weights alone. Pretrained weights are fitted on the other half of the stocks up to the same day. All have the drifts of
the pooled anchor. The figure is the mean loss of CRPS over stocks, in per cent of the pooled anchor's.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from benchmarks.skill import stocks
from s2squant.config.networks import AnchorSpec
from s2squant.forecasters.anchor import Anchor, FittedAnchor
from s2squant.forecasters.pretrained import MEMBERS, PRIOR_ORIGINS
from s2squant.forecasters.pretraining import fit, moving, whole_histories
from s2squant.series.arrays import Floats, Ints
from s2squant.series.forecast import quantile_crps
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

HORIZON, EVERY, LONG = 20, 5, 1000
FOLDS = (("2000-12-31", "2005-12-31"), ("2005-12-31", "2010-12-31"), ("2010-12-31", "2015-11-30"))
Learnt = tuple[Floats, Floats]
"""Multipliers and quantiles."""


def main() -> None:
    """Print the mean loss of each way, a line a fold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--years", type=float, default=10.0, help="that the anchors learn from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    everything = [moving(h) for h in stocks(options.folder, "2015-12-31").histories]
    found: dict[str, list[float]] = {}
    for last, until in FOLDS:
        start = np.datetime64(last) - int(365.25 * options.years)
        losses = fold([h.between(None, until) for h in everything], start, np.datetime64(last))
        for name, loss in losses.items():
            found.setdefault(name, []).append(loss)
        print(f"to {last}: " + ", ".join(f"{name} {loss:+.3f}" for name, loss in losses.items()), flush=True)
    print("mean: " + ", ".join(f"{name} {np.mean(each):+.3f}" for name, each in found.items()))


def fold(whole: list[PriceHistory], start: np.datetime64, last: np.datetime64) -> dict[str, float]:
    """Mean loss in per cent of each way against the anchor that is pooled over all."""
    panel = Panel(tuple(h.between(start) for h in whole))
    pooled = learn(panel.until(last))
    priors = [pretrained([h.between(None, last) for h in whole[1 - half :: 2]]) for half in (0, 1)]
    base = losses(pooled, panel, last)
    said: dict[str, dict[str, float]] = {}
    for half, prior in enumerate(priors):
        own = {h.ticker for h in panel.histories[half::2]}
        with_prior = losses(averaged(pooled, prior["market"], len(origins(panel.until(last)))), panel, last)
        said.setdefault("pooled with prior", {}).update({t: v for t, v in with_prior.items() if t in own})
    for at, history in enumerate(panel.histories):
        alone, own_prior = Panel((history,)), priors[at % 2]["alone"]
        count = len(origins(alone.until(last)))
        anchor = replace(learn(alone.until(last)), drifts=pooled.drifts)
        ways = {
            "alone": anchor,
            "alone with prior": averaged(anchor, own_prior, count),
            "pretrained": averaged(anchor, own_prior, 0),
        }
        for name, fitted in ways.items():
            said.setdefault(name, {}).update(losses(fitted, alone, last))
    return {name: float(np.mean([100 * (v / base[t] - 1) for t, v in each.items()])) for name, each in said.items()}


def origins(past: Panel) -> Ints:
    """Training origins, as a backtest has them."""
    rows = np.arange(len(past.dates))
    return rows[(past.bar_number(rows) >= AnchorSpec().warmup) & (past.bars_left(rows) >= HORIZON)]


def learn(past: Panel) -> FittedAnchor:
    """The anchor as shipped."""
    return Anchor(AnchorSpec()).fit(past, origins(past), horizon=HORIZON, seed=0)


def pretrained(histories: list[PriceHistory]) -> dict[str, Learnt]:
    """Weights of long histories, alone and in their market."""
    members_NK, y_NH = whole_histories(Panel(tuple(histories)), LONG, HORIZON)
    return {kind: fit(members_NK[:, :count], y_NH, AnchorSpec(), 0) for kind, count in MEMBERS.items()}


def averaged(anchor: FittedAnchor, prior: Learnt, count: int) -> FittedAnchor:
    """The anchor averaged with a prior, by the number of its own origins."""
    own = count / (count + PRIOR_ORIGINS)
    padded_HK = np.pad(prior[0], ((0, 0), (0, anchor.weights_GHK.shape[2] - prior[0].shape[1])))
    return replace(
        anchor,
        weights_GHK=own * anchor.weights_GHK + (1 - own) * padded_HK,
        table_GHQ=own * anchor.table_GHQ + (1 - own) * prior[1],
    )


def losses(anchor: FittedAnchor, panel: Panel, after: np.datetime64) -> Mapping[str, float]:
    """Mean CRPS of each ticker, every fifth bar after a day."""
    rows = np.arange(len(panel.dates))
    rows = rows[(panel.dates > after) & (panel.bars_left(rows) >= HORIZON) & (panel.bar_number(rows) % EVERY == 0)]
    crps = quantile_crps(panel.targets(rows, HORIZON), anchor.predict(panel, rows).quantiles_NHQ).mean(axis=1)
    owner = panel.ticker_of[rows]
    return {panel.tickers[m]: float(crps[owner == m].mean()) for m in np.unique(owner)}


if __name__ == "__main__":
    main()
