"""The portfolio tables of a run: walked forward, its VaR and shortfall tested, and what is to be expected of it now.

Shape legend: M tickers, H steps, A quantile levels, S paths, C cutoffs, T bars.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.errors import ConfigError, SourceError
from s2squant.evaluation.portfolio.currency import Signed, conversions
from s2squant.evaluation.portfolio.outcome import contributions, log_quantiles, outlook, wealth
from s2squant.evaluation.portfolio.walk import Walked, compared, stretches, walk
from s2squant.evaluation.portfolio.weights import weights_of
from s2squant.evaluation.results import Portfolio
from s2squant.evaluation.strategy.positions import GAP_DAYS
from s2squant.evaluation.value_at_risk import risk_tables
from s2squant.series.arrays import Dates, Floats
from s2squant.series.history import PriceHistory
from s2squant.series.joint_paths import joint_paths
from s2squant.series.past_paths import PastPaths, past_paths, sharing
from s2squant.series.tails import ALL_COLUMNS, all_quantiles

TABLES: tuple[str, ...] = tuple(one.name for one in fields(Portfolio) if one.name != "refused")


@dataclass(frozen=True)
class Decision:
    """A portfolio decided at a cutoff: whose paths, which weights."""

    day: np.datetime64
    tickers: tuple[str, ...]
    weights_M: Floats
    paths_MHS: Floats
    """Cumulative log returns in the base currency."""


def portfolio_tables(
    forecasts: pd.DataFrame,
    histories: Mapping[str, PriceHistory],
    experiment: Experiment,
    *,
    markets: Mapping[str, str],
    trials: int,
) -> Portfolio:
    """Each market's portfolio by the rule of the experiment; empty where it has none."""
    spec, horizon = experiment.portfolio, experiment.walk.horizon
    if spec.weights == "none":
        return Portfolio()
    own = forecasts[forecasts["model"] == experiment.verdict.recommended]
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    refused: dict[str, str] = {}
    for market in dict.fromkeys(markets.values()):
        members = [histories[ticker] for ticker, its in markets.items() if its == market]
        others = [histories[ticker] for ticker, its in markets.items() if its != market]
        added, why = conversions(members, spec, others)
        refused |= why
        kept, apart = sharing([h for h in members if h.ticker in added], horizon)
        refused |= apart
        if len(kept) < 2:
            refused[market] = "a portfolio needs two tickers with dates in common"
            continue
        try:
            decisions = list(_decisions(own, past_paths(kept, horizon), added, experiment))
        except ConfigError as error:
            refused[market] = str(error)
            continue
        if not decisions:
            refused[market] = "no cutoff has two tickers with past paths enough"
            continue
        for name, table in _of_market(market, kept, added, decisions, experiment, trials):
            parts[name].append(table)
    whole = {name: pd.concat(some, ignore_index=True) for name, some in parts.items() if some}
    if "risk" in whole:
        told = whole["risk"]
        pools = {str(name): str(name) for name in told["unique_id"].unique()}
        risk, _ = risk_tables(told, experiment.verdict, every=experiment.walk.every, horizon=horizon, markets=pools)
        own_rows = risk["unique_id"].isin(list(pools)) & (risk["reason"] == "")
        whole["risk"] = risk[own_rows].reset_index(drop=True)
    return Portfolio(**whole, refused=refused)


def _decisions(
    own: pd.DataFrame, past: PastPaths, added: Mapping[str, Signed], experiment: Experiment
) -> Iterator[Decision]:
    """The portfolio of each cutoff that two tickers or more have forecasts of, the newest among them."""
    spec = experiment.portfolio
    place = {ticker: m for m, ticker in enumerate(past.tickers)}
    rows = own[own["unique_id"].isin(list(place))]
    rows = rows.assign(place=rows["unique_id"].map(place).astype(int)).sort_values(["cutoff", "place", "step"])
    horizon = experiment.walk.horizon
    for cutoff, part in rows.groupby("cutoff", sort=True):
        have = part["place"].to_numpy()[::horizon]
        if len(part) != len(have) * horizon or len(have) < 2:
            continue
        day = np.datetime64(str(cutoff)).astype(past.starts_W.dtype)
        try:
            order = past.known(day).order(experiment.seed)[have]
        except SourceError:
            continue
        levels_MHA = all_quantiles(part).reshape(len(have), horizon, -1)
        paths = joint_paths(levels_MHA, order, spec.draws, seed=experiment.seed).astype(np.float64)
        tickers = tuple(past.tickers[m] for m in have)
        converted = _converted(paths, tickers, added)
        if len(converted) < 2:
            continue
        chosen = np.stack(list(converted.values()))
        weights = weights_of(np.expm1(chosen[:, -1]), tuple(converted), spec)
        yield Decision(day, tuple(converted), weights, chosen)


