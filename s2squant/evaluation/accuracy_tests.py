"""Further accuracy tests: conditional, nested, over time, of direction, and of many models at once.

Every row carries the effect tested, n, n_eff and the smallest effect that the test would find four times in five. A
test that cannot keep its level here is refused: p is 1, `reason` says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.comparisons import relative_series
from s2squant.evaluation.diagnostics import Readings
from s2squant.evaluation.losses import Losses, group_mean
from s2squant.evaluation.pairwise import relative_losses
from s2squant.evaluation.pools import Pool
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.clark_west import adjusted_difference, detectable, one_sided
from s2squant.evaluation.statistics.giacomini_rossi import fluctuation
from s2squant.evaluation.statistics.giacomini_white import detectable_distance, giacomini_white
from s2squant.evaluation.statistics.model_confidence_set import any_better, confidence_set
from s2squant.evaluation.statistics.pesaran_timmermann import sign_covariance
from s2squant.series.arrays import Floats

COLUMNS = (
    "test", "pool", "benchmark", "challenger", "effect", "statistic", "p", "n", "n_eff", "smallest_detectable",
    "finding", "reason",
)  # fmt: skip
PATH_COLUMNS = ["challenger", "benchmark", "first", "cutoff", "window", "effect", "band"]
WIDTH = 1
"""Place in losses.INTERVALS of the width that stands for the risk known at the cutoff."""


@dataclass(frozen=True)
class FurtherTests:
    """Tables of the tests; columns as in Evidence."""

    tests: pd.DataFrame
    confidence_set: pd.DataFrame
    fluctuation: pd.DataFrame


@dataclass(frozen=True)
class _Case:
    """Inputs of every test."""

    losses: Losses
    readings: Readings
    spec: VerdictSpec
    kinds: Mapping[str, str]

    def series(self, pool: Pool, challenger: str, benchmark: str) -> Floats:
        """Relative loss difference by date of the pool."""
        loss, base = (self.losses.of(m)[pool.units] for m in (challenger, benchmark))
        return relative_series(loss, base, self.losses.ticker_U[pool.units], pool)[1]

    def column(self, model: str) -> int:
        return self.losses.models.index(model)

    def word(self, p: float, finding: str) -> str:
        return finding if p < self.spec.alpha else "no evidence"


def further_tests(
    losses: Losses,
    readings: Readings,
    pools: Sequence[Pool],
    pairs: Iterable[tuple[str, str]],
    spec: VerdictSpec,
    kinds: Mapping[str, str],
) -> FurtherTests:
    """Test every (challenger, benchmark) pair on the pools of all units and of each market.

    `kinds` names each model's kind as `judge` takes it.
    """
    case = _Case(losses, readings, spec, kinds)
    wanted = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    broad = [p for p in pools if p.family == "all"]
    markets = [p for p in pools if p.family == "market"]
    if len(markets) > 1:
        broad += markets
    rows = [row for pool in broad for row in _pool_rows(case, pool, wanted)]
    sets = [_set_rows(case, p) for p in pools if p.family in ("all", "step")]
    return FurtherTests(
        tests=pd.DataFrame(rows, columns=list(COLUMNS)),
        confidence_set=pd.concat(sets, ignore_index=True),
        fluctuation=_paths(case, broad[0], wanted),
    )


def _pool_rows(case: _Case, pool: Pool, pairs: list[tuple[str, str]]) -> Iterator[dict[str, object]]:
    def row(test: str, benchmark: str, challenger: str, result: _Result) -> dict[str, object]:
        values = (test, pool.name, benchmark, challenger, *result[:4], pool.n_eff, *result[4:])
        return dict(zip(COLUMNS, values, strict=True))

    reference = case.spec.reference
    yield row("SPA", reference, *_superior(case, pool))
    for challenger, benchmark in pairs:
        series = case.series(pool, challenger, benchmark)
        yield row("Giacomini-White", benchmark, challenger, _conditional(case, pool, series))
        yield row("fluctuation", benchmark, challenger, _stability(case, pool, series))
        if benchmark == reference or case.kinds.get(benchmark) == "anchor":
            yield row("Clark-West", benchmark, challenger, _nested(case, pool, challenger, benchmark))
    for model in case.losses.models:
        yield row("Pesaran-Timmermann", "base rate", model, _direction(case, pool, model))


class _Result(NamedTuple):
    """One test of one pair on one pool, in the order of COLUMNS."""

    effect: float
    statistic: float
    p: float
    n: int
    smallest: float
    finding: str
    reason: str = ""


def _refused(n: int, reason: str) -> _Result:
    return _Result(np.nan, np.nan, 1.0, n, np.nan, "not tested", reason)


def _conditional(case: _Case, pool: Pool, series: Floats) -> _Result:
    """Giacomini-White, the reference's width standing for the risk known at the cutoff."""
    width = _by_date(case.readings.width_UKB[pool.units, case.column(case.spec.reference), WIDTH], pool)
    if len(series) != pool.dates:
        return _refused(len(series), "the benchmark lost nothing")
    test = giacomini_white(series, width, pool.overlap)
    if test.reason:
        return _refused(len(series), test.reason)
    _, se, _ = dm.ewc(series, pool.overlap)
    smallest = detectable_distance(3, test.nu, case.spec.alpha) * float(se)
    finding = case.word(test.p, "differs, on average or by circumstance")
    return _Result(float(series.mean()), test.statistic, test.p, len(series) - pool.overlap, smallest, finding)


