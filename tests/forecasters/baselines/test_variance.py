"""The recursion, forwards through data and forwards through simulation, against other ways to get the same."""

import numpy as np
import pytest
from arch import arch_model
from scipy import stats

from s2squant.forecasters.baselines.student import student_shocks
from s2squant.forecasters.baselines.variance import CEILING, SEED_BARS, filtered, simulated_quantiles, simulated_sums
from s2squant.series.tails import ALL_LEVELS
from tests.forecasters.baselines.helpers import EWMA, GARCH, GJR, garch_returns

DYNAMICS = {"garch": GARCH, "gjr": GJR, "ewma": EWMA}


@pytest.mark.parametrize("which", DYNAMICS)
def test_filter_is_the_plain_loop(which):
    omega, alpha, gamma, beta = dynamics = DYNAMICS[which]
    returns = garch_returns(np.random.default_rng(0), 1, 400, dynamics, 5.0, scale=1.0)[0]
    expected = [np.mean(returns[:b] ** 2) for b in range(1, SEED_BARS + 1)]
    for r in returns[SEED_BARS:]:
        expected.append(omega + (alpha + gamma * (r < 0)) * r**2 + beta * expected[-1])
    found = filtered(returns, dynamics)
    assert np.isnan(found[0])
    assert found[1:] == pytest.approx(np.array(expected), rel=1e-10)


@pytest.mark.parametrize("which", ["garch", "gjr"])
def test_filter_is_that_of_arch_after_a_burn_in(which):
    omega, alpha, gamma, beta = dynamics = DYNAMICS[which]
    returns = garch_returns(np.random.default_rng(1), 1, 1500, dynamics, 6.0, scale=1.0)[0]
    model = arch_model(returns, mean="Zero", vol="GARCH", p=1, o=int(which == "gjr"), q=1, dist="t", rescale=False)
    parameters = [omega, alpha, *([gamma] if which == "gjr" else []), beta, 6.0]
    theirs = np.asarray(model.fix(parameters).conditional_volatility)
    assert np.sqrt(filtered(returns, dynamics)[500:-1]) == pytest.approx(theirs[500:], rel=1e-8)


@pytest.mark.parametrize("which", DYNAMICS)
def test_simulated_variance_is_the_analytic_forecast(which):
    """E v[h] = long + persistence^(h-1) (v[1] - long), summed over steps, as shocks are independent with mean zero."""
    omega, alpha, gamma, beta = dynamics = DYNAMICS[which]
    persistence = alpha + gamma / 2 + beta
    first = np.array([0.3, 1.0, 4.0])
    moved, steps = first.copy(), [first]
    for _ in range(19):
        moved = omega + persistence * moved
        steps.append(moved)
    expected = np.cumsum(steps, axis=0)
    found = []
    for seed in range(8):
        shocks = student_shocks(2048, 20, 8.0, seed)
        found.append([np.square(sums).mean(axis=1) for sums in simulated_sums(first, dynamics, shocks)])
    error = np.std(found, axis=0) / np.sqrt(8)
    assert np.mean(found, axis=0)[0] == pytest.approx(expected[0], rel=1e-5)
    assert (np.abs(np.mean(found, axis=0) - expected) < 4 * error + 1e-4).all()
    assert np.mean(found, axis=0) == pytest.approx(expected, rel=0.03)


def test_simulated_quantiles_without_feedback_are_normal_sums():
    steps = np.sqrt(np.arange(1, 21))[:, None]
    shocks = student_shocks(4096, 20, 200.0, seed=0)
    dynamics = GARCH._replace(omega=1.0, alpha=0.0, beta=0.0)
    found = simulated_quantiles(np.ones(1), dynamics, shocks)[0] / steps
    assert found == pytest.approx(np.broadcast_to(stats.norm.ppf(ALL_LEVELS), found.shape), abs=0.06)
    assert (found == -found[:, ::-1]).all()


def test_simulation_does_not_depend_on_chunks():
    variance = np.exp(np.random.default_rng(0).standard_normal(101))
    shocks = student_shocks(256, 10, 5.0, seed=0)
    together = simulated_quantiles(variance, GJR, shocks)
    for at in (0, 31, 32, 33, 100):
        assert (simulated_quantiles(variance[at : at + 1], GJR, shocks)[0] == together[at]).all()


def test_an_explosive_recursion_stays_finite():
    dynamics = GARCH._replace(alpha=1.0, beta=0.9)
    shocks = student_shocks(128, 250, 2.05, seed=0)
    assert np.isfinite(simulated_quantiles(np.array([1e-8, 1.0, 10 * CEILING]), dynamics, shocks)).all()
