"""A verdict, and the evidence of a run beyond it, as tables with documented columns; ground that Study stands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

Word = Literal["better", "no evidence", "worse"]


@dataclass(frozen=True)
class Verdict:
    """One test of a challenger against a benchmark; effects are relative CRPS skill (0.01 = 1 %), positive = better."""

    pool: str
    """"all", a market, or a ticker."""
    metric: str
    step: str
    """"all" or a step number."""
    benchmark: str
    challenger: str
    test: str
    effect: float
    low: float
    high: float
    statistic: float
    p: float
    p_adjusted: float
    n: int
    n_eff: float
    smallest_detectable: float
    word: Word


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a run shows beyond its verdict: tables, one row each per; `group` is a group of
    steps ("all", "1", "2-5", "6-20").

    - `scorecard`: model, group, crps (% log return), skill (against the reference), log_score (nats, density of %
      returns), interval_50, interval_80, interval_95 (interval scores, %), mae (of the median, %), mae_ratio (to the
      reference's), r2 (of the mean, against no change), r2_reference, rmsse (scaled by the ticker's one-bar returns
      before its first cutoff times the root of the step: no change scores about 1), qlike (log variance + realised /
      variance; lower is better), direction (accuracy), direction_expected (of the same calls if they knew nothing),
      base_rate (share of rises), calls, width_80 (%), width_ratio (to the reference's), width_follows_volatility (rank
      correlation over time, all steps), n (units)
    - `coverage`: model, step, interval (50, 80, 95), coverage, band_low, band_high (where an ideal forecaster lies 95
      times in 100), p, n, n_eff, smallest_detectable (shift of coverage)
    - `reliability`: model, group, level, share (of outcomes below the level's quantile), band_low, band_high
    - `pit`: model, group, low, high (edges of the bin), share, band_low, band_high
    - `calibration_tests`: model, unique_id ("all" or a ticker), group, test, statistic, p, p_adjusted (Benjamini-
      Hochberg over tickers), mean_pit, spread (of the PIT; 1 is ideal), n, n_eff, smallest_detectable (shift of the
      mean PIT), finding
    - `exceedances`: model, unique_id, kind (outside 80 %, outside 95 %, below 5 %), expected, missed (shares, step 1),
      kupiec_p, independence_p, joint_p (Christoffersen), dq_p, p_adjusted (of joint and DQ, Benjamini-Hochberg over
      the model's tickers and kinds), n, n_eff, smallest_detectable, finding, reason
    - `sharpness`: model, unique_id ("all": average), cutoff, width (of 80 %, mean over steps, %), width_ratio (to the
      reference's), realised (volatility a bar that followed, %)
    - `tests`: test, pool, benchmark, challenger, effect, statistic, p, n, n_eff, smallest_detectable, finding, reason
    - `confidence_set`: step ("all" or a number), model, p (NaN where refused), inside (of none where refused),
      same_as (a model with equal losses), n, n_eff, reason
    - `fluctuation`: challenger, benchmark, first, cutoff (of the window), window (cutoffs), effect (mean gain in the
      window), band (largest |effect| that chance allows at 5 %)
    - `shrinkage`: model, unique_id, skill, se, shrunken, low, high, weight (of the ticker's own data), prior_spread, p,
      q_bh, q_by, n, n_eff, smallest_detectable
    - `pairs`: step ("all" or a number), model, against (every pair of a step once, `model` lost less), effect (how much
      less, share of the reference's mean loss), statistic, p, p_adjusted (largest |t| of all pairs of the step), n,
      n_eff, smallest_detectable (after adjustment), finding, reason
    - `energy`: model, paths (0: quantiles only), energy (score, standard deviations), skill (by date, against the
      reference), low, high, crps_skill (the same of the CRPS, step by step), p, n (cutoffs), n_eff,
      smallest_detectable, reason
    - `misses`: scope ("all" or a ticker), unique_id, cutoff, step, ds, price (at the cutoff), realised, low, high (of
      the 95 % interval, prices), moved (simple return), miss (standard deviations of the forecast), pit, others (mean
      return of the market's other tickers on those days; all are of the recommended model)
    - `groups`: basis, group, tickers, skill, low, high, p, p_adjusted (Benjamini and Hochberg over all groups), n
      (cutoffs), n_eff, smallest_detectable, finding, reason (of the recommended model)
    - `cross_section`: market, model, step, tickers (a date), ic (mean rank correlation of median and outcome), low,
      high, icir (mean over standard deviation by date), p, p_adjusted, parts (5 or 10), spread (%, outcome of the
      highest part less the lowest), spread_p, turnover (share of those parts that is new at a cutoff), n (dates),
      n_eff, smallest_detectable, finding, reason
    """

    scorecard: pd.DataFrame = field(default_factory=pd.DataFrame)
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)
    pit: pd.DataFrame = field(default_factory=pd.DataFrame)
    calibration_tests: pd.DataFrame = field(default_factory=pd.DataFrame)
    exceedances: pd.DataFrame = field(default_factory=pd.DataFrame)
    sharpness: pd.DataFrame = field(default_factory=pd.DataFrame)
    tests: pd.DataFrame = field(default_factory=pd.DataFrame)
    confidence_set: pd.DataFrame = field(default_factory=pd.DataFrame)
    fluctuation: pd.DataFrame = field(default_factory=pd.DataFrame)
    shrinkage: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    energy: pd.DataFrame = field(default_factory=pd.DataFrame)
    misses: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: pd.DataFrame = field(default_factory=pd.DataFrame)
    cross_section: pd.DataFrame = field(default_factory=pd.DataFrame)