def _stability(case: _Case, pool: Pool, series: Floats) -> _Result:
    """Giacomini-Rossi's fluctuation test; the effect is the largest rolling mean."""
    n, test = len(series), fluctuation(series, pool.overlap, case.spec.window)
    if test.reason:
        return _refused(n, test.reason)
    _, se, nu = dm.ewc(series, pool.overlap)
    largest = float(test.rolling[int(np.argmax(np.abs(test.rolling)))])
    smallest = test.band + dm.power_margin(nu, case.spec.alpha) * float(se) * np.sqrt(n / test.window)
    finding = case.word(test.p, "better at times" if largest > 0 else "worse at times")
    return _Result(largest, test.statistic, test.p, n, smallest, finding)


def _nested(case: _Case, pool: Pool, challenger: str, benchmark: str) -> _Result:
    """Clark-West on means, in shares of the nested model's squared error of the ticker and step."""
    units = pool.units
    y = case.readings.y_U[units]
    mean = case.readings.mean_UK[units].astype(np.float64)
    larger, nested = mean[:, case.column(challenger)], mean[:, case.column(benchmark)]
    steps = int(case.losses.step_U.max()) + 1
    group = case.losses.ticker_U[units] * steps + case.losses.step_U[units]
    scale = group_mean(np.square(y - nested), group, int(group.max()) + 1)[group]
    usable = scale > 0
    gain = adjusted_difference(y, nested, larger)
    series = dm.examine(_by_date(np.divide(gain, scale, out=np.zeros_like(gain), where=usable), pool), pool.overlap)
    if reason := series.reason or ("the two means are the same" if series.se <= 0 else ""):
        return _refused(series.n, reason)
    statistic = series.mean / series.se
    p = one_sided(statistic, series.nu)
    smallest = detectable(series.nu, case.spec.alpha, dm.POWER) * series.se
    return _Result(series.mean, statistic, p, series.n, smallest, case.word(p, "its mean holds a signal"))


def _direction(case: _Case, pool: Pool, model: str) -> _Result:
    """Pesaran-Timmermann, signs compared step by step and ticker by ticker, then averaged by date."""
    y = case.readings.y_U[pool.units]
    median = case.readings.median_UK[pool.units, case.column(model)]
    series = dm.examine(_by_date(sign_covariance(y, median), pool), pool.overlap)
    constant = np.unique(np.sign(median)).size < 2
    if reason := series.reason or ("its median never changes sign" if constant or series.se <= 0 else ""):
        return _refused(series.n, reason)
    finding = f"sign {'better' if series.mean > 0 else 'worse'} than the base rate"
    smallest = series.smallest_detectable(case.spec.alpha)
    p = series.p
    return _Result(series.mean, series.mean / series.se, p, series.n, smallest, case.word(p, finding))


def _superior(case: _Case, pool: Pool) -> tuple[str, _Result]:
    """Hansen's test for superior predictive ability, with the rival of the largest t."""
    reference = case.spec.reference
    rivals = [m for m in case.losses.models if m != reference]
    if not rivals:
        return "", _refused(pool.dates, "there is no rival")
    gains = np.stack([case.series(pool, m, reference) for m in rivals], axis=1)
    test, n = any_better(gains, pool.overlap), len(gains)
    if test.best < 0:
        return "", _refused(n, test.reason)
    best = gains[:, test.best]
    _, se, nu = dm.ewc(best, pool.overlap)
    smallest = (test.critical + dm.power_margin(nu, case.spec.alpha)) * float(se)
    finding = case.word(test.p, "something beats the reference")
    return rivals[test.best], _Result(float(best.mean()), test.statistic, test.p, n, smallest, finding)


def _set_rows(case: _Case, pool: Pool) -> pd.DataFrame:
    """Membership of every model, from losses relative to the reference's mean loss of the ticker; none if refused."""
    losses = case.losses
    members = confidence_set(relative_losses(losses, pool, case.spec.reference), pool.overlap)
    names = np.array(losses.models, object)
    twin = members.twin_of != np.arange(len(names))
    return pd.DataFrame(
        {
            "step": pool.step,
            "model": names,
            "p": members.p,
            "inside": members.p > case.spec.set_level,
            "same_as": np.where(twin, names[members.twin_of], ""),
            "n": pool.dates,
            "n_eff": pool.n_eff,
            "reason": members.reason,
        }
    )


def _paths(case: _Case, pool: Pool, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    """Rolling mean gains over all units by the last cutoff of the window."""
    dates = case.losses.cutoffs[np.unique(case.losses.cutoff_U[pool.units])]
    parts = []
    for challenger, benchmark in pairs:
        series = case.series(pool, challenger, benchmark)
        path = fluctuation(series, pool.overlap, case.spec.window)
        if len(series) != len(dates) or not len(path.rolling):
            continue
        parts.append(
            pd.DataFrame(
                {
                    "challenger": challenger,
                    "benchmark": benchmark,
                    "first": dates[: len(path.rolling)],
                    "cutoff": dates[path.window - 1 :],
                    "window": path.window,
                    "effect": path.rolling,
                    "band": path.band,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PATH_COLUMNS)


def _by_date(values: Floats, pool: Pool) -> Floats:
    return group_mean(values, pool.date_of, pool.dates)