def _converted(paths_MHS: Floats, tickers: Sequence[str], added: Mapping[str, Signed]) -> dict[str, Floats]:
    """Paths (H, S) in the base currency of the tickers whose rates are there too."""
    by_ticker = dict(zip(tickers, paths_MHS, strict=True))
    return {
        ticker: np.asarray(own + sum((sign * by_ticker[rate] for rate, sign in added[ticker]), np.zeros_like(own)))
        for ticker, own in by_ticker.items()
        if all(rate in by_ticker for rate, _ in added[ticker])
    }


def _of_market(
    market: str,
    histories: Sequence[PriceHistory],
    added: Mapping[str, Signed],
    decisions: Sequence[Decision],
    experiment: Experiment,
    trials: int,
) -> Iterator[tuple[str, pd.DataFrame]]:
    spec, place = experiment.portfolio, {h.ticker: m for m, h in enumerate(histories)}
    newest = decisions[-1]
    steps = sorted({1, min(10, experiment.walk.horizon), experiment.walk.horizon})
    head = {"pool": market, "cutoff": str(newest.day)}
    yield "outlook", outlook(newest.paths_MHS, newest.weights_M, steps).assign(**head)
    yield "parts", contributions(newest.paths_MHS, newest.weights_M, newest.tickers).assign(**head)
    yield (
        "weights",
        pd.concat(
            [
                pd.DataFrame({"pool": market, "cutoff": d.day, "unique_id": list(d.tickers), "weight": d.weights_M})
                for d in decisions
            ]
        ),
    )
    dates, log_TM = _log_prices(histories, added)
    yield "risk", _as_forecasts(market, decisions, dates, log_TM, place, experiment)
    returns_TM = np.expm1(np.diff(log_TM, axis=0, prepend=log_TM[:1]))
    parts = stretches(dates, GAP_DAYS)
    for part in parts:
        days = dates[part]
        inside = [d for d in decisions if days[0] <= d.day <= days[-1]]
        bars = {int(np.searchsorted(days, d.day)): d for d in inside}
        if sum(bar + 1 < len(days) for bar in bars) < 2:
            continue
        weights, presents = {}, {}
        for bar, d in bars.items():
            at = [place[ticker] for ticker in d.tickers]
            weights[bar], presents[bar] = np.zeros(len(histories)), np.zeros(len(histories))
            weights[bar][at], presents[bar][at] = d.weights_M, 1.0
        walked = walk(days, returns_TM[part], weights, presents, cost_bp=experiment.strategy.cost_bp)
        years = f" {str(days[0])[:4]}-{str(days[-1])[:4]}" if len(parts) > 1 else ""
        yield "walked", compared(walked, market + years, spec.weights, trials)
        yield "equity", pd.concat([_equity(market + years, name, one) for name, one in walked.items()])


def _equity(pool: str, name: str, one: Walked) -> pd.DataFrame:
    wealth_T = np.cumprod(np.maximum(1.0 + one.net, 0.0))
    days = one.dates.astype("datetime64[s]")
    return pd.DataFrame({"pool": pool, "rule": name, "date": days, "net": one.net, "equity": wealth_T})


def _log_prices(histories: Sequence[PriceHistory], added: Mapping[str, Signed]) -> tuple[Dates, Floats]:
    """Every date and the log price (T, M) in the base currency, the last one known where a ticker has no bar."""
    dates = np.unique(np.concatenate([h.dates for h in histories]))
    columns = {}
    for h in histories:
        own = np.concatenate([[0.0], np.cumsum(h.log_returns)])  # nothing comes about over a hole
        known = np.searchsorted(h.dates, dates, side="right") - 1
        columns[h.ticker] = own[np.maximum(known, 0)]
    local = [columns[h.ticker] + sum(sign * columns[rate] for rate, sign in added[h.ticker]) for h in histories]
    return dates, np.stack(local, axis=1)


def _as_forecasts(
    market: str,
    decisions: Sequence[Decision],
    dates: Dates,
    log_TM: Floats,
    place: Mapping[str, int],
    experiment: Experiment,
) -> pd.DataFrame:
    """The log return of the portfolio, bought at each cutoff and held: forecasts and what came, as a forecast table."""
    horizon, parts = experiment.walk.horizon, []
    steps = np.arange(1, horizon + 1)
    for d in decisions:
        bar, at = int(np.searchsorted(dates, d.day)), [place[ticker] for ticker in d.tickers]
        y_H = np.full(horizon, np.nan)
        known = min(horizon, len(dates) - 1 - bar)
        moved_HM = log_TM[bar + 1 : bar + 1 + known][:, at] - log_TM[bar, at]
        y_H[:known] = np.log(np.maximum(1.0 + np.expm1(moved_HM) @ d.weights_M, 2e-9))
        quantiles = log_quantiles(wealth(d.paths_MHS, d.weights_M))
        told = {"model": experiment.verdict.recommended, "unique_id": f"portfolio of {market}", "cutoff": d.day}
        table = pd.DataFrame(told | {"step": steps, "y": y_H})
        parts.append(pd.concat([table, pd.DataFrame(quantiles, columns=list(ALL_COLUMNS))], axis=1))
    return pd.concat(parts, ignore_index=True)
