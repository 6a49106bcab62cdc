"""Size and power of every test in a report: python benchmarks/sizes.py [--draws 1000] [--only NAME ...] [--few]

Each test is run through the function that a report uses, on simulated forecasts that are equally good (size: 5 % of
them should be called different) or not (power). n cutoffs one bar apart, targets h bars ahead: neighbouring targets
share h - 1 bars. Shocks have Student-t tails with 5 degrees of freedom; forecasts are persistent; volatility wanders
where calibration is tested. `--few` instead measures the tests of many models where few cosines carry the variance.
One process; lower its priority with `nice`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr

from s2squant.evaluation.calibration import equal_correlation
from s2squant.evaluation.exceedances import miss_tests
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.clark_west import adjusted_difference, one_sided
from s2squant.evaluation.statistics.giacomini_rossi import fluctuation
from s2squant.evaluation.statistics.giacomini_white import giacomini_white
from s2squant.evaluation.statistics.ideal_forecaster import calibrated_null, standard_moments, two_sided
from s2squant.evaluation.statistics.model_confidence_set import FEWEST, any_better, confidence_set, pairwise
from s2squant.evaluation.statistics.pesaran_timmermann import sign_covariance
from s2squant.series.arrays import Floats

CELLS: tuple[tuple[int, int], ...] = ((250, 1), (250, 5), (250, 20), (1000, 1), (1000, 5), (1000, 20))
LEVEL = 0.05
KNOWN = 2.8
"""Standard errors that a two-sided test at 5 % finds four times in five when it knows the variance."""
RIVALS = 5
TICKERS = 5


class Test(NamedTuple):
    """A test by name, what is planted for its power, and p-values (draws,) by generator, n, h, draws, planted."""

    name: str
    planted: str
    p: Callable[[Generator, int, int, int, bool], Floats]
    overlapping: bool = True
    """Whether it is used beyond one step ahead."""
    dear: bool = False
    """Slow: run on half of the draws."""


class World(NamedTuple):
    """Outcomes (R, n), and forecasts (R, K, n) that are all equally far from the centre, on persistent sides."""

    y: Floats
    forecasts: Floats


def world(rng: Generator, n: int, h: int, draws: int, models: int) -> World:
    """Overlapping sums of shocks with heavy tails, and forecasts that know nothing of them."""
    path = np.cumsum(np.pad(rng.standard_t(5, (draws, n + h - 1)), ((0, 0), (1, 0))), axis=1)
    y = path[:, h:] - path[:, :-h]
    side = np.empty((draws, models, n))
    shock = rng.standard_normal(side.shape)
    side[..., 0] = shock[..., 0] / np.sqrt(1 - 0.9**2)
    for t in range(1, n):
        side[..., t] = 0.9 * side[..., t - 1] + shock[..., t]
    return World(y, 0.4 * np.sqrt(h) * np.sign(side))


def losses(rng: Generator, n: int, h: int, draws: int, models: int) -> Floats:
    """Absolute errors (R, n, K) of equally good models."""
    drawn = world(rng, n, h, draws, models)
    return np.asarray(np.abs(drawn.y[:, None] - drawn.forecasts).transpose(0, 2, 1))


def difference(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """Loss differences (R, n); with `planted`, better by KNOWN of their true standard errors."""
    pair = losses(rng, n, h, draws, 2)
    series = pair[..., 1] - pair[..., 0]
    return np.asarray(series + planted * KNOWN * series.mean(axis=1).std())


def diebold_mariano(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """The headline test."""
    mean, se, nu = dm.ewc(difference(rng, n, h, draws, planted), h)
    return dm.p_value(dm.t_statistic(mean, se), np.full(draws, float(nu)))


def conditional(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """Giacomini-White with a persistent measure of risk that has nothing to do with the losses."""
    series = difference(rng, n, h, draws, planted)
    risk = np.exp(0.05 * np.cumsum(rng.standard_normal((draws, n)), axis=1))
    return np.array([giacomini_white(d, v, h).p for d, v in zip(series, risk, strict=True)])


def stability(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """The fluctuation test; planted: the whole gain falls into one third of the dates."""
    series = difference(rng, n, h, draws, False)
    third = (np.arange(n) // (n // 3 + 1)) == 1
    series = series + planted * KNOWN * series.mean(axis=1).std() * n / third.sum() * third
    results = [fluctuation(d, h, 0.3) for d in series]
    return np.array([np.nan if result.reason else result.p for result in results])


def nested(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """Clark-West of a forecast of nothing against no change; planted: the outcome follows it a little."""
    y, forecast = _followed(world(rng, n, h, draws, 1), planted)
    mean, se, nu = dm.ewc(adjusted_difference(y, np.zeros_like(y), forecast), h)
    return np.array([one_sided(t, nu) for t in mean / se])


def signs(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """Pesaran-Timmermann with the variance by cosines."""
    y, forecast = _followed(world(rng, n, h, draws, 1), planted)
    series = np.stack([sign_covariance(a, b) for a, b in zip(y, forecast, strict=True)])
    mean, se, nu = dm.ewc(series, h)
    return dm.p_value(dm.t_statistic(mean, se), np.full(draws, float(nu)))


def _followed(drawn: World, planted: bool) -> tuple[Floats, Floats]:
    forecast = drawn.forecasts[:, 0]
    products = (drawn.y * forecast).mean(axis=1).std()
    share = KNOWN * products / np.square(forecast).mean()
    return np.asarray(drawn.y + planted * share * forecast), forecast


def superior(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """SPA of RIVALS against a reference; planted: one of them is better."""
    table = losses(rng, n, h, draws, RIVALS + 1)
    gains = table[..., :1] - table[..., 1:]
    gains[..., 0] += planted * 1.4 * KNOWN * gains[..., 0].mean(axis=1).std()
    return np.array([any_better(g, h).p for g in gains])


def members(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """The smallest p in a model confidence set of RIVALS; planted: one is worse."""
    table = losses(rng, n, h, draws, RIVALS)
    table[..., 0] += planted * KNOWN * (table[..., 0] - table[..., 1]).mean(axis=1).std()
    return np.array([confidence_set(t, h).p.min() for t in table])


def pits(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """PIT values (R, J, n) of alike tickers with a wandering volatility the forecaster knows; planted: 15 % narrow."""
    bars = n + h - 1
    log_vol = np.zeros((draws, bars))
    shock = rng.standard_normal((draws, bars))
    for t in range(1, bars):
        log_vol[:, t] = 0.97 * log_vol[:, t - 1] + 0.12 * shock[:, t]
    vol = np.exp(log_vol)[:, None]
    common, own = rng.standard_normal((draws, 1, bars)), rng.standard_normal((draws, TICKERS, bars))
    returns = vol * (np.sqrt(0.3) * common + np.sqrt(0.7) * own)
    path = np.cumsum(np.pad(returns, ((0, 0), (0, 0), (1, 0))), axis=2)
    clock = np.cumsum(np.pad(np.square(vol), ((0, 0), (0, 0), (1, 0))), axis=2)
    spread = np.sqrt(clock[..., h:] - clock[..., :-h]) * (0.85 if planted else 1.0)
    return np.asarray(ndtr((path[..., h:] - path[..., :-h]) / spread))


def histogram(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """Knueppel's test over TICKERS tickers, their correlation estimated."""
    p = []
    group = np.tile(np.arange(n), TICKERS)
    for pit in pits(rng, n, h, draws, planted):
        null = calibrated_null(n, 1, (h,), TICKERS, equal_correlation(pit.ravel(), group))
        p.append(float(null.knueppel(standard_moments(pit).mean(axis=(0, 1)))))
    return np.array(p)


