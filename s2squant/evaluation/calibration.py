"""Coverage, reliability, PIT histograms and Knueppel's test, beside an ideal forecaster's.

Shares are averages over cutoff dates of the average over tickers and steps on a date. Every band is where the share
of an ideal forecaster lies 95 times in 100 (calibrated_null); every p is a rank among the same draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from s2squant.evaluation.diagnostics import Readings
from s2squant.evaluation.losses import INTERVALS, Losses, group_mean
from s2squant.evaluation.pools import Pool, step_groups
from s2squant.evaluation.statistics.false_discovery import benjamini_hochberg
from s2squant.evaluation.statistics.ideal_forecaster import (
    BINS,
    CalibratedNull,
    calibrated_null,
    standard_moments,
    two_sided,
)
from s2squant.series.arrays import Floats, Ints

HISTOGRAM_BINS = 20
LEVELS_SHOWN = np.arange(1, 20) / 20.0
BAND = (0.025, 0.975)
DETECTABLE = 2.8
"""Standard deviations found four times in five by a two-sided test at 5 % (1.96 + 0.84)."""
ALPHA = 0.05


@dataclass(frozen=True)
class Calibration:
    """Tables of calibration; columns as in Evidence."""

    coverage: pd.DataFrame
    reliability: pd.DataFrame
    pit: pd.DataFrame
    calibration_tests: pd.DataFrame


@dataclass(frozen=True)
class _Dates:
    """Units of one average over dates, with the null of an ideal forecaster on as many."""

    name: str
    units: Ints
    weight: Floats
    """Of each unit in the average over dates of the average on a date."""
    n: int
    n_eff: float
    null: CalibratedNull

    def shares(self, pit_U: Floats) -> Floats:
        """Share of PIT values in each of BINS bins, (BINS,)."""
        place = np.minimum((pit_U[self.units] * BINS).astype(np.intp), BINS - 1)
        return np.bincount(place, weights=self.weight, minlength=BINS).astype(np.float64)


def calibrate(losses: Losses, readings: Readings, pools: Sequence[Pool], *, every: int, reference: str) -> Calibration:
    """The calibration tables of all models; `pools` as pools.pools gives them, `every` bars apart."""
    alike = common_correlation(losses, readings, reference)
    overlap = {int(p.step): p.overlap for p in pools if p.family == "step"}

    def dates(name: str, units: Ints, steps: Ints, lap: int, *, single: bool = False) -> _Dates:
        days, date_of = np.unique(losses.cutoff_U[units], return_inverse=True)
        last = int(steps[-1])
        bars = every * max(1, ceil(last / every)) / lap
        tickers = len(np.unique(losses.ticker_U[units] * len(losses.cutoffs) + losses.cutoff_U[units])) / len(days)
        null = calibrated_null(len(days), bars, tuple(steps.tolist()), tickers, 0.0 if single else alike)
        weight = 1.0 / (len(days) * np.bincount(date_of))[date_of]
        return _Dates(name, units, weight, len(days), len(days) * min(1.0, bars / last), null)

    steps = np.unique(losses.step_U)
    by_step = [
        dates(str(s), np.flatnonzero(losses.step_U == s), np.array([s]), overlap[int(s)]) for s in steps.tolist()
    ]
    groups = []
    for name, units in step_groups(losses.step_U).items():
        inside = np.unique(losses.step_U[units])
        groups.append(dates(name, units, inside, overlap[int(inside[-1])]))
    tickers = [
        dates(p.name, p.units, np.unique(losses.step_U[p.units]), p.overlap, single=True)
        for p in pools
        if p.family == "ticker"
    ]
    pit = dict(zip(losses.models, readings.pit_UK.T, strict=True))
    return Calibration(
        coverage=_together(_coverage(m, losses.covered_UKB[:, k], by_step) for k, m in enumerate(losses.models)),
        reliability=_together(_reliability(m, values, groups) for m, values in pit.items()),
        pit=_together(_histogram(m, values, groups) for m, values in pit.items()),
        calibration_tests=_together(_knueppel(m, values, groups, tickers) for m, values in pit.items()),
    )


def _together(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(list(parts), ignore_index=True)


def common_correlation(losses: Losses, readings: Readings, reference: str) -> float:
    """Cross-sectional correlation of the reference's PIT values on a date."""
    pit_U = readings.pit_UK[:, losses.models.index(reference)]
    steps = int(losses.step_U.max()) + 1
    return equal_correlation(pit_U, losses.cutoff_U * steps + losses.step_U)


