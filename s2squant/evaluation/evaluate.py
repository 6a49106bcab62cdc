"""The evaluation of a run's forecasts: losses, then the verdict, then the evidence beyond it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.config.models import kind_of
from s2squant.evaluation.energy import energy_scores
from s2squant.evaluation.evidence import assess
from s2squant.evaluation.losses import Losses, score
from s2squant.evaluation.results import Evidence
from s2squant.evaluation.verdict import Judgement, judge
from s2squant.series.history import PriceHistory


@dataclass(frozen=True)
class Evaluation:
    """What the forecasts are worth, on the units that every model has forecast."""

    losses: Losses
    judgement: Judgement
    evidence: Evidence


def evaluate(
    forecasts: pd.DataFrame,
    experiment: Experiment,
    *,
    markets: Mapping[str, str],
    histories: Mapping[str, PriceHistory],
    path_scores: Sequence[Mapping[str, Any]],
    importances: Sequence[Mapping[str, Any]] = (),
) -> Evaluation:
    """Score, judge and assess the long table of all models; `markets` by ticker, the last two as jobs record them."""
    losses = score(forecasts)
    walk, spec = experiment.walk, experiment.verdict
    kinds = {m: kind_of(m, spec.reference) for m in losses.models}
    present = {t: m for t, m in markets.items() if t in set(losses.tickers)}
    judgement = judge(losses, every=walk.every, horizon=walk.horizon, spec=spec, kinds=kinds, markets=present)
    evidence = assess(
        forecasts,
        losses,
        judgement.verdicts,
        every=walk.every,
        horizon=walk.horizon,
        spec=spec,
        kinds=kinds,
        markets=present,
        histories=histories,
        energies=energy_scores(path_scores),
        importances=importances,
    )
    return Evaluation(losses, judgement, evidence)
