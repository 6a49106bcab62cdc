"""The tests beyond the headline: against other implementations, on planted truths, and where they must refuse."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.diagnostic import pesaran_timmermann
from statsmodels.tsa.stattools import diebold_mariano_test

from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.clark_west import adjusted_difference, one_sided
from s2squant.evaluation.statistics.false_discovery import benjamini_hochberg, benjamini_yekutieli
from s2squant.evaluation.statistics.giacomini_rossi import fluctuation, rolling_mean
from s2squant.evaluation.statistics.giacomini_white import detectable_distance, giacomini_white, zero_means
from s2squant.evaluation.statistics.pesaran_timmermann import direction, sign_covariance
from s2squant.evaluation.statistics.shrinkage import shrink


def test_the_headline_test_agrees_with_statsmodels_where_nothing_overlaps():
    rng = np.random.default_rng(0)
    for gap in (0.0, 0.05, 0.15):
        a, b = rng.gamma(4, 0.25, (2, 400))
        theirs = diebold_mariano_test(np.zeros(400), a + gap, b, horizon=1, criterion=lambda y, f: f)
        mean, se, nu = dm.ewc(a + gap - b, 1)
        ours = float(dm.p_value(mean / se, np.array(float(nu))))
        assert ours == pytest.approx(float(theirs.pvalue), abs=0.12)
        assert np.sign(mean) == np.sign(float(theirs.statistic))


def test_one_mean_is_tested_as_by_t():
    series = np.random.default_rng(1).normal(0.1, 1.0, 200)
    mean, se, nu = dm.ewc(series, 3)
    found = zero_means(series[:, None], 3)
    assert found.statistic == pytest.approx((mean / se) ** 2)
    assert found.p == pytest.approx(float(dm.p_value(np.array(mean / se), np.array(float(nu)))))
    assert detectable_distance(1, nu, 0.05) == pytest.approx(float(dm.detectable_factor(np.array(nu), 0.05)), rel=0.02)
    assert detectable_distance(3, nu, 0.05) > detectable_distance(1, nu, 0.05)


def test_giacomini_white_sees_what_averages_out():
    rng = np.random.default_rng(2)
    risk = np.exp(0.1 * np.cumsum(rng.standard_normal(400)))
    state = (risk - risk.mean()) / risk.std()
    series = 0.4 * np.clip(state, -3, 3) + rng.standard_normal(400)
    series -= series.mean()
    assert giacomini_white(series, risk, 1).p < 0.01
    assert giacomini_white(rng.standard_normal(400), risk, 1).p > 0.05


def test_giacomini_white_uses_no_difference_before_it_has_matured():
    rng = np.random.default_rng(3)
    series, overlap = rng.standard_normal(200), 4
    spread = np.ones(200)  # does not vary: left out
    found = giacomini_white(series, spread, overlap)
    now, old = series[overlap:], series[:-overlap]
    standard = np.clip((old - old.mean()) / old.std(), -3, 3)
    by_hand = zero_means(np.column_stack([now, now * standard]), overlap)
    assert found == by_hand


def test_a_gain_of_one_year_is_seen_in_its_year():
    rng = np.random.default_rng(4)
    series = 0.5 * rng.standard_normal(200)
    series[60:120] += 0.5
    found = fluctuation(series, 2, 0.3)
    assert found.p < 0.01
    assert 55 <= int(np.argmax(found.rolling)) <= 65
    assert np.abs(found.rolling).max() > found.band
    np.testing.assert_allclose(found.rolling[0], series[:60].mean())
    assert fluctuation(rng.standard_normal(200), 2, 0.3).p > 0.05
    assert fluctuation(series, 20, 0.3).reason == "windows of 60 cutoffs are too short"
    assert fluctuation(np.zeros(200), 2, 0.3).reason == "the two do not differ"
    np.testing.assert_allclose(rolling_mean(np.arange(5.0), 2), [0.5, 1.5, 2.5, 3.5])


def test_the_band_is_giacomini_and_rossis_for_long_samples():
    """Table 1 of the paper, two-sided 5 %: 3.012 for windows of 0.3 of the sample."""
    series = np.random.default_rng(5).standard_normal(2000)
    found = fluctuation(series, 1, 0.3)
    scale = float(dm.ewc(series, 1)[1]) * np.sqrt(2000 / 600)
    assert found.band / scale == pytest.approx(3.012, rel=0.05)


def test_clark_west_gives_back_what_estimation_costs():
    rng = np.random.default_rng(6)
    y, noise = rng.standard_normal((2, 4000))
    larger = 0.3 * noise
    assert (np.square(y) - np.square(y - larger)).mean() < -0.05
    gain = adjusted_difference(y, np.zeros(4000), larger)
    np.testing.assert_allclose(gain, 2 * y * larger)
    assert abs(gain.mean()) < 0.05
    assert one_sided(1.7, 50) == pytest.approx(stats.t.sf(1.7, 50))


def test_direction_agrees_with_pesaran_and_timmermann():
    rng = np.random.default_rng(7)
    y = rng.standard_normal(600) + 0.1
    for strength in (0.0, 0.1, 0.3):
        median = strength * y + rng.standard_normal(600)
        theirs = pesaran_timmermann(y, median)
        series = sign_covariance(y, median)
        mean, se, nu = dm.ewc(series, 1)
        assert mean / se == pytest.approx(float(theirs.statistic), abs=0.8)
        calls = direction(y, median)
        assert mean == pytest.approx(calls.accuracy - calls.expected)
        assert calls.up == pytest.approx((y > 0).mean())
        assert nu > 20


def test_no_call_is_no_direction():
    calls = direction(np.array([1.0, -1.0]), np.zeros(2))
    assert calls.calls == 0
    assert np.isnan(calls.accuracy)


def test_yekutieli_is_hochberg_times_the_harmonic_sum():
    p = np.array([0.001, 0.02, 0.03, 0.5, np.nan])
    harmonic = sum(1 / i for i in range(1, 6))
    np.testing.assert_allclose(benjamini_yekutieli(p), np.minimum(benjamini_hochberg(p) * harmonic, 1.0))
    assert benjamini_yekutieli(np.empty(0)).size == 0


def test_shrinkage_finds_the_spread_and_beats_raw_skill():
    rng = np.random.default_rng(8)
    truth = 0.02 + 0.01 * rng.standard_normal(300)
    se = rng.uniform(0.005, 0.03, 300)
    seen = truth + se * rng.standard_normal(300)
    found = shrink(seen, se, np.nan, np.nan)
    assert found.prior == pytest.approx(0.01, rel=0.3)
    assert np.square(found.mean - truth).mean() < 0.6 * np.square(seen - truth).mean()
    inside = np.abs(found.mean - truth) < 1.96 * found.deviation
    assert inside.mean() == pytest.approx(0.95, abs=0.04)
    assert (np.argsort(found.weight) == np.argsort(-se)).all()


def test_shrinkage_of_tickers_that_do_not_differ_is_the_mean():
    se = np.full(50, 0.02)
    seen = 0.01 + 0.5 * se * np.random.default_rng(9).standard_normal(50)
    found = shrink(seen, se, 0.01, 0.004)
    np.testing.assert_allclose(found.mean, 0.01)
    np.testing.assert_allclose(found.deviation, 0.004)
    odd = shrink(np.array([0.1, np.nan, -0.1]), np.array([0.01, np.nan, 0.01]), 0.0, 0.01)
    assert odd.mean[1] == 0.0
    assert odd.weight[1] == 0.0
    assert np.isnan(shrink(np.full(2, np.nan), np.full(2, np.nan), 0.0, 0.0).mean).all()
