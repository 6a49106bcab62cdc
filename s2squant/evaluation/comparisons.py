"""Diebold-Mariano tests of every challenger and benchmark on every pool: the rows of the verdict table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.losses import Losses, group_mean, relative_skill
from s2squant.evaluation.pools import Pool
from s2squant.evaluation.results import Verdict
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.false_discovery import benjamini_hochberg
from s2squant.series.arrays import Floats, Ints

VERDICT_COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Verdict))


def compare(losses: Losses, pools: Sequence[Pool], pairs: Iterable[tuple[str, str]], spec: VerdictSpec) -> pd.DataFrame:
    """Verdict rows of every (challenger, benchmark) pair on every pool, with a column `family` beside Verdict's fields.

    An effect is the relative gain in CRPS averaged over dates, the very figure that is tested: interval and p agree.
    On each date it averages, over the tickers there, the difference in units of a ticker's own mean benchmark loss; at
    a single step, of the mean over all units. It equals the mean over tickers of 1 - CRPS / CRPS of the benchmark when
    tickers share their cutoffs; where a market has few tickers, its dates weigh as much as those of a large one. The
    benchmark's mean loss counts as known.
    `p_adjusted` is Benjamini-Hochberg over the markets, the steps or the tickers of one pair.
    """
    rows = pd.DataFrame(_rows(losses, pools, list(pairs)))
    nu, se, effect = (rows[c].to_numpy(float) for c in ("nu", "se", "effect"))
    rows["statistic"] = statistic = dm.t_statistic(rows["mean"].to_numpy(float), se)
    half = dm.interval_factor(nu) * se
    rows["low"], rows["high"] = effect - half, effect + half
    rows["smallest_detectable"] = dm.detectable_factor(nu, spec.alpha) * se
    rows["p"] = dm.p_value(statistic, nu)
    family = rows.groupby(["family", "challenger", "benchmark"], sort=False)["p"]
    rows["p_adjusted"] = family.transform(lambda p: benjamini_hochberg(p.to_numpy()))
    significant = (rows["p"] < spec.alpha) & ((rows["family"] == "all") | (rows["p_adjusted"] <= spec.fdr))
    better, worse = (statistic > 0) & (effect > 0), (statistic < 0) & (effect < 0)
    rows["word"] = np.select([significant & better, significant & worse], ["better", "worse"], "no evidence")
    rows["metric"] = "crps"
    return rows[["family", *VERDICT_COLUMNS]]


def _rows(losses: Losses, pools: Sequence[Pool], pairs: Sequence[tuple[str, str]]) -> Iterator[dict[str, object]]:
    for challenger, benchmark in pairs:
        loss_U, base_U = losses.of(challenger), losses.of(benchmark)
        for pool in pools:
            loss, base = loss_U[pool.units], base_U[pool.units]
            if pool.family == "step":
                effect, series = _ratio_over_units(loss, base, pool)
            else:
                effect, series = relative_series(loss, base, losses.ticker_U[pool.units], pool)
            gain = dm.examine(series, pool.overlap)
            yield {
                "family": pool.family,
                "pool": pool.name,
                "step": pool.step,
                "benchmark": benchmark,
                "challenger": challenger,
                "effect": gain.mean if np.isfinite(gain.mean) else effect,
                "mean": gain.mean,
                "se": gain.se,
                "nu": gain.nu,
                "n": gain.n,
                "n_eff": pool.n_eff,
                "test": f"not tested: {gain.reason}" if gain.reason else f"EWC Diebold-Mariano, t({gain.nu})",
            }


def relative_series(loss: Floats, base: Floats, ticker: Ints, pool: Pool) -> tuple[float, Floats]:
    """Mean skill over the tickers of a pool, and the relative loss difference by date, whose mean is tested.

    `loss` and `base` lie on the pool's units, `ticker` numbers them. A ticker whose benchmark lost nothing is left
    out, and with it the dates that only it had.
    """
    ticker = ticker - ticker.min()
    size = int(ticker.max()) + 1
    scale = group_mean(base, ticker, size)
    skill = relative_skill(group_mean(loss, ticker, size), scale)
    scale = scale[ticker]
    usable = scale > 0
    if not usable.any():
        return np.nan, np.full(pool.dates, np.nan)
    if usable.all():
        return float(np.nanmean(skill)), group_mean((base - loss) / scale, pool.date_of, pool.dates)
    series = group_mean((base - loss)[usable] / scale[usable], pool.date_of[usable], pool.dates)
    return float(np.nanmean(skill)), series[np.isfinite(series)]


def variance_shares(loss: Floats, base: Floats, ticker: Ints, pool: Pool, tickers: int) -> Floats:
    """Share of each ticker in the variance of `relative_series` over dates; the shares sum to 1.

    The covariance of what a ticker adds to the series with the series, by the variance of the series; 0 where the
    series does not vary. Arguments as `relative_series` takes them.
    """
    scale = group_mean(base, ticker, tickers)[ticker]
    usable = scale > 0
    date, who = pool.date_of[usable], ticker[usable]
    count = np.bincount(date, minlength=pool.dates)
    weights = (base - loss)[usable] / scale[usable] / count[date]
    added = np.bincount(who * pool.dates + date, weights=weights, minlength=tickers * pool.dates)
    added_MT = added.reshape(tickers, pool.dates)[:, count > 0]
    series = added_MT.sum(axis=0)
    spread = series - series.mean() if len(series) else series
    total = float(spread @ spread)
    return np.asarray(added_MT @ spread / total) if total > 0 else np.zeros(tickers)


def _ratio_over_units(loss: Floats, base: Floats, pool: Pool) -> tuple[float, Floats]:
    scale = base.mean()
    if scale <= 0:
        return np.nan, np.full(pool.dates, np.nan)
    weight = pool.dates / (len(base) * scale)
    return float(1.0 - loss.mean() / scale), weight * np.bincount(
        pool.date_of, weights=base - loss, minlength=pool.dates
    )