def coverage(rng: Generator, n: int, h: int, draws: int, planted: bool) -> Floats:
    """Coverage of the central 80 % over TICKERS tickers."""
    p = []
    group = np.tile(np.arange(n), TICKERS)
    for pit in pits(rng, n, h, draws, planted):
        null = calibrated_null(n, 1, (h,), TICKERS, equal_correlation(pit.ravel(), group))
        share = ((pit >= 0.1) & (pit < 0.9)).mean()
        p.append(float(two_sided(share, null.coverage(4, 36))))
    return np.array(p)


def _misses(rng: Generator, n: int, draws: int, planted: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """The four tests of misses of a 95 % interval; planted: 1.6 times as many, three times likelier after a miss."""
    missed = np.zeros((draws, n), bool)
    chance = rng.random((draws, n))
    for t in range(n):
        after = 3.0 * missed[:, t - 1] + (1.0 - missed[:, t - 1]) if t and planted else 1.0
        missed[:, t] = chance[:, t] < 0.05 * (1.45 if planted else 1.0) * after
    spread = np.exp(0.05 * np.cumsum(rng.standard_normal((draws, n)), axis=1))
    return miss_tests(missed, 0.05, spread)


def _one_of(which: int) -> Callable[[Generator, int, int, int, bool], Floats]:
    def p(rng: Generator, n: int, _h: int, draws: int, planted: bool) -> Floats:
        return _misses(rng, n, draws, planted)[which]

    return p


GAIN = "a gain that a test knowing the variance finds 80 times in 100"
MISSES = "1.45 times the misses, three times likelier after a miss"
TESTS: tuple[Test, ...] = (
    Test("Diebold-Mariano (EWC)", GAIN, diebold_mariano),
    Test("Giacomini-White", GAIN, conditional),
    Test("fluctuation", "that gain on average, all of it in one third of the dates", stability),
    Test("Clark-West (one-sided)", GAIN, nested),
    Test("Pesaran-Timmermann", GAIN, signs),
    Test("SPA, 5 rivals", "one rival better by 1.4 times that gain", superior),
    Test("confidence set, 5 models", "one model worse by that gain", members, dear=True),
    Test("coverage of 80 %, 5 tickers", "forecasts 15 % too narrow", coverage),
    Test("Knueppel, 5 tickers", "forecasts 15 % too narrow", histogram),
    Test("Kupiec, 95 %", MISSES, _one_of(0), overlapping=False),
    Test("Christoffersen independence", MISSES, _one_of(1), overlapping=False),
    Test("Christoffersen joint", MISSES, _one_of(2), overlapping=False),
    Test("DQ", MISSES, _one_of(3), overlapping=False),
)


FEW_DESIGNS: tuple[tuple[int, int], ...] = ((20, 1), (5, 1), (20, 10))
"""Bars ahead and bars between cutoffs."""
FEW_MODELS = 6
FEW_LEVELS = (0.05, 0.10)


def linear(rng: Generator, n: int, h: int, draws: int, models: int) -> Floats:
    """Losses (R, n, K) that are overlapping sums themselves, half of their variance shared by all models."""
    shock = rng.standard_t(5, (draws, n + h - 1, models + 1))
    path = np.cumsum(np.pad(shock, ((0, 0), (1, 0), (0, 0))), axis=1)
    sums = path[:, h:] - path[:, :-h]
    return np.asarray(sums[..., 1:] + sums[..., :1])


def fewest(nu: int, overlap: int) -> int:
    """The smallest number of cutoffs with `nu` cosines."""
    return next(n for n in count(2 * nu * overlap) if dm.degrees(n, overlap) == nu)


def few_cosines(nu: int, draws: int, *, seed: int = 0) -> list[str]:
    """Markdown rows of `nu`: by design and loss, shares with any pair, any model out of the set, any rival better."""
    lines = []
    for h, every in FEW_DESIGNS:
        overlap = -(-h // every)
        n = fewest(nu, overlap)
        for name, of in (("absolute errors", losses), ("sums", linear)):
            rng = np.random.default_rng([seed, nu, h, every])
            p = []
            for _ in range(-(-draws // 250)):
                for table in of(rng, n * every, h, 250, FEW_MODELS)[:, ::every]:
                    apart = pairwise(table, overlap).p_adjusted[np.triu_indices(FEW_MODELS, 1)].min()
                    better = any_better(table[:, :1] - table[:, 1:], overlap).p
                    p.append((apart, confidence_set(table, overlap).p.min(), better))
            shares = [f"{100 * (np.array(p)[:, k] <= level).mean():.1f}" for k in range(3) for level in FEW_LEVELS]
            lines.append(f"| {nu} | {n}, h={h}, every {every}, {name} | {' | '.join(shares)} |")
    return lines


def share_rejected(test: Test, n: int, h: int, draws: int, planted: bool, *, seed: int = 0) -> float:
    """Share of simulated cases with p below LEVEL; NaN where the test refuses the cell."""
    rng = np.random.default_rng([seed, n, h, int(planted)])
    left, parts = draws, []
    while left > 0:
        size = min(left, 250)
        parts.append(test.p(rng, n, h, size, planted))
        left -= size
    p = np.concatenate(parts)
    return float((p < LEVEL).mean()) if np.isfinite(p).all() else float("nan")


def cells_of(test: Test) -> Sequence[tuple[int, int]]:
    """The (n, h) at which a test is used."""
    return CELLS if test.overlapping else tuple(cell for cell in CELLS if cell[1] == 1)


def main() -> None:
    """Print both tables as markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="for a size; half as many for a power")
    parser.add_argument("--only", nargs="*", default=None, help="parts of test names")
    parser.add_argument("--few", nargs="*", type=int, default=None, help="numbers of cosines; all when none is named")
    options = parser.parse_args()
    if options.few is not None:
        print(f"| cosines | cutoffs | pairs, 5 % | 10 % | set, 5 % | 10 % | SPA, 5 % | 10 % |\n{'|---' * 8}|")
        for nu in options.few or range(FEWEST, 9):
            print("\n".join(few_cosines(nu, options.draws)), flush=True)
        return
    chosen = [t for t in TESTS if options.only is None or any(part in t.name for part in options.only)]
    heading = " | ".join(f"n={n}, h={h}" for n, h in CELLS)
    for planted, title in ((False, "size, % rejected at nominal 5 %"), (True, "power, % rejected at 5 %")):
        print(f"\n| {title} | {heading} |{' planted |' if planted else ''}")
        print("|---" * (len(CELLS) + 1 + planted) + "|")
        for test in chosen:
            start, row = time.process_time(), []
            draws = options.draws // (1 + planted) // (1 + test.dear)
            for cell in CELLS:
                share = share_rejected(test, *cell, draws, planted) if cell in cells_of(test) else None
                row.append("-" if share is None else "refused" if np.isnan(share) else f"{100 * share:.1f}")
            extra = f" {test.planted} |" if planted else ""
            print(f"| {test.name} | {' | '.join(row)} |{extra}", flush=True)
            print(f"  {time.process_time() - start:.0f} CPU s", end="\r")


if __name__ == "__main__":
    main()
