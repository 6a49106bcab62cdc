"""The evidence beyond the verdict, on common units: scores, calibration and further tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.accuracy_tests import further_tests
from s2squant.evaluation.calibration import calibrate
from s2squant.evaluation.cross_section import cross_section
from s2squant.evaluation.diagnostics import read
from s2squant.evaluation.energy import energy_table
from s2squant.evaluation.exceedances import exceedances
from s2squant.evaluation.groups import groups
from s2squant.evaluation.importance import importance_table
from s2squant.evaluation.largest_misses import misses
from s2squant.evaluation.losses import Losses
from s2squant.evaluation.pairwise import pairs_by_step
from s2squant.evaluation.pools import pools
from s2squant.evaluation.results import Evidence
from s2squant.evaluation.scorecard import scorecard, shrunken
from s2squant.evaluation.sharpness import sharpness
from s2squant.evaluation.value_at_risk import risk_tables
from s2squant.series.history import PriceHistory


def assess(
    forecasts: pd.DataFrame,
    losses: Losses,
    verdicts: pd.DataFrame,
    *,
    every: int,
    horizon: int,
    spec: VerdictSpec,
    kinds: Mapping[str, str],
    markets: Mapping[str, str],
    histories: Mapping[str, PriceHistory],
    energies: pd.DataFrame,
    importances: Sequence[Mapping[str, Any]] = (),
) -> Evidence:
    """The evidence on the units of `losses`, scored from `forecasts`; arguments as `judge` takes them.

    `verdicts` are its rows: the same pairs are tested again. `energies` is the table of energy.energy_scores,
    `importances` are records of importance.importances.
    """
    readings = read(forecasts, losses)
    all_pools = pools(losses, every=every, horizon=horizon, markets=markets)
    calibration = calibrate(losses, readings, all_pools, every=every, reference=spec.reference)
    widths = sharpness(losses, readings, spec.reference)
    tested = dict.fromkeys(zip(verdicts["challenger"].tolist(), verdicts["benchmark"].tolist(), strict=True))
    further = further_tests(losses, readings, all_pools, tested, spec, kinds)
    risk, risk_scores = risk_tables(forecasts, spec, every=every, horizon=horizon, markets=markets, histories=histories)
    return Evidence(
        risk=risk,
        risk_scores=risk_scores,
        scorecard=scorecard(losses, readings, reference=spec.reference, histories=histories, widths=widths),
        coverage=calibration.coverage,
        reliability=calibration.reliability,
        pit=calibration.pit,
        calibration_tests=calibration.calibration_tests,
        exceedances=exceedances(losses, readings),
        sharpness=widths,
        tests=further.tests,
        confidence_set=further.confidence_set,
        fluctuation=further.fluctuation,
        shrinkage=shrunken(verdicts, all_pools, spec.reference),
        pairs=pairs_by_step(losses, all_pools, spec),
        energy=energy_table(energies, losses, all_pools[0], spec),
        importance=importance_table(importances, losses, all_pools[0], spec),
        misses=misses(forecasts, losses, readings, spec.recommended, markets=markets, histories=histories),
        groups=groups(losses, spec, every=every, horizon=horizon, markets=markets, histories=histories),
        cross_section=cross_section(losses, readings, spec, every=every, markets=markets),
    )
