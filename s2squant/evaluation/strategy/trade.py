"""Equity, performance and overfitting of a run, from its holdings and the trial ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.evaluation.losses import Losses
from s2squant.evaluation.statistics.backtest_overfitting import COLUMNS as OVERFITTING_COLUMNS
from s2squant.evaluation.statistics.backtest_overfitting import overfitting_row
from s2squant.evaluation.strategy.performance import performance, ratios_of, sharpe_ratio
from s2squant.evaluation.strategy.positions import BESIDE, POOL, equity, holdings, legs, pooled_net
from s2squant.evaluation.strategy.track_record import track_record
from s2squant.evaluation.strategy.trial_ledger import Trial, record
from s2squant.series.history import PriceHistory


@dataclass(frozen=True)
class Traded:
    """The strategy tables of Study, and a note where the trial ledger could not be written."""

    equity: pd.DataFrame
    performance: pd.DataFrame
    overfitting: pd.DataFrame
    months: pd.DataFrame
    drawdowns: pd.DataFrame
    rolling_sharpe: pd.DataFrame
    note: str


def trade(
    forecasts: pd.DataFrame,
    histories: Mapping[str, PriceHistory],
    experiment: Experiment,
    losses: Losses,
    *,
    markets: Mapping[str, str],
    tickers: tuple[str, ...],
    run_id: str,
    created_at: str,
    word: str,
    ledger: Path | None,
) -> Traded:
    """Trade the recommended model and the reference by the declared rule, enter the trial, and judge it as one of many.

    `markets` is by ticker, `tickers` are all that were asked for, `word` is the verdict's, `ledger` the trial ledger's
    file (None: none).
    """
    spec, horizon, recommended = experiment.strategy, experiment.walk.horizon, experiment.verdict.recommended
    models = list(dict.fromkeys([recommended, experiment.verdict.reference]))
    positions = holdings(legs(forecasts, histories, spec, horizon=horizon, models=models), markets)
    money = equity(positions, spec.cost_bp)
    every = [m for m in experiment.forecasters.models if m in set(forecasts["model"].unique())]
    nets = pooled_net(legs(forecasts, histories, spec, horizon=horizon, models=every), spec.cost_bp)
    whole = nets.get(recommended, pd.Series(dtype=float))
    trial = Trial(
        experiment=experiment,
        tickers=tickers,
        run_id=run_id,
        created_at=created_at,
        word=word,
        ratios={POOL: sharpe_ratio(whole.to_numpy(np.float64))} | ratios_of(positions, recommended, spec.cost_bp),
        returns=whole,
    )
    tried = record(trial, ledger)
    rows = [
        overfitting_row("strategies of this run", nets.drop(columns=list(BESIDE), errors="ignore"), by_ratio=True),
        overfitting_row("forecasts of this run", _merits(losses, experiment.verdict.reference), by_ratio=False),
        overfitting_row("configurations in the ledger", tried.returns, by_ratio=True),
    ]
    pools = set(positions["unique_id"].unique()) - set(histories)
    told = track_record(money, recommended, pools)
    return Traded(
        equity=money,
        performance=performance(
            positions, cost_bp=spec.cost_bp, recommended=recommended, tried=tried.count, ratios=tried.ratios
        ),
        overfitting=pd.DataFrame(rows, columns=list(OVERFITTING_COLUMNS)),
        months=told.months,
        drawdowns=told.drawdowns,
        rolling_sharpe=told.rolling_sharpe,
        note=tried.note,
    )


def _merits(losses: Losses, reference: str) -> pd.DataFrame:
    """Minus the mean loss of each model over tickers and steps, by cutoff.

    Each ticker's losses are in units of what the reference lost there on average.
    """
    size, base = len(losses.tickers), losses.of(reference)
    units = np.maximum(np.bincount(losses.ticker_U, minlength=size), 1)
    scale_U = (np.bincount(losses.ticker_U, base, size) / units)[losses.ticker_U]
    lost = losses.crps_UK / np.where(scale_U > 0, scale_U, np.nan)[:, None]
    table = pd.DataFrame(-lost, columns=list(losses.models))
    return table.groupby(losses.cutoffs[losses.cutoff_U]).mean()
