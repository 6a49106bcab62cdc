"""VaR and expected shortfall, tested: exceedances, tests of both, losses, and comparison with other models.

Of the recommended model, of filtered historical simulation (the usual one of risk departments) and of the reference,
at steps 1, 10 and the last, on both sides. Cutoffs whose labels share bars are thinned until none do, so that
exceedances of a right forecast are coin tosses at every step.

Shape legend: N forecasts of one model at one step, A tail levels (expected_shortfall.GRID).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from math import ceil
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.exceedances import FEWEST, miss_tests
from s2squant.evaluation.pooled_exceedances import Shared, shared_past
from s2squant.evaluation.statistics.diebold_mariano import examine
from s2squant.evaluation.statistics.expected_shortfall import GRID, fissler_ziegel, shortfall, shortfall_tests, tick
from s2squant.evaluation.statistics.false_discovery import benjamini_hochberg
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory
from s2squant.series.tails import all_quantiles

LEVELS: tuple[float, ...] = (0.01, 0.025, 0.05)
SIDES: tuple[str, ...] = ("loss", "gain")
RIVALS: tuple[str, ...] = ("gjr_fhs", "gjr_shrunk")
"""What a risk department uses, the first that runs."""
POOL = "all"
APART = "tickers of a date move together; see each"
ALPHA = 0.05
SESSIONS = 250
"""Of the newest forecasts the traffic light counts so many."""
TESTS: tuple[str, ...] = ("kupiec_p", "independence_p", "joint_p", "dq_p", "mcneil_frey_p", "acerbi_szekely_p")
COLUMNS: tuple[str, ...] = (
    "model", "unique_id", "step", "side", "level", "n", "due", "exceeded", "zone", *TESTS, "p_adjusted", "finding",
    "fz0", "tick", "reason",
)  # fmt: skip
SCORES: tuple[str, ...] = (
    "pool", "step", "side", "level", "loss", "challenger", "benchmark", "effect", "low", "high", "p", "n", "finding",
    "reason",
)  # fmt: skip


def risk_tables(
    forecasts: pd.DataFrame,
    spec: VerdictSpec,
    *,
    every: int,
    horizon: int,
    markets: Mapping[str, str],
    histories: Mapping[str, PriceHistory] = MappingProxyType({}),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `risk` and `risk_scores` of Evidence; `markets` names the tickers that are scored.

    With `histories` the exceedances of a market's tickers are tested together too.
    """
    is_known = forecasts["y"].notna() & forecasts["unique_id"].isin(list(markets))
    ran = set(forecasts["model"][is_known].unique())
    rival = next((m for m in RIVALS if m in ran), None)
    models = [m for m in dict.fromkeys([spec.recommended, rival, spec.reference]) if m in ran]
    rows: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    steps = sorted({1, min(10, horizon), horizon})
    known = forecasts[is_known & forecasts["model"].isin(models) & forecasts["step"].isin(steps)]
    past = shared_past(markets, histories, steps) if histories else {}
    for step in steps:
        at = known[known["step"] == step]
        parts = {m: _thinned(at[at["model"] == m], ceil(step / every)) for m in models}
        losses = {}
        for model, part in parts.items():
            for side, level, told in _told(part):
                losses[side, level, model] = told
                head = {"model": model, "step": step, "side": side, "level": level}
                rows += [head | row for row in _tickers(told, level)]
                at_step = {market: shared for (market, its), shared in past.items() if its == step}
                rows += [head | row for row in _pools(told, level, side, markets, at_step)]
        for (side, level, model), told in losses.items():
            if model != spec.recommended and (side, level, spec.recommended) in losses:
                own = losses[side, level, spec.recommended]
                head = {"step": step, "side": side, "level": level, "challenger": spec.recommended, "benchmark": model}
                scores += [head | row for row in _compared(own, told, markets)]
    return _with_findings(pd.DataFrame(rows, columns=list(COLUMNS))), pd.DataFrame(scores, columns=list(SCORES))


