"""Skill of the recommended model by market, asset class, volatility, dollar volume and regime.

Groups are made from what was known before: a ticker's volatility and dollar volume from the bars up to its first
cutoff, the regime of a cutoff from the ticker's own volatility so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from s2squant.config.asset_classes import asset_class
from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.comparisons import relative_series
from s2squant.evaluation.losses import Losses
from s2squant.evaluation.pools import pool_of
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.false_discovery import with_findings
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory

COLUMNS = [
    "basis", "group", "tickers", "skill", "low", "high", "p", "p_adjusted", "n", "n_eff", "smallest_detectable",
    "finding", "reason",
]  # fmt: skip
TERCILES = ("low", "middle", "high")
FEWEST_TICKERS = 6
"""Terciles of fewer tickers would be single names, which the table of tickers shows."""
YEAR = 250
"""Bars over which a ticker's volatility and dollar volume are taken, and those a regime needs before it."""
PARTS = 8
"""Groups of a session's bars, at most."""
QUARTER = 60
"""Bars over which the volatility of a regime is taken."""


def groups(
    losses: Losses,
    spec: VerdictSpec,
    *,
    every: int,
    horizon: int,
    markets: Mapping[str, str],
    histories: Mapping[str, PriceHistory],
) -> pd.DataFrame:
    """One row a group of units; columns as in Evidence. A basis that makes no groups has one row with its reason.

    `p_adjusted` is Benjamini-Hochberg over all groups; a finding needs it at most `spec.fdr` and p below `spec.alpha`.
    """
    model, base = spec.recommended, spec.reference
    if model not in losses.models or model == base:
        return pd.DataFrame(columns=COLUMNS)
    market_U = np.array([markets[t] for t in losses.tickers])[losses.ticker_U]
    rows: list[dict[str, object]] = []
    for basis, label_U, reason in _bases(losses, markets, histories):
        empty = dict.fromkeys(COLUMNS, np.nan) | {"basis": basis, "group": "", "tickers": 0, "n": 0, "n_eff": 0.0}
        if reason:
            rows.append(empty | {"p": 1.0, "reason": reason})
            continue
        for name in _ordered(label_U):
            units = np.flatnonzero(label_U == name)
            pool = pool_of(losses, units, family="group", name=name, ahead=horizon, every=every, market_U=market_U)
            ticker = losses.ticker_U[units]
            effect, series = relative_series(losses.of(model)[units], losses.of(base)[units], ticker, pool)
            gain = dm.examine(series, pool.overlap)
            values = (
                basis, name, len(np.unique(ticker)), gain.mean if np.isfinite(gain.mean) else effect, gain.low,
                gain.high, gain.p, np.nan, gain.n, pool.n_eff, gain.smallest_detectable(spec.alpha), "", gain.reason,
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return with_findings(table, spec, effect="skill", words=("better", "worse"))


def _bases(
    losses: Losses, markets: Mapping[str, str], histories: Mapping[str, PriceHistory]
) -> Iterator[tuple[str, np.ndarray, str]]:
    """Each basis with the group of every unit ("" for none), or with the reason why it makes no groups."""
    tickers, ticker_U = losses.tickers, losses.ticker_U
    first = np.full(len(tickers), len(losses.cutoffs) - 1)
    np.minimum.at(first, ticker_U, losses.cutoff_U)
    past = [_until(histories.get(t), losses.cutoffs[c]) for t, c in zip(tickers, first, strict=True)]
    market = np.array([markets[t] for t in tickers], object)
    classes = [asset_class(t, m) if h is None else h.asset_class for t, m, h in zip(tickers, market, past, strict=True)]
    asset = np.array(classes, object)
    for basis, label in (("market", market), ("asset class", asset)):
        single = f"all tickers are one: {label[0]}" if len(set(label)) == 1 else ""
        yield basis, label[ticker_U], single
    volatility = np.array([_volatility(h) for h in past])
    yield "volatility", _terciles(volatility)[ticker_U], _too_few(volatility, "a known volatility")
    volume = np.array([_dollar_volume(h) for h in past])
    traded = np.full(len(tickers), "", object)
    for name in dict.fromkeys(market):  # in its own currency: compared within a market only
        mine = market == name
        if np.isfinite(volume[mine]).sum() >= FEWEST_TICKERS:
            traded[mine] = _terciles(volume[mine])
    reason = "" if (traded != "").any() else f"no market has {FEWEST_TICKERS} tickers with a known volume"
    yield "dollar volume", traded[ticker_U], reason
    regime = np.full(len(losses), "", object)
    for m, ticker in enumerate(tickers):
        mine = np.flatnonzero(ticker_U == m)
        cutoffs, place = np.unique(losses.cutoff_U[mine], return_inverse=True)
        regime[mine] = regimes(histories.get(ticker), losses.cutoffs[cutoffs])[place]
    few = "" if (regime != "").any() else f"no ticker has {YEAR + QUARTER} bars before a cutoff"
    yield "regime at the cutoff", regime, few
    if any(h.slots is not None for h in histories.values()):
        yield "time of day", _next_bar(losses, histories), ""


def regimes(history: PriceHistory | None, cutoffs: np.ndarray) -> np.ndarray:
    """The tercile (C,) of a ticker's QUARTER-bar volatility at each cutoff among all of its own so far.

    "" where fewer than YEAR earlier values are known; no bar after the cutoff is read.
    """
    terciles = np.full(len(cutoffs), "", object)
    if history is None or len(history) <= QUARTER + 1:
        return terciles
    squares = np.concatenate([[0.0], np.cumsum(np.square(history.log_returns))])
    trailing = squares[QUARTER:] - squares[:-QUARTER]  # entry i ends at bar i + QUARTER
    last = np.searchsorted(history.dates, cutoffs.astype(history.dates.dtype), "right") - 1 - QUARTER
    for i, end in enumerate(last):
        if end >= YEAR:
            rank = float((trailing[: end + 1] <= trailing[end]).mean())
            terciles[i] = TERCILES[min(int(3 * rank), 2)]
    return terciles


def _next_bar(losses: Losses, histories: Mapping[str, PriceHistory]) -> np.ndarray:
    """The place of the first bar ahead within its session, of each unit (U,), in at most PARTS groups."""
    label_U = np.full(len(losses), "", object)
    for m, ticker in enumerate(losses.tickers):
        history = histories.get(ticker)
        if history is None or history.slots is None:
            continue
        mine = np.flatnonzero(losses.ticker_U == m)
        cutoffs = losses.cutoffs[losses.cutoff_U[mine]].astype(history.dates.dtype)
        slot = history.slots.ahead(np.searchsorted(history.dates, cutoffs), 1).slot[:, 0]
        count = history.slots.count
        width, digits = -(-count // PARTS), len(str(count))
        first, last = slot // width * width + 1, np.minimum((slot // width + 1) * width, count)
        label_U[mine] = [
            f"bar {a:0{digits}d} of {count}" if a == b else f"bars {a:0{digits}d} to {b} of {count}"
            for a, b in zip(first, last, strict=True)
        ]
    return label_U


def _until(history: PriceHistory | None, cutoff: np.datetime64) -> PriceHistory | None:
    if history is None or (history.dates <= cutoff.astype(history.dates.dtype)).sum() < 2:
        return None
    return history.between(None, cutoff.astype(history.dates.dtype))


def _volatility(history: PriceHistory | None) -> float:
    if history is None:
        return float("nan")
    return float(np.sqrt(np.square(history.log_returns[-YEAR:]).mean()))


def _dollar_volume(history: PriceHistory | None) -> float:
    """Median of close x volume, in the currency of the exchange; NaN where the volume is not known."""
    if history is None or "volume" not in history.bars:
        return float("nan")
    value = (history.bars.get("close", history.adj_close) * history.bars["volume"])[-YEAR:]
    value = value[np.isfinite(value) & (value > 0)]
    return float(np.median(value)) if len(value) else float("nan")


def _terciles(values: Floats) -> np.ndarray:
    """low, middle or high, "" where unknown."""
    terciles, known = np.full(len(values), "", object), np.isfinite(values)
    if known.any():
        edges = np.quantile(values[known], [1 / 3, 2 / 3])
        terciles[known] = np.array(TERCILES, object)[np.searchsorted(edges, values[known], "left")]
    return terciles


def _too_few(values: Floats, what: str) -> str:
    known = int(np.isfinite(values).sum())
    return "" if known >= FEWEST_TICKERS else f"{known} of {FEWEST_TICKERS} tickers needed have {what}"


def _ordered(label_U: np.ndarray) -> list[str]:
    names = [str(name) for name in dict.fromkeys(label_U) if name]
    return sorted(names, key=lambda name: (TERCILES.index(name) if name in TERCILES else -1, name))
