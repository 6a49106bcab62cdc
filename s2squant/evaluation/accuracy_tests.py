"""Beyond the headline test: conditional and nested accuracy, stability over time, direction, and many models at once.

Every row carries the effect tested, n, n_eff and the smallest effect that the test would find four times in five. A
test that cannot keep its level here is refused: p is 1, `reason` says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
"""Which of losses.INTERVALS stands for what is known of risk at the cutoff."""


@dataclass(frozen=True)
class FurtherTests:
    """Tables; columns as in Study."""

    tests: pd.DataFrame
    confidence_set: pd.DataFrame
    fluctuation: pd.DataFrame


@dataclass(frozen=True)
class _Case:
    """What every test reads."""

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


def further_tests(
    losses: Losses,
    readings: Readings,
    made: Sequence[Pool],
    pairs: Iterable[tuple[str, str]],
    spec: VerdictSpec,
    kinds: Mapping[str, str],
) -> FurtherTests:
    """Test every (challenger, benchmark) pair on the pools of all units and of each market.

    `made` are the pools of comparisons.pools; `kinds` names each model's kind as `judge` takes it.
    """
    case = _Case(losses, readings, spec, kinds)
    wanted = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    broad = [p for p in made if p.family == "all"]
    markets = [p for p in made if p.family == "market"]
    if len(markets) > 1:
        broad += markets
    rows = [row for pool in broad for row in _pool_rows(case, pool, wanted)]
    sets = [_set_rows(case, p) for p in made if p.family in ("all", "step")]
    return FurtherTests(
        tests=pd.DataFrame(rows, columns=list(COLUMNS)),
        confidence_set=pd.concat(sets, ignore_index=True),
        fluctuation=_paths(case, broad[0], wanted),
    )


def _pool_rows(case: _Case, pool: Pool, pairs: list[tuple[str, str]]) -> Iterator[dict[str, object]]:
    yield _superior(case, pool)
    for challenger, benchmark in pairs:
        series = case.series(pool, challenger, benchmark)
        yield _conditional(case, pool, challenger, benchmark, series)
        yield _stability(case, pool, challenger, benchmark, series)
        if benchmark == case.spec.reference or case.kinds.get(benchmark) == "anchor":
            yield _nested(case, pool, challenger, benchmark)
    for model in case.losses.models:
        yield _direction(case, pool, model)


def _row(
    pool: Pool,
    test: str,
    benchmark: str,
    challenger: str,
    *,
    effect: float = np.nan,
    statistic: float = np.nan,
    p: float = 1.0,
    n: int,
    smallest: float = np.nan,
    finding: str = "no evidence",
    reason: str = "",
) -> dict[str, object]:
    values = (
        test, pool.name, benchmark, challenger, effect, statistic, p, n, pool.n_eff, smallest,
        "not tested" if reason else finding, reason,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _conditional(case: _Case, pool: Pool, challenger: str, benchmark: str, series: Floats) -> dict[str, object]:
    width = _by_date(case.readings.width_UKB[pool.units, case.column(case.spec.reference), WIDTH], pool)
    name = "Giacomini-White"
    if len(series) != pool.dates:
        return _row(pool, name, benchmark, challenger, n=len(series), reason="the benchmark lost nothing")
    found = giacomini_white(series, width, pool.overlap)
    if found.reason:
        return _row(pool, name, benchmark, challenger, n=len(series), reason=found.reason)
    n = len(series) - pool.overlap
    _, se, _ = dm.ewc(series, pool.overlap)
    return _row(
        pool,
        name,
        benchmark,
        challenger,
        effect=float(series.mean()),
        statistic=found.statistic,
        p=found.p,
        n=n,
        smallest=detectable_distance(3, found.nu, case.spec.alpha) * float(se),
        finding="differs, on average or by circumstance" if found.p < case.spec.alpha else "no evidence",
    )


def _stability(case: _Case, pool: Pool, challenger: str, benchmark: str, series: Floats) -> dict[str, object]:
    found = fluctuation(series, pool.overlap, case.spec.window)
    n = len(series)
    if found.reason:
        return _row(pool, "fluctuation", benchmark, challenger, n=n, reason=found.reason)
    _, se, nu = dm.ewc(series, pool.overlap)
    largest = float(found.rolling[int(np.argmax(np.abs(found.rolling)))])
    more = float(dm.detectable_factor(np.array(nu), case.spec.alpha) - dm.interval_factor(np.array(nu)))
    word = "better at times" if largest > 0 else "worse at times"
    return _row(
        pool,
        "fluctuation",
        benchmark,
        challenger,
        effect=largest,
        statistic=found.statistic,
        p=found.p,
        n=n,
        smallest=found.band + more * float(se) * np.sqrt(n / found.window),
        finding=word if found.p < case.spec.alpha else "no evidence",
    )


def _nested(case: _Case, pool: Pool, challenger: str, benchmark: str) -> dict[str, object]:
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
    series = _by_date(np.divide(gain, scale, out=np.zeros_like(gain), where=usable), pool)
    found = dm.examine(series, pool.overlap)
    reason = found.reason or ("the two means are the same" if found.se <= 0 else "")
    if reason:
        return _row(pool, "Clark-West", benchmark, challenger, n=found.n, reason=reason)
    statistic = found.mean / found.se
    p = one_sided(statistic, found.nu)
    return _row(
        pool,
        "Clark-West",
        benchmark,
        challenger,
        effect=found.mean,
        statistic=statistic,
        p=p,
        n=found.n,
        smallest=detectable(found.nu, case.spec.alpha, dm.POWER) * found.se,
        finding="its mean holds a signal" if p < case.spec.alpha else "no evidence",
    )


def _direction(case: _Case, pool: Pool, model: str) -> dict[str, object]:
    """Pesaran-Timmermann, signs compared step by step and ticker by ticker, then averaged by date."""
    y = case.readings.y_U[pool.units]
    median = case.readings.median_UK[pool.units, case.column(model)]
    series = _by_date(sign_covariance(y, median), pool)
    found = dm.examine(series, pool.overlap)
    nothing = np.unique(np.sign(median)).size < 2
    reason = found.reason or ("its median never changes sign" if nothing or found.se <= 0 else "")
    if reason:
        return _row(pool, "Pesaran-Timmermann", "base rate", model, n=found.n, reason=reason)
    statistic = found.mean / found.se
    p = float(dm.p_value(np.array(statistic), np.array(float(found.nu))))
    word = "sign better than the base rate" if found.mean > 0 else "sign worse than the base rate"
    return _row(
        pool,
        "Pesaran-Timmermann",
        "base rate",
        model,
        effect=found.mean,
        statistic=statistic,
        p=p,
        n=found.n,
        smallest=float(dm.detectable_factor(np.array(found.nu), case.spec.alpha)) * found.se,
        finding=word if p < case.spec.alpha else "no evidence",
    )


def _superior(case: _Case, pool: Pool) -> dict[str, object]:
    reference = case.spec.reference
    rivals = [m for m in case.losses.models if m != reference]
    if not rivals:
        return _row(pool, "SPA", reference, "", n=pool.dates, reason="there is no rival")
    gains = np.stack([case.series(pool, m, reference) for m in rivals], axis=1)
    found = any_better(gains, pool.overlap)
    n = len(gains)
    if found.best < 0:
        return _row(pool, "SPA", reference, "", n=n, reason=found.reason)
    best = gains[:, found.best]
    _, se, nu = dm.ewc(best, pool.overlap)
    more = float(dm.detectable_factor(np.array(nu), case.spec.alpha) - dm.interval_factor(np.array(nu)))
    return _row(
        pool,
        "SPA",
        reference,
        rivals[found.best],
        effect=float(best.mean()),
        statistic=found.statistic,
        p=found.p,
        n=n,
        smallest=(found.critical + more) * float(se),
        finding="something beats the reference" if found.p < case.spec.alpha else "no evidence",
    )


def _set_rows(case: _Case, pool: Pool) -> pd.DataFrame:
    """Membership of every model, from losses relative to the reference's mean loss of the ticker; none if refused."""
    losses = case.losses
    found = confidence_set(relative_losses(losses, pool, case.spec.reference), pool.overlap)
    names = np.array(losses.models, object)
    twin = found.twin_of != np.arange(len(names))
    return pd.DataFrame(
        {
            "step": pool.step,
            "model": names,
            "p": found.p,
            "inside": found.p > case.spec.set_level,
            "same_as": np.where(twin, names[found.twin_of], ""),
            "n": pool.dates,
            "n_eff": pool.n_eff,
            "reason": found.reason,
        }
    )


def _paths(case: _Case, pool: Pool, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    """Rolling mean gains over all units by the last cutoff of the window."""
    dates = case.losses.cutoffs[np.unique(case.losses.cutoff_U[pool.units])]
    parts = []
    for challenger, benchmark in pairs:
        series = case.series(pool, challenger, benchmark)
        found = fluctuation(series, pool.overlap, case.spec.window)
        if len(series) != len(dates) or not len(found.rolling):
            continue
        parts.append(
            pd.DataFrame(
                {
                    "challenger": challenger,
                    "benchmark": benchmark,
                    "first": dates[: len(found.rolling)],
                    "cutoff": dates[found.window - 1 :],
                    "window": found.window,
                    "effect": found.rolling,
                    "band": found.band,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PATH_COLUMNS)


def _by_date(values: Floats, pool: Pool) -> Floats:
    return group_mean(values, pool.date_of, pool.dates)