@cache
def basel_zone(exceeded: int, n: int, level: float) -> str:
    """Traffic light of the Basel Committee (1996): yellow from 95 % of the binomial law, red from 99.99 %.

    With 250 forecasts of a 1 % VaR: green to 4 exceedances, yellow to 9, red from 10.
    """
    share = float(binom.cdf(exceeded, n, level))
    return "green" if share < 0.95 else "yellow" if share < 0.9999 else "red"


def _thinned(part: pd.DataFrame, stride: int) -> pd.DataFrame:
    """Every so many cutoffs of each ticker, in order of tickers and dates."""
    part = part.sort_values(["unique_id", "cutoff"], kind="stable", ignore_index=True)
    place = part.groupby("unique_id", observed=True).cumcount()
    return part[place % stride == 0].reset_index(drop=True)


def _told(part: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """Side, level and, by forecast, outcome, VaR, expected shortfall and losses, gains with their sign turned."""
    levels_NL, y_N = all_quantiles(part), part["y"].to_numpy(np.float64)
    for side, sign, tail_NA in (
        ("loss", 1.0, levels_NL[:, : len(GRID)]),
        ("gain", -1.0, -levels_NL[:, : -len(GRID) - 1 : -1]),
    ):
        tails = {f"q{k}": tail_NA[:, k] for k in range(len(GRID))}
        for level in LEVELS:
            var, es = tail_NA[:, GRID.index(level)], shortfall(tail_NA, level)
            made = {"y": sign * y_N, "var": var, "es": es, "hit": sign * y_N < var}
            made |= {"fz0": fissler_ziegel(sign * y_N, var, es, level), "tick": tick(sign * y_N, var, level)}
            yield side, level, part[["unique_id", "cutoff"]].assign(**made, **tails)


def _tickers(told: pd.DataFrame, level: float) -> Iterator[dict[str, Any]]:
    """By ticker, whose rows stand together; arrays, since a frame for each would take longer than the tests."""
    codes, names = pd.factorize(told["unique_id"])
    edges = [*np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]]), len(codes)] if len(codes) else []
    columns = {name: told[name].to_numpy() for name in ("y", "var", "hit", "fz0", "tick")}
    tails_NA = told[[f"q{k}" for k in range(len(GRID))]].to_numpy()
    for ticker, first, after in zip(names, edges[:-1], edges[1:], strict=True):
        own, tail_NA = {name: column[first:after] for name, column in columns.items()}, tails_NA[first:after]
        n, hit = len(tail_NA), own["hit"]
        row: dict[str, Any] = dict.fromkeys(TESTS, np.nan) | _counted(own, level)
        if n < FEWEST:
            yield row | {"unique_id": ticker, "reason": f"{n} cutoffs, at least {FEWEST} needed"}
            continue
        tests = miss_tests(hit[None], level, -own["var"][None])
        both = shortfall_tests(own["y"], tail_NA, level)
        found = [float(p[0]) for p in (tests.kupiec, tests.independence, tests.joint, tests.dynamic)]
        yield row | dict(zip(TESTS, [*found, *both], strict=True)) | {"unique_id": ticker, "reason": ""}


def _counted(own: Mapping[str, NDArray[Any]], level: float) -> dict[str, Any]:
    n, exceeded = len(own["hit"]), int(own["hit"].sum())
    recent = own["hit"][-SESSIONS:]
    zone = basel_zone(int(recent.sum()), len(recent), level)
    figures = {"n": n, "due": level * n, "exceeded": exceeded, "zone": zone}
    return figures | {"fz0": _mean(own["fz0"]), "tick": 100 * _mean(own["tick"])}


def _mean(values: Floats) -> float:
    """The mean of those that are known, summed as pandas sums."""
    known = ~np.isnan(values)
    return float(np.where(known, values, 0.0).sum() / known.sum()) if known.any() else np.nan


