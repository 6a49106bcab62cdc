"""The results of a backtest: a verdict, the evidence beyond it, and the whole study, as frozen records.

Unit of record: cumulative log return from the cutoff, log P[t+h] - log P[t], on the adjusted close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.errors import Finding
from s2squant.series.arrays import Floats
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Fold

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
    location: float
    """Part of the effect that goes when both models' medians are set to zero."""
    location_low: float
    location_high: float
    shape: float
    """The rest, scale and shape: the gain in CRPS with the medians at zero, by the same denominators."""
    shape_low: float
    shape_high: float
    statistic: float
    p: float
    p_adjusted: float
    n: int
    n_eff: float
    smallest_detectable: float
    word: Word


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Tables beyond the verdict, one row each per; `group` is a group of steps ("all", "1", "2-5", "6-20").

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
    - `risk`: model, unique_id (a ticker; "all" or a market, whose counts are tested against past dates), step, side
      (loss|gain), level (of VaR and ES), n (forecasts whose labels share no bar), due, exceeded, zone (Basel, of the
      last 250), kupiec_p, independence_p, joint_p, dq_p, mcneil_frey_p, acerbi_szekely_p, p_adjusted, finding, fz0
      (loss of VaR and ES together), tick (loss of VaR, %), reason
    - `risk_scores`: pool, step, side, level, loss (FZ0|tick), challenger, benchmark, effect (positive: the challenger
      is better; FZ0 as it is, tick as a share), low, high, p, n (dates), finding, reason
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
    - `importance`: model, covariate, step ("all" or a number), rise (of the loss when the covariate is that of another
      time, share of the ticker's mean loss; of the fitted model), low, high, p, p_adjusted (Benjamini-Hochberg over
      models and covariates), n (cutoffs), n_eff, smallest_detectable, finding, reason (a single step is not tested)
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
    risk: pd.DataFrame = field(default_factory=pd.DataFrame)
    risk_scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    tests: pd.DataFrame = field(default_factory=pd.DataFrame)
    confidence_set: pd.DataFrame = field(default_factory=pd.DataFrame)
    fluctuation: pd.DataFrame = field(default_factory=pd.DataFrame)
    shrinkage: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    energy: pd.DataFrame = field(default_factory=pd.DataFrame)
    importance: pd.DataFrame = field(default_factory=pd.DataFrame)
    misses: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: pd.DataFrame = field(default_factory=pd.DataFrame)
    cross_section: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class TickerReport:
    """Outcome of one ticker: its status, with the reason, and the provenance of its prices."""

    ticker: str
    status: Literal["ok", "skipped", "failed"]
    reason: str = ""
    market: str = ""
    bars: int = 0
    first: str = ""
    last: str = ""
    source: str = ""
    fetched_at: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = ()
    """One line for each finding, and what else is to be known."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Portfolio:
    """The portfolio of a study as tables, one row each per:

    - `walked`: pool (a market, with its years where it has a hole), rule, against ("": the rule's portfolio itself;
      else equal|inverse_volatility|buy_and_hold), first, last, bars, years, annual_return, volatility, sharpe,
      sharpe_low, sharpe_high (a year), es_95 (of a bar), max_drawdown, turnover, cost (a year), beyond (mean return a
      year of the rule's portfolio beyond this one), low, high, p, trials, p_adjusted (times comparisons and trials),
      n_eff, finding, reason
    - `weights`: pool, cutoff, unique_id, weight
    - `equity`: pool, rule (own, or as `against`), date, net, equity
    - `risk`: as `risk` of Evidence, of the portfolio bought at each cutoff and held
    - `outlook`: step, mean, volatility, fall (probability), var_95, es_95, var_99, es_99 (losses as shares of
      wealth), low_80, median, high_80, drawdown_median, drawdown_95, diversification, pool, cutoff (the newest)
    - `parts`: unique_id, weight, es_alone, contribution (to the 95 % shortfall at the last step), share, pool, cutoff
    """

    walked: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights: pd.DataFrame = field(default_factory=pd.DataFrame)
    equity: pd.DataFrame = field(default_factory=pd.DataFrame)
    risk: pd.DataFrame = field(default_factory=pd.DataFrame)
    outlook: pd.DataFrame = field(default_factory=pd.DataFrame)
    parts: pd.DataFrame = field(default_factory=pd.DataFrame)
    refused: Mapping[str, str] = field(default_factory=dict)
    """Tickers and markets that have no part in it, and why."""


@dataclass(frozen=True)
class Study(Evidence):
    """A whole run, ready to be written and laid out; a report computes nothing beyond it.

    Tables (pandas), one row each per:
    - `forecasts`: model, unique_id, cutoff, ds, step, y, mean, q0.005, q0.010, q0.025 .. q0.975, q0.990, q0.995
    - `scores`: model, unique_id, cutoff, step, metric, value
    - `verdicts`: the fields of Verdict
    - `leaderboard`: model, kind (reference|baseline|anchor|pretrained|network|blend|challenger|own|recalibrated), crps
      (% log return), skill (against the reference, mean over tickers), effect, effect_low, effect_high (the same
      averaged over dates, as tested), location, location_low, location_high, shape, shape_low, shape_high (its parts,
      as in Verdict), won (share of tickers), coverage_50, coverage_80, coverage_95, dm_t, dm_p (missing where nothing
      was tested: the reference against itself), n, n_eff
    - `by_step`: model, step, crps, skill, low, high, coverage_50, coverage_80, coverage_95
    - `by_ticker`: model, unique_id, crps, skill, low, high, p, q (BH), n, n_eff, smallest_detectable, word,
      coverage_50, coverage_80, coverage_95 (skill against the reference), variance_share (of the variance over dates
      of the pooled gain; sums to 1 over tickers)
    - `by_ticker_step`: model, unique_id, step, crps, skill, coverage_80
    - `over_time`: model, unique_id ("all" pooled), cutoff, difference (reference CRPS - model CRPS, mean over
      steps, %), cumulative
    - `training`: model, unique_id, market, fold, seed, step, loss
    - `weights`: market, cutoff, member, matured (cutoffs), gain (what more of it would have gained so far, in
      losses of the blend over one horizon), weight (in the blend)
    - `recalibration`: market, cutoff, steps (the band), matured (dates), independent (of them), factor (of the distance
      to the median; 1 for none), gain (mean over matured dates, % of the raw row's CRPS), e_value (of the band), used
    - `equity`: model, unique_id (a ticker, or a pool: "all", or a market where there are several, with its years where
      they have a hole), date, position, gross, cost, net, equity_net
    - `performance`: model, unique_id (as in `equity`), cost_bp, declared (whether it is the experiment's cost), first,
      last (days), bars, years, annual_return, beyond, beyond_low, beyond_high (mean return a year beyond buy-and-hold
      of the same bars, not compounded), long (share of the time), volatility, sharpe, sharpe_low, sharpe_high (a year),
      psr, dsr (recommended model only), trials, years_needed (of track record, for a PSR of 95 %), max_drawdown
      (negative), drawdown_bars, turnover (a year), exposure, break_even_bp (cost at which it makes what holding makes;
      unknown where it does not beat holding), final_equity
    - `months`: model, unique_id (a pool), year, month (0: the whole year), net (compounded)
    - `drawdowns`: model, unique_id (a pool), start, trough, end ("" while it lasts), depth (negative), bars
    - `rolling_sharpe`: model, unique_id (a pool), date, sharpe (a year, of the last 252 bars)
    - `overfitting`: basis (what was compared), candidates, periods, blocks, splits, pbo, selected, selected_share,
      median_rank (0 worst .. 1 best), reason (why there is no figure)
    - the tables of Evidence
    - `shuffled`: challenger, benchmark, effect, low, high, location, location_low, location_high, shape, shape_low,
      shape_high (as in Verdict, on shuffled returns), p, n, n_eff, shuffles, tickers, without (members of the blend
      that did not take part), reason (why there is no figure)
    - `joint`: pool, score (energy|variogram, of tickers and steps together), against (independent|gjr_fhs), tickers,
      own, other (mean scores, lower is better), effect (share of the other's; positive: own paths are better), low,
      high, p, n (cutoffs), n_eff, finding, reason
    - `newcomers`: as `forecasts`, of tickers too young to take part, by the pretrained weights
    - `audit`: check, model, outcome (passed|failed|not run), figure, sentence
    """

    experiment: Experiment
    run_id: str
    created_at: str
    status: Literal["done", "partial"]
    sentence: str
    """The verdict in one sentence; `word` is its badge."""
    word: Word
    rule: str
    """The written rule the sentence follows."""
    tickers: Sequence[TickerReport]
    folds: Sequence[Fold]
    histories: Mapping[str, PriceHistory]
    forecasts: pd.DataFrame
    scores: pd.DataFrame
    verdicts: pd.DataFrame
    leaderboard: pd.DataFrame
    by_step: pd.DataFrame
    by_ticker: pd.DataFrame
    by_ticker_step: pd.DataFrame
    over_time: pd.DataFrame
    training: pd.DataFrame
    weights: pd.DataFrame
    equity: pd.DataFrame
    provenance: Mapping[str, Any]
    """versions, seeds, timings (seconds), command (exact re-run), platform."""
    attention: Mapping[str, Floats] = field(default_factory=dict)
    """By ticker, a network's attention (H, W) at its newest forecast: steps ahead by input bars, newest bar last."""
    changes: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Against the run `previous` of the same experiment; columns: see previous_run.py."""
    previous: str = ""
    performance: pd.DataFrame = field(default_factory=pd.DataFrame)
    overfitting: pd.DataFrame = field(default_factory=pd.DataFrame)
    months: pd.DataFrame = field(default_factory=pd.DataFrame)
    drawdowns: pd.DataFrame = field(default_factory=pd.DataFrame)
    rolling_sharpe: pd.DataFrame = field(default_factory=pd.DataFrame)
    shuffled: pd.DataFrame = field(default_factory=pd.DataFrame)
    joint: pd.DataFrame = field(default_factory=pd.DataFrame)
    portfolio: Portfolio = field(default_factory=Portfolio)
    newcomers: pd.DataFrame = field(default_factory=pd.DataFrame)
    audit: pd.DataFrame = field(default_factory=pd.DataFrame)
    recalibration: pd.DataFrame = field(default_factory=pd.DataFrame)
    failed_models: Mapping[str, str] = field(default_factory=dict)
    """Own models that failed on a ticker and are left out of everything, and the first reason."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """How many each table has that other programs read; known also where a table is not."""