def equal_correlation(pit_U: Floats, group_U: Ints) -> float:
    """Mean correlation of the normal scores within groups (a date and a step), clipped to 0 .. 1; 0 without pairs."""
    score = ndtri(np.clip(np.asarray(pit_U, np.float64), 1e-6, 1 - 1e-6))
    size = int(group_U.max(initial=0)) + 1
    count = np.bincount(group_U, minlength=size)
    several = count >= 2
    if not several.any():
        return 0.0
    mean, centre = group_mean(score, group_U, size)[several], score.mean()
    total = float(np.square(score - centre).mean())
    between = float((np.square(mean - centre) * count[several]).mean())
    tickers = float(count[several].mean())
    return float(np.clip((between / max(total, 1e-12) - 1.0) / (tickers - 1.0), 0.0, 1.0))


def _coverage(model: str, covered_UB: NDArray[np.bool_], by_step: Sequence[_Dates]) -> pd.DataFrame:
    rows = []
    for part in by_step:
        for percent, share in zip(INTERVALS, part.weight @ covered_UB[part.units], strict=True):
            edge = round(BINS * (100 - percent) / 200)
            draws = part.null.coverage(edge, BINS - edge)
            rows.append(
                {
                    "model": model,
                    "step": int(part.name),
                    "interval": percent,
                    "coverage": float(share),
                    **_band(draws),
                    "p": float(two_sided(share, draws)),
                    "n": part.n,
                    "n_eff": part.n_eff,
                    "smallest_detectable": DETECTABLE * float(draws.std()),
                }
            )
    return pd.DataFrame(rows)


def _reliability(model: str, pit_U: Floats, groups: Sequence[_Dates]) -> pd.DataFrame:
    rows = []
    for part in groups:
        below = np.r_[0.0, np.cumsum(part.shares(pit_U))]
        for level in LEVELS_SHOWN:
            edge = round(level * BINS)
            band = _band(part.null.coverage(0, edge))
            rows.append({"model": model, "group": part.name, "level": level, "share": below[edge], **band})
    return pd.DataFrame(rows)


def _histogram(model: str, pit_U: Floats, groups: Sequence[_Dates]) -> pd.DataFrame:
    rows = []
    width = BINS // HISTOGRAM_BINS
    for part in groups:
        shares = part.shares(pit_U).reshape(HISTOGRAM_BINS, width).sum(axis=1)
        rows += [
            {
                "model": model,
                "group": part.name,
                "low": k / HISTOGRAM_BINS,
                "high": (k + 1) / HISTOGRAM_BINS,
                "share": shares[k],
                **_band(part.null.coverage(k * width, (k + 1) * width)),
            }
            for k in range(HISTOGRAM_BINS)
        ]
    return pd.DataFrame(rows)


def _knueppel(model: str, pit_U: Floats, groups: Sequence[_Dates], tickers: Sequence[_Dates]) -> pd.DataFrame:
    moments = standard_moments(pit_U)
    rows = []
    for ticker, part in [("all", part) for part in groups] + [(part.name, part) for part in tickers]:
        mean_moments = part.weight @ moments[part.units]
        p = float(part.null.knueppel(mean_moments))
        rows.append(
            {
                "model": model,
                "unique_id": ticker,
                "group": part.name if ticker == "all" else "all",
                "test": "Knueppel",
                "statistic": float(part.null.distance(mean_moments)),
                "p": p,
                "mean_pit": 0.5 + float(mean_moments[0]) / np.sqrt(12.0),
                "spread": float(np.sqrt(max(1.0 + mean_moments[1], 0.0))),
                "fault": _fault(mean_moments, part.null),
                "n": part.n,
                "n_eff": part.n_eff,
                "smallest_detectable": DETECTABLE * float(part.null.moments[:, 0].std()) / np.sqrt(12.0),
            }
        )
    table = pd.DataFrame(rows)
    single = (table["unique_id"] != "all").to_numpy()
    adjusted = table["p"].to_numpy(float).copy()
    adjusted[single] = benjamini_hochberg(adjusted[single])
    table.insert(list(table.columns).index("p") + 1, "p_adjusted", adjusted)
    rejected = np.maximum(table["p"], table["p_adjusted"]) < ALPHA
    table["finding"] = np.where(rejected, table.pop("fault"), "no evidence against calibration")
    return table


def _fault(mean_moments: Floats, null: CalibratedNull) -> str:
    """The moment furthest from an ideal forecaster's, in words; "shape" when neither of the first two is far."""
    bias, spread = mean_moments[:2] / null.moments[:, :2].std(axis=0)
    if max(abs(bias), abs(spread)) < -ndtri(ALPHA / 2):
        return "shape"
    if abs(spread) >= abs(bias):
        return "too narrow" if spread > 0 else "too wide"
    return "too low" if bias > 0 else "too high"


def _band(draws: Floats) -> dict[str, float]:
    low, high = np.quantile(draws, BAND)
    return {"band_low": float(low), "band_high": float(high)}
