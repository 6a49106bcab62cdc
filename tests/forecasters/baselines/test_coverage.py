"""The gate: on data from its own model, a baseline's central 90 % interval covers 87 to 93 %."""

import dataclasses

import numpy as np
import pytest

from benchmarks.coverage_gate import GateResult, coverage_gate
from benchmarks.simulated_processes import own_returns
from s2squant.config.files import make_experiment
from s2squant.config.models import BASELINES, Forecasters
from s2squant.errors import ConfigError
from tests.forecasters.baselines.helpers import GARCH, garch_returns

SETTINGS = make_experiment(
    {"forecasters": {"extra": ["field"], "field": {"members": ["ewma_t", "garch_t", "gjr_t"]}}}
).forecasters


SECONDS = {
    "garch_t",
    "gjr_t",
    "garch_shrunk",
    "gjr_shrunk",
    "gjr_fhs",
    "har",
    "har_x",
    "har_rv",
    "har_cj",
    "garch_x",
    "ets",
    "arima",
    "gbm",
    "field",
}
"""Those whose gate takes longest."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SECONDS else n for n in BASELINES])
def test_interval_covers_what_it_says(name):
    found = coverage_gate(name, SETTINGS)
    print(name, found)
    assert found.passed
    assert 0.03 <= found.below_first <= 0.07
    assert 0.025 <= found.below_last <= 0.075


def test_what_the_gate_lets_through():
    good = GateResult("ewma_t", 20, 1600, 0.9, 0.9, 0.05, 0.05, 1.0)
    assert good.passed
    for change in ({"covered_first": 0.86}, {"covered_last": 0.94}):
        bad = dataclasses.replace(good, **change)
        assert not bad.passed
        assert bad.sentence.startswith("FAILED")


def test_the_gate_is_the_same_every_time():
    one, other = (coverage_gate("drift", Forecasters()) for _ in range(2))
    assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)
    assert one.origins == 1600


def test_a_network_has_no_model_of_its_own():
    with pytest.raises(ConfigError, match="seq2seq_pooled is no baseline"):
        coverage_gate("seq2seq_pooled", Forecasters())


def test_the_recursion_is_the_plain_loop():
    expected = garch_returns(np.random.default_rng(3), 4, 200, GARCH, 6.0)
    assert own_returns("garch_t", 4, 200, 3) == pytest.approx(expected, rel=1e-12)
