"""Draws, shocks and sample quantiles against closed forms."""

import numpy as np
import pytest
from scipy import stats

from s2squant.forecasters.baselines.sampling import sample_quantiles, ticker_seed, uniforms
from s2squant.forecasters.baselines.student import FALLBACK, fit_student_t, student_shocks
from s2squant.series.tails import ALL_LEVELS
from tests.forecasters.baselines.helpers import student


def test_seed_is_stable_and_distinct():
    assert ticker_seed(0, "AAPL", "garch_t") == 7218225809737421808
    seeds = {ticker_seed(s, t, m) for s in (0, 1) for t in ("A", "AA") for m in ("garch_t", "gjr_t")}
    assert len(seeds) == 8


@pytest.mark.parametrize(("paths", "count"), [(128, 128), (129, 256), (2048, 2048)])
def test_uniforms_have_one_point_in_every_interval(paths, count):
    points = uniforms(paths, 30, seed=5)
    assert points.shape == (count, 30)
    assert (np.sort((points * count).astype(int), axis=0) == np.arange(count)[:, None]).all()
    assert (points == uniforms(paths, 30, seed=5)).all()
    assert (points != uniforms(paths, 30, seed=6)).any()


def test_sample_quantiles_are_hazens():
    samples = np.random.default_rng(0).standard_normal((3, 4, 256))
    expected = np.moveaxis(np.quantile(samples, ALL_LEVELS, axis=-1, method="hazen"), 0, -1)
    assert sample_quantiles(samples.copy()) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_sample_quantiles_of_ties_do_not_cross():
    samples = np.random.default_rng(0).integers(0, 3, (500, 128)).astype(np.float32) * np.float32(0.1)
    assert (np.diff(sample_quantiles(samples), axis=-1) >= 0).all()


@pytest.mark.parametrize("nu", [2.05, 3.0, 6.0, 200.0])
def test_shocks_are_standardised_student_t(nu):
    shocks = student_shocks(2048, 20, nu, seed=1)
    assert shocks.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert shocks.var(axis=0) == pytest.approx(1, rel=1e-12)
    if nu >= 3:  # below, two shocks carry half the variance
        assert np.abs(np.corrcoef(shocks.T) - np.eye(20)).max() < 0.12
    expected = stats.t.ppf(ALL_LEVELS, nu) * np.sqrt((nu - 2) / nu)
    assert sample_quantiles(shocks[:, 0].copy()) == pytest.approx(expected, abs=2e-3 if nu > 2.5 else 5e-3)


@pytest.mark.parametrize(("nu", "scale"), [(4.0, 1.0), (8.0, 1.3), (5.0, 0.8)])
def test_fit_student_t_finds_the_truth(nu, scale):
    sample = scale * student(np.random.default_rng(2), 20_000, nu)
    found = fit_student_t(sample)
    assert found.nu == pytest.approx(nu, rel=0.12)
    assert found.scale == pytest.approx(scale, rel=0.04)
    width, degrees = stats.t.fit(sample, floc=0)[2], stats.t.fit(sample, floc=0)[0]
    assert found.nu == pytest.approx(degrees, rel=1e-2)
    assert found.scale * np.sqrt((found.nu - 2) / found.nu) == pytest.approx(width, rel=1e-3)


def test_fit_student_t_of_too_little_or_nothing_moving():
    assert fit_student_t(np.ones(99)) == FALLBACK
    found = fit_student_t(np.zeros(500))
    assert np.isfinite(found).all()
    assert found.scale == pytest.approx(0.5)
