"""Pools: the sets of units that one test speaks about (all, one market's, one step's, one ticker's).

Within a pool the relative loss differences are averaged over tickers and steps into one number a cutoff date, so that
tickers that move together count once (Pesaran, Pick and Timmermann 2013); `diebold_mariano` then tests the mean of
that series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from s2squant.evaluation.losses import Losses
from s2squant.series.arrays import Ints
from s2squant.series.long_table import step_bands


def step_groups(step_U: Ints) -> dict[str, Ints]:
    """The name of each group, "all" first, and the units (positions) in it; empty groups are left out."""
    groups = {"all": np.arange(len(step_U))}
    for name, (first, last) in step_bands(int(step_U.max(initial=1))).items():
        units = np.flatnonzero((step_U >= first) & (step_U <= last))
        if len(units) and len(units) < len(step_U):
            groups[name] = units
    return groups


Family = Literal["all", "market", "step", "ticker", "group"]


@dataclass(frozen=True)
class Pool:
    """Units (positions in Losses) that one test speaks about, each with the number of its date within the pool."""

    family: Family
    name: str
    step: str
    units: Ints
    date_of: Ints
    dates: int
    overlap: int
    """Neighbouring dates of the pool whose labels share bars."""
    n_eff: float
    """Dates whose labels share none: n x every / horizon, at most n."""


def pools(losses: Losses, *, every: int, horizon: int, markets: Mapping[str, str]) -> list[Pool]:
    """The pools of a run: all, each market, each step, each ticker; `every` and `horizon` in bars."""
    everything = np.arange(len(losses))
    market_M = np.array([markets[t] for t in losses.tickers])
    market_U = market_M[losses.ticker_U]

    def pool(family: Family, name: str, units: Ints, ahead: int, step: str = "all") -> Pool:
        return pool_of(losses, units, family=family, name=name, ahead=ahead, every=every, market_U=market_U, step=step)

    parts = [pool("all", "all", everything, horizon)]
    parts += [pool("market", m, np.flatnonzero(market_U == m), horizon) for m in dict.fromkeys(market_M.tolist())]
    parts += [pool("step", "all", np.flatnonzero(losses.step_U == s), int(s), str(s)) for s in np.unique(losses.step_U)]
    bounds = np.searchsorted(losses.ticker_U, np.arange(len(losses.tickers) + 1))
    for m, ticker in enumerate(losses.tickers):
        if bounds[m] < bounds[m + 1]:
            parts.append(pool("ticker", ticker, everything[bounds[m] : bounds[m + 1]], horizon))
    return parts


def pool_of(
    losses: Losses,
    units: Ints,
    *,
    family: Family,
    name: str,
    ahead: int,
    every: int,
    market_U: NDArray[np.str_],
    step: str = "all",
) -> Pool:
    """The pool of some units, whose labels reach `ahead` bars; `market_U` names the market of every unit of `losses`.

    Dates that the pool lacks are closed up, so that its overlap errs on the wide side.
    """
    dates, date_of = np.unique(losses.cutoff_U[units], return_inverse=True)
    lead = max(1, ceil(ahead / every))
    overlap = _overlap([np.unique(date_of[market_U[units] == m]) for m in np.unique(market_U[units])], lead)
    n_eff = len(dates) * min(1.0, every / ahead) * lead / overlap
    return Pool(family, name, step, units, date_of, len(dates), overlap, n_eff)


def _overlap(dates_of_markets: Sequence[Ints], lead: int) -> int:
    """Overlap of a pool: its dates that start before a label ends that spans `lead` cutoffs of its own market.

    `lead` itself when markets share their cutoffs or lie apart in time; more when their cutoffs interleave.
    """
    spans = [d[lead:] - d[:-lead] for d in dates_of_markets if len(d) > lead]
    return max(lead, ceil(float(np.median(np.concatenate(spans))))) if spans else lead