def _pools(
    told: pd.DataFrame, level: float, side: str, markets: Mapping[str, str], past: Mapping[str, Shared]
) -> Iterator[dict[str, Any]]:
    """Counts over tickers, which move together: tested where a market's past says how (`Shared`), without a zone."""
    several = len(set(markets.values())) > 1
    for name, own in _by_pool(told, markets):
        counted = {column: own[column].to_numpy() for column in ("hit", "fz0", "tick")}
        row: dict[str, Any] = _counted(counted, level) | dict.fromkeys(TESTS, np.nan) | {"unique_id": name, "zone": ""}
        market = name if several else next(iter(markets.values()), "")
        shared = past.get(market)
        if shared is None:
            yield row | {"reason": "each market is tested" if several and name == POOL and past else APART}
            continue
        mine = own[own["unique_id"].isin(shared.tickers)]
        by_date = mine.groupby("cutoff")["hit"].agg(["sum", "count"])
        whole = by_date[by_date["count"] == len(shared.tickers)]
        if len(whole) < FEWEST:
            yield row | {"reason": f"{len(whole)} cutoffs that all tickers have, at least {FEWEST} needed"}
            continue
        many, following = shared.test(whole["sum"].to_numpy(np.intp), level, side)
        both = min(1.0, 2 * min(many, following))
        yield row | {"kupiec_p": many, "independence_p": following, "joint_p": both, "reason": ""}


def _by_pool(told: pd.DataFrame, markets: Mapping[str, str]) -> Iterator[tuple[str, pd.DataFrame]]:
    market = told["unique_id"].astype(str).map(dict(markets))
    yield POOL, told
    if market.nunique() > 1:
        yield from ((str(name), own) for name, own in told.groupby(market, sort=True))


def _compared(own: pd.DataFrame, other: pd.DataFrame, markets: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Diebold-Mariano of both losses by pool, averaged over tickers by date; positive where the challenger wins."""
    keys = ["unique_id", "cutoff"]
    both = own[[*keys, "fz0", "tick"]].merge(other[[*keys, "fz0", "tick"]], on=keys, suffixes=("", "_other"))
    unit = both.groupby("unique_id", observed=True)["tick_other"].transform("mean")
    for loss, difference in (
        ("FZ0", both["fz0_other"] - both["fz0"]),
        ("tick", (both["tick_other"] - both["tick"]) / unit),
    ):
        for name, part in _by_pool(both.assign(difference=difference), markets):
            by_date: Floats = part.groupby("cutoff")["difference"].mean().to_numpy()
            series = examine(by_date[np.isfinite(by_date)], 1)
            word = "no evidence" if series.reason or series.low <= 0 <= series.high else "worse"
            row = {"pool": name, "loss": loss, "effect": series.mean, "low": series.low, "high": series.high}
            finding = "not tested" if series.reason else "better" if series.low > 0 else word
            yield row | {"p": series.p, "n": series.n, "finding": finding, "reason": series.reason}


def _with_findings(table: pd.DataFrame) -> pd.DataFrame:
    """`p_adjusted`, Benjamini-Hochberg over a model's tickers, sides and levels at a step, and `finding` in words.

    What is adjusted is three times the smallest of the joint, the dynamic quantile and the Acerbi-Szekely p.
    """
    tested = table["reason"] == ""
    worst = (3.0 * table[["joint_p", "dq_p", "acerbi_szekely_p"]].min(axis=1)).clip(upper=1.0)
    for _, p in worst[tested].groupby([table["model"], table["step"]], sort=False):
        table.loc[p.index, "p_adjusted"] = benjamini_hochberg(p.to_numpy(float))
    refused, share = table["p_adjusted"].astype(float) < ALPHA, table["kupiec_p"].astype(float) < ALPHA
    more = table["exceeded"].astype(float) > table["due"].astype(float)
    words = ["not tested", "no evidence", "too many", "too few"]
    table["finding"] = np.select([~tested, ~refused, share & more, share], words, "not at random, or too deep")
    return table
