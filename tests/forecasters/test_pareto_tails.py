"""Pareto tails against laws whose quantiles are known."""

import numpy as np
import pytest
from scipy.stats import genpareto, norm, t

from s2squant.forecasters.pareto_tails import EVERYTHING, FEWEST, pareto_beyond, pareto_tails, shrunk_shape
from s2squant.series.tails import LEVELS, TAIL_LEVELS, exponential_tails

NAMES = (EVERYTHING, "crypto", "stocks")


def tails(sample_N, classes=None, names=(EVERYTHING,)):
    table = np.quantile(sample_N, LEVELS)[None]
    own = np.full(len(sample_N), "stocks", dtype=object) if classes is None else classes
    return pareto_tails(sample_N[:, None], table, own, names)[:, 0], table[0]


@pytest.mark.parametrize("law", [norm(), t(4), t(8)])
def test_the_tails_of_many_draws_are_those_of_the_law(law):
    sample = law.rvs(40_000, random_state=np.random.default_rng(1))
    found, table = tails(sample)
    assert found[0] == pytest.approx(law.ppf(TAIL_LEVELS), rel=0.06)
    assert found[0, 1] < table[0]
    assert found[0, 2] > table[-1]


def test_the_fit_has_less_error_than_the_sample_quantiles():
    law, rng = t(5), np.random.default_rng(3)
    fitted, empirical = [], []
    for _ in range(200):
        sample = law.rvs(1000, random_state=rng)
        fitted.append(tails(sample)[0][0])
        empirical.append(np.quantile(sample, TAIL_LEVELS))
    errors = [np.sqrt(np.mean((np.array(x) - law.ppf(TAIL_LEVELS)) ** 2, axis=0)) for x in (fitted, empirical)]
    assert (errors[0] < errors[1]).all()


def test_the_shape_is_scipys_and_few_excesses_are_shrunk():
    many = genpareto(0.25).rvs(20_000, random_state=np.random.default_rng(0))
    assert shrunk_shape(many, 1, 0.1) == pytest.approx(genpareto.fit(many, floc=0)[0], abs=0.03)
    assert shrunk_shape(many[:30], 20, 0.1) == pytest.approx(0.1, abs=0.02)


def test_classes_have_their_own_tails_and_a_class_of_few_those_of_all():
    rng = np.random.default_rng(4)
    wild, calm = t(3).rvs(20_000, random_state=rng) / np.sqrt(3), norm().rvs(20_000, random_state=rng)
    classes = np.array(["crypto"] * 20_000 + ["stocks"] * 20_000, dtype=object)
    (everything, crypto, stocks), _ = tails(np.concatenate([wild, calm]), classes, NAMES)
    assert crypto[0] < everything[0] < stocks[0] < 0
    assert crypto[-1] > everything[-1] > stocks[-1] > 0
    few = np.array(["crypto"] * (FEWEST - 1) + ["stocks"] * 2000, dtype=object)
    sample = np.concatenate([np.full(FEWEST - 1, 0.0), calm[:2000]])
    (everything, crypto, _), _ = tails(sample, few, NAMES)
    np.testing.assert_array_equal(crypto, everything)
    still, table = tails(np.zeros(100))
    np.testing.assert_array_equal(still[0], exponential_tails(table))


def test_a_pareto_law_goes_on_beyond_its_own_quantiles():
    shape, scale = 0.2, 1.5
    beyond = lambda p: scale / shape * ((p / 0.05) ** -shape - 1)  # noqa: E731
    levels = np.concatenate([[-beyond(p) for p in (0.025, 0.05)], np.linspace(0, 1, 35), [beyond(0.05), beyond(0.025)]])
    wanted = [-beyond(0.005), -beyond(0.01), beyond(0.01), beyond(0.005)]
    assert pareto_beyond(levels, shape) == pytest.approx(wanted)
    assert pareto_beyond(levels, 0.0) == pytest.approx(exponential_tails(levels))
