"""Two runs on the forecasts that both made: the paired skill of one over the other, pooled and by ticker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from s2squant.errors import RunError
from s2squant.evaluation.comparisons import compare
from s2squant.evaluation.losses import Losses, score
from s2squant.evaluation.pools import Pool, pools
from s2squant.evaluation.results import Study
from s2squant.series.forecast import QUANTILE_COLUMNS
from s2squant.series.long_table import KEYS

REVISED = 1e-6
"""Log returns that differ by more are of other prices."""
ONE, OTHER = "A", "B"


@dataclass(frozen=True)
class PairedRuns:
    """What the second run gains over the first; effects are relative gains in CRPS, as in Verdict."""

    models: tuple[str, str]
    """The recommended model of each."""
    pooled: pd.DataFrame
    """One row, as Verdict: all common units."""
    by_ticker: pd.DataFrame
    """One row a ticker (`pool`), as Verdict."""
    over_time: pd.DataFrame
    """cutoff, gain (% of the first one's loss of the ticker, mean over tickers and steps), cumulative."""
    tickers: int
    cutoffs: int
    units: int
    """Common tickers, cutoffs, and (ticker, cutoff, step)."""
    revised: int
    """Units left out because their outcome is another in each: prices were revised in between."""


def pair_runs(one: Study, other: Study) -> PairedRuns:
    """Compare the recommended models of two runs on their common units; raises RunError where there is none.

    The test is the verdict's: Diebold-Mariano by date with its interval. Where the cutoffs of one run lie closer, the
    closer spacing sets the overlap, which errs on the wide side.
    """
    models = (one.experiment.verdict.recommended, other.experiment.verdict.recommended)
    tables = [_known(study, model) for study, model in zip((one, other), models, strict=True)]
    outcomes = tables[0][[*KEYS, "y"]].merge(tables[1][[*KEYS, "y"]], on=KEYS, suffixes=("", "_other"))
    same = np.abs(outcomes["y"].to_numpy(float) - outcomes["y_other"].to_numpy(float)) <= REVISED
    common = outcomes.loc[same, [*KEYS, "y"]]
    if common.empty:
        why = "their prices differ" if len(outcomes) else "no ticker, cutoff and step with a known outcome is in both"
        raise RunError(f"{one.run_id} and {other.run_id} have no forecast in common ({why}); compare others")
    paired = [
        common.merge(table.drop(columns="y"), on=KEYS).assign(model=name)
        for name, table in zip((ONE, OTHER), tables, strict=True)
    ]
    losses = score(pd.concat(paired, ignore_index=True))
    markets = {report.ticker: report.market for report in one.tickers}
    walks = (one.experiment.walk, other.experiment.walk)
    parts = pools(
        losses,
        every=min(walk.every for walk in walks),
        horizon=int(losses.step_U.max()),
        markets={ticker: markets[ticker] for ticker in losses.tickers},
    )
    wanted = [pool for pool in parts if pool.family in ("all", "ticker")]
    verdicts = compare(losses, wanted, [(OTHER, ONE)], one.experiment.verdict)
    return PairedRuns(
        models=models,
        pooled=verdicts[verdicts["family"] == "all"].reset_index(drop=True),
        by_ticker=verdicts[verdicts["family"] == "ticker"].reset_index(drop=True),
        over_time=_over_time(losses, wanted[0]),
        tickers=len(losses.tickers),
        cutoffs=len(np.unique(losses.cutoff_U)),
        units=len(losses),
        revised=int((~same).sum()),
    )


def _known(study: Study, model: str) -> pd.DataFrame:
    """One model's forecasts whose outcome is known."""
    table = study.forecasts
    chosen = table[(table["model"].astype(str) == model) & table["y"].notna()]
    if chosen.empty:
        raise RunError(f"{study.run_id}: holds no scored forecast of {model}; run the backtest again")
    return chosen[[*KEYS, "y", *QUANTILE_COLUMNS]].assign(unique_id=chosen["unique_id"].astype(str))


def _over_time(losses: Losses, pool: Pool) -> pd.DataFrame:
    """Gain of the second by date, each unit's in per cent of its ticker's mean loss under the first."""
    first, second = losses.of(ONE), losses.of(OTHER)
    scale = np.bincount(losses.ticker_U, first) / np.bincount(losses.ticker_U)
    usable = scale[losses.ticker_U] > 0
    gain = 100.0 * (first - second)[usable] / scale[losses.ticker_U[usable]]
    count = np.bincount(pool.date_of[usable], minlength=pool.dates)
    by_date = np.bincount(pool.date_of[usable], gain, pool.dates) / np.maximum(count, 1)
    table = pd.DataFrame({"cutoff": losses.cutoffs[np.unique(losses.cutoff_U)], "gain": by_date})[count > 0]
    return table.assign(cumulative=table["gain"].cumsum()).reset_index(drop=True)
