"""Expected shortfall against closed forms; sizes of its tests; losses by hand and by their minimum."""

import numpy as np
import pytest
from scipy.stats import norm, t
from sklearn.metrics import mean_pinball_loss

from s2squant.evaluation.statistics.expected_shortfall import (
    GRID,
    fissler_ziegel,
    shortfall,
    shortfall_tests,
    tail_draws,
    tick,
)


def normal_es(level):
    return -norm.pdf(norm.ppf(level)) / level


@pytest.mark.parametrize("level", GRID)
def test_the_shortfall_of_a_normal_and_a_student_law(level):
    assert shortfall(norm.ppf(GRID)[None], level)[0] == pytest.approx(normal_es(level), rel=0.03)
    nu, q = 5, t(5).ppf(level)
    exact = -t(nu).pdf(q) / level * (nu + q**2) / (nu - 1)
    assert shortfall(t(nu).ppf(GRID)[None], level)[0] == pytest.approx(exact, rel=0.06)


def test_the_shortfall_is_the_mean_of_the_draws_below_the_level():
    tail = t(4).ppf(GRID)[None]
    u = (np.arange(200_000) + 0.5) / 200_000 * 0.05
    assert tail_draws(tail, np.zeros(len(u), int), u).mean() == pytest.approx(shortfall(tail, 0.05)[0], rel=1e-3)


@pytest.mark.parametrize("level", [0.01, 0.025, 0.05])
def test_a_right_forecast_is_refused_as_often_as_promised_and_a_thin_tail_is_found(level):
    rng = np.random.default_rng(5)
    scale = np.exp(0.3 * rng.normal(size=250))[:, None]
    tail = scale * norm.ppf(GRID)
    right, thin = [], []
    for _ in range(150):
        y = scale[:, 0] * norm.ppf(rng.random(250))
        right.append(shortfall_tests(y, tail, level))
        thin.append(shortfall_tests(y * 1.6, tail, level))
    assert (np.nanmean(np.array(right) < 0.05, axis=0) < 0.1).all()
    assert np.nanmean(np.array(thin)[:, 1] < 0.05) > 0.6


@pytest.mark.parametrize("law", [norm, t(100), t(10)])
def test_the_critical_value_of_acerbi_and_szekely_is_theirs(law):
    """Their Z2 at 2.5 % of 250 days: -0.7 at 5 % for normal and moderately heavy tails (2014, table of thresholds)."""
    tail = np.tile(law.ppf(GRID), (250, 1))
    es = shortfall(tail[:1], 0.025)[0]
    y = np.zeros(250)
    for z2, low, high in ((-0.66, 0.05, 0.07), (-0.76, 0.03, 0.05)):
        y[:7] = es * (1 - z2) * 250 * 0.025 / 7  # seven equal losses whose mean over all days is the statistic
        assert low < shortfall_tests(y, tail, 0.025).acerbi_szekely / 2 < high


def test_tick_loss_is_the_pinball_loss_of_sklearn():
    rng = np.random.default_rng(3)
    y, var = rng.normal(size=300), rng.normal(-1.6, 0.2, 300)
    assert tick(y, var, 0.05).mean() == pytest.approx(mean_pinball_loss(y, var, alpha=0.05))


def test_losses_by_hand_and_least_where_they_should_be():
    assert tick(np.array([-3.0, 1.0]), np.array([-2.0, -2.0]), 0.05) == pytest.approx([0.95, 0.15])
    found = fissler_ziegel(np.array([-3.0, 1.0]), np.array([-2.0, -2.0]), np.array([-2.5, -2.5]), 0.05)
    tail = 2 / 2.5 + np.log(2.5) - 1
    assert found == pytest.approx([1 / (0.05 * 2.5) + tail, tail])
    assert np.isnan(fissler_ziegel(np.zeros(1), np.zeros(1), np.ones(1), 0.05)).all()
    y = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    var, es = norm.ppf(0.025), normal_es(0.025)

    def mean(v, e):
        return fissler_ziegel(y, np.full(len(y), v), np.full(len(y), e), 0.025).mean()

    assert mean(var, es) < min(mean(var * 1.1, es), mean(var * 0.9, es), mean(var, es * 1.1), mean(var, es * 0.9))
