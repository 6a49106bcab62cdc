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
PARTS = {"effect": "", "location": "location_", "shape": "shape_"}
"""An effect and the two parts that add up to it, each with what its interval's columns begin with."""


def compare(losses: Losses, pools: Sequence[Pool], pairs: Iterable[tuple[str, str]], spec: VerdictSpec) -> pd.DataFrame:
    """Verdict rows of every (challenger, benchmark) pair on every pool, with a column `family` beside Verdict's fields.

    An effect is the relative gain in CRPS averaged over dates, the very figure that is tested: interval and p agree.
    On each date it averages, over the tickers there, the difference in units of a ticker's own mean benchmark loss; at
    a single step, of the mean over all units. It equals the mean over tickers of 1 - CRPS / CRPS of the benchmark when
    tickers share their cutoffs; where a market has few tickers, its dates weigh as much as those of a large one. The
    benchmark's mean loss counts as known. With the medians of both at zero the same figure is the gain of scale and
    shape (`shape`), and what is missing to the whole is `location`, each with its own interval by date.
    `p_adjusted` is Benjamini-Hochberg over the markets, the steps or the tickers of one pair.
    """
    rows = pd.DataFrame(_rows(losses, pools, list(pairs)))
    nu, se, effect = (rows[c].to_numpy(float) for c in ("nu", "se", "effect"))
    rows["statistic"] = statistic = dm.t_statistic(effect, se)
    for part, prefix in PARTS.items():
        half = dm.interval_factor(nu) * rows[f"{prefix}se"].to_numpy(float)
        rows[f"{prefix}low"], rows[f"{prefix}high"] = rows[part] - half, rows[part] + half
    rows["smallest_detectable"] = dm.detectable_factor(nu, spec.alpha) * se
    rows["p"] = dm.p_value(statistic, nu)
    family = rows.groupby(["family", "challenger", "benchmark"], sort=False)["p"]
    rows["p_adjusted"] = family.transform(lambda p: benjamini_hochberg(p.to_numpy()))
    significant = (rows["p"] < spec.alpha) & ((rows["family"] == "all") | (rows["p_adjusted"] <= spec.fdr))
    words = [significant & (effect > 0), significant & (effect < 0)]
    rows["word"] = np.select(words, ["better", "worse"], "no evidence")
    rows["metric"] = "crps"
    return rows[["family", *VERDICT_COLUMNS]]


def _rows(losses: Losses, pools: Sequence[Pool], pairs: Sequence[tuple[str, str]]) -> Iterator[dict[str, object]]:
    for challenger, benchmark in pairs:
        loss_U, base_U = losses.of(challenger), losses.of(benchmark)
        shape_U = losses.centred(benchmark) - losses.centred(challenger)
        for pool in pools:
            loss, base, ticker = loss_U[pool.units], base_U[pool.units], losses.ticker_U[pool.units]
            whole = _by_date(base - loss, base, ticker, pool)
            shape = _by_date(shape_U[pool.units], base, ticker, pool)
            series = {"effect": whole, "location": whole - shape, "shape": shape}
            tests = {part: dm.examine(series[part], pool.overlap) for part in PARTS}
            gain = tests["effect"]
            yield {
                "family": pool.family,
                "pool": pool.name,
                "step": pool.step,
                "benchmark": benchmark,
                "challenger": challenger,
                **{part: tests[part].mean for part in PARTS},
                **{f"{prefix}se": tests[part].se for part, prefix in PARTS.items()},
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
    first, size = ticker.min(), int(np.ptp(ticker)) + 1
    skill = relative_skill(group_mean(loss, ticker - first, size), group_mean(base, ticker - first, size))
    mean = float(np.nanmean(skill)) if np.isfinite(skill).any() else np.nan
    return mean, _over_tickers(base - loss, base, ticker, pool)


def _over_tickers(gain: Floats, base: Floats, ticker: Ints, pool: Pool) -> Floats:
    """Mean gain by date, each unit's in units of its ticker's mean benchmark loss."""
    ticker = ticker - ticker.min()
    scale = group_mean(base, ticker, int(ticker.max()) + 1)[ticker]
    usable = scale > 0
    if not usable.any():
        return np.full(pool.dates, np.nan)
    if usable.all():
        return group_mean(gain / scale, pool.date_of, pool.dates)
    series = group_mean(gain[usable] / scale[usable], pool.date_of[usable], pool.dates)
    return series[np.isfinite(series)]


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


def _by_date(gain: Floats, base: Floats, ticker: Ints, pool: Pool) -> Floats:
    """Gain by date; at a single step in units of the mean benchmark loss, weighted so that its mean is over units."""
    if pool.family != "step":
        return _over_tickers(gain, base, ticker, pool)
    scale = base.mean()
    if scale <= 0:
        return np.full(pool.dates, np.nan)
    weight = pool.dates / (len(base) * scale)
    return np.asarray(weight * np.bincount(pool.date_of, weights=gain, minlength=pool.dates))
