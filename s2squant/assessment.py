"""Losses and forecasts -> the evidence beyond the verdict: scores, calibration, further tests, on common units."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from s2squant.calibration import calibrate
from s2squant.comparisons import pools
from s2squant.config import VerdictSpec
from s2squant.evidence import Evidence
from s2squant.exceedances import exceedances
from s2squant.further_tests import further_tests
from s2squant.losses import Losses
from s2squant.readings import read
from s2squant.records import PriceHistory
from s2squant.scorecard import scorecard, shrunken
from s2squant.sharpness import sharpness


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
) -> Evidence:
    """The evidence on the units of `losses`, scored from `forecasts`; arguments as `judge` takes them.

    `verdicts` are its rows: the same pairs are tested again.
    """
    readings = read(forecasts, losses)
    made = pools(losses, every=every, horizon=horizon, markets=markets)
    calibration = calibrate(losses, readings, made, every=every, reference=spec.reference)
    widths = sharpness(losses, readings, spec.reference)
    pairs = dict.fromkeys(zip(verdicts["challenger"].tolist(), verdicts["benchmark"].tolist(), strict=True))
    further = further_tests(losses, readings, made, pairs, spec, kinds)
    return Evidence(
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
        shrinkage=shrunken(verdicts, made, spec.reference),
    )
