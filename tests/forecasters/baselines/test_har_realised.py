"""HAR-RV and HAR-CJ: better where realised variances are known, HAR where they are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s2squant.config.models import Forecasters
from s2squant.forecasters.baselines import har_cj
from s2squant.forecasters.baselines.ranges import volatility
from s2squant.forecasters.catalog import make, restore
from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.forecast import quantile_crps
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel

BARS = 1500
SETTINGS = Forecasters.model_validate({m: {"paths": 256} for m in ("har", "har_rv", "har_cj")})


def measured_history(seed: int = 0, unknown: slice = slice(0)) -> PriceHistory:
    """A stock whose variance moves a lot from day to day, jumps now and then, and is measured well."""
    rng = np.random.default_rng(seed)
    log_sd = np.empty(BARS)
    log_sd[0] = 0.0
    for t in range(1, BARS):
        log_sd[t] = 0.9 * log_sd[t - 1] + 0.3 * rng.standard_normal()
    sd = 0.01 * np.exp(log_sd)
    jump = np.where(rng.random(BARS) < 0.1, 3 * sd * rng.choice([-1, 1], BARS), 0.0)
    returns = sd * rng.standard_normal(BARS) + jump
    total = sd**2 * np.exp(0.1 * rng.standard_normal(BARS)) + jump**2
    past = np.column_stack([total, jump**2])
    past[unknown] = np.nan
    dates = np.datetime64("2010-01-01") + np.arange(BARS)
    columns = (Covariate("rv", variance=True, measure="total"), Covariate("jump", measure="jump"))
    covariates = TickerCovariates(columns, (), (), past, dates, np.empty((BARS, 0)), np.empty(0))
    return PriceHistory("A", "XNYS", dates, 100 * np.exp(np.cumsum(returns)), covariates=covariates)


def loss(name: str, panel: Panel) -> np.ndarray:
    rows = np.arange(1000, BARS - 5)
    fitted = make(name, SETTINGS).fit(panel.until(panel.dates[1000]), np.arange(300, 990), horizon=5, seed=0)
    forecast = fitted.predict(panel, rows)
    again = restore(name, SETTINGS, fitted.state()).predict(panel, rows[:2])
    assert np.array_equal(again.quantiles_NHQ, forecast.quantiles_NHQ[:2])
    mean: np.ndarray = quantile_crps(panel.targets(rows, 5), forecast.quantiles_NHQ).mean(axis=0)
    return mean


def test_a_measured_variance_forecasts_better_and_jumps_taken_apart_better_still() -> None:
    panel = Panel((measured_history(),))
    plain, measured, apart = (loss(name, panel) for name in ("har", "har_rv", "har_cj"))
    assert measured[0] < 0.995 * plain[0]
    assert apart[0] < 0.995 * measured[0]


def test_without_realised_variances_all_are_har() -> None:
    panel = Panel((replace(measured_history(), covariates=None),))
    plain, measured, apart = (loss(name, panel) for name in ("har", "har_rv", "har_cj"))
    assert np.array_equal(measured, plain) or measured == pytest.approx(plain, rel=0.02), "the draws differ"
    assert apart == pytest.approx(plain, rel=0.02)


def test_a_day_that_was_not_measured_has_its_absolute_return() -> None:
    history = measured_history(unknown=slice(10, 20))
    told = volatility(history, ranges=False, measured=True)
    absolute = volatility(history, ranges=False)
    assert np.array_equal(told[9:19], absolute[9:19])
    assert history.covariates is not None
    assert told[20:] == pytest.approx(np.sqrt(history.covariates.past_TP[21:, 0]))
    _, sizes, share = har_cj.parts(history, 1.0, ranges=False)
    assert (share[9:19] == 0).all()
    assert sizes[25] ** 2 * share[25] == pytest.approx(history.covariates.past_TP[26, 1])


def test_paths_follow_the_recursion() -> None:
    weights = [0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.04, 0.03]
    shocks = np.array([[[1.2, -0.5, 0.25]], [[0.8, 1.0, 0.0]], [[1.0, 0.3, 0.0]]])
    past = np.zeros((2, 1, 22))
    past[0, 0, :2], past[1, 0, 0] = (0.9, 1.1), 0.4
    sums = [float(s[0, 0]) for s in har_cj.simulated_sums(np.array([1.0]), past, np.array([2]), weights, shocks)]
    v = 1.2
    c, j = v * np.sqrt(0.75), v * np.sqrt(0.25)
    level = 0.1 + 0.2 * c + (0.3 + 0.2) * (0.9 + 1.1 + c) / 3 + 0.1 * 0.5 + 0.05 * j + (0.04 + 0.03) * (0.4 + j) / 3
    assert sums[:2] == pytest.approx([-0.5, -0.5 + level], rel=1e-5)
