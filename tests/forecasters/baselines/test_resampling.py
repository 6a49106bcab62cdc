"""Block bootstrap, filtered historical simulation, HAR, boosting and the field."""

import dataclasses

import numpy as np
import pytest

from benchmarks.simulated_processes import har_returns
from s2squant.config.baselines import BlockBootstrapSpec, GarchTSpec, GbmSpec, HarSpec
from s2squant.forecasters.baselines import fhs, gbm, har, ranges
from s2squant.forecasters.baselines.block_bootstrap import BlockBootstrap, block_draws
from s2squant.forecasters.baselines.field import Field, average
from s2squant.forecasters.baselines.gbm import Gbm, interpolated, node_steps
from s2squant.forecasters.baselines.har import Har
from s2squant.series.forecast import LEVELS
from s2squant.series.panel import Panel
from tests.forecasters.baselines.helpers import (
    BASELINES,
    EWMA,
    GJR,
    fit_at_end,
    garch_returns,
    history,
    panel_of,
    with_ranges,
)


def test_blocks_run_forward_and_have_the_mean_length_asked_for():
    spec = BlockBootstrapSpec(window=100, block=8, paths=4096)
    draws = block_draws(spec, 30, seed=0)
    assert draws.shape == (30, 4096)
    follows = (draws[:-1] - 1) % 100 == draws[1:]
    assert follows.mean() == pytest.approx(1 - 1 / 8 + 1 / 800, abs=0.005)
    assert np.bincount(draws.ravel(), minlength=100) / draws.size == pytest.approx(0.01, rel=0.1)


def test_blocks_of_one_bar_are_historical_simulation():
    panel = panel_of(X=garch_returns(np.random.default_rng(0), 1, 700, GJR, 6.0)[0])
    single = fit_at_end(BlockBootstrap(BlockBootstrapSpec(block=1)), panel).predict(panel, np.array([650]))
    other = fit_at_end(BASELINES["historical_simulation"], panel).predict(panel, np.array([650]))
    spread = other.quantiles_NHQ[..., -1] - other.quantiles_NHQ[..., 0]
    assert np.abs(single.quantiles_NHQ - other.quantiles_NHQ).max(axis=-1) / spread == pytest.approx(0, abs=0.06)


def test_blocks_keep_what_returns_do_in_a_row():
    """Alternating returns cancel within a block and do not when drawn one by one."""
    panel = panel_of(X=0.01 * (-1.0) ** np.arange(600) + 1e-4 * np.random.default_rng(0).standard_normal(600))
    width = [
        np.ptp(fit_at_end(BlockBootstrap(BlockBootstrapSpec(block=b)), panel).predict(panel, np.array([600]))
               .quantiles_NHQ[0, -1])
        for b in (1, 50)
    ]  # fmt: skip
    assert width[1] < 0.5 * width[0]


def test_filtered_simulation_keeps_the_skew_of_the_residuals():
    rng = np.random.default_rng(1)
    returns = garch_returns(rng, 1, 2500, GJR, 6.0)[0]
    panel = panel_of(X=np.where(returns < 0, 1.8 * returns, returns) + 0.003)
    models = (fhs.GjrFhs(GarchTSpec()), BASELINES["gjr_t"])
    rows = np.array([2450])
    skewed, plain = (fit_at_end(m, panel).predict(panel, rows).quantiles_NHQ[0, 0] for m in models)

    def tilt(q):
        return (q[0] + q[-1] - 2 * q[19]) / (q[-1] - q[0])

    assert tilt(skewed) < tilt(plain) - 0.03


def test_kept_residuals_are_the_sample():
    rng = np.random.default_rng(2)
    z = rng.standard_t(5, 3000)
    kept = fhs.spaced(np.sort(z))
    assert kept.mean() == pytest.approx(0, abs=1e-12)
    assert np.quantile(kept, LEVELS) == pytest.approx(np.quantile(z - z.mean(), LEVELS), abs=0.02)


def test_range_volatility_is_garman_klass_and_the_gap():
    h = history("X", [0.01, -0.02])
    bars = {"open": [50, 51, 50], "high": [51, 52, 51], "low": [49, 50, np.nan], "close": [50, 50.5, 49.5]}
    found = ranges.range_volatility(dataclasses.replace(h, bars={k: np.array(v, float) for k, v in bars.items()}))
    inside = np.log(50.5 / 51)
    expected = (0.01 - inside) ** 2 + 0.5 * np.log(52 / 50) ** 2 - (2 * np.log(2) - 1) * inside**2
    assert found[0] == pytest.approx(np.sqrt(expected))
    assert np.isnan(found[1])
    assert not ranges.has_ranges(h)
    assert ranges.volatility(h, ranges=False) == pytest.approx(np.sqrt(np.pi / 2) * np.array([0.01, 0.02]))


def test_har_finds_its_own_model():
    returns = 0.01 * har_returns(np.random.default_rng(3), (1, 12_000))[0]
    fitted = fit_at_end(Har(HarSpec(window=12_000)), panel_of(X=returns))
    unit, _, reads_ranges, *weights = fitted.learnt[0]
    assert not reads_ranges
    assert sum(weights[1:4]) == pytest.approx(0.95, abs=0.08)
    assert weights[2] == pytest.approx(0.35, abs=0.15)
    assert unit == pytest.approx(np.sqrt(np.mean(returns**2)))


@pytest.mark.slow
def test_ranges_tell_more_than_returns():
    measured, plain = with_ranges(np.random.default_rng(4), 1800)
    losses = []
    for h in (measured, plain):
        panel = Panel((h,))
        past = panel.until(h.dates[1000])
        rows = np.arange(1001, 1790)
        q = fit_at_end(BASELINES["har"], past).predict(panel, rows).quantiles_NHQ[:, 0]
        error = panel.targets(rows, 1) - q
        losses.append(np.maximum(LEVELS * error, (LEVELS - 1) * error).mean())
    assert losses[0] < 0.995 * losses[1]


def test_har_simulates_what_its_recursion_says():
    """One path, by a plain loop over a list of volatilities."""
    rng = np.random.default_rng(5)
    past, shocks = rng.random(22), np.stack([rng.random((30, 1)), rng.standard_normal((30, 1))], axis=2)
    weights = har.Coefficients(0.1, 0.2, 0.3, 0.3, 0.1)
    more = 0.1 * rng.random((1, 30))  # what covariates add, from the second step on
    known, total, expected, level = list(past[::-1]), 0.0, [], 0.7
    for (e, z), added in zip(shocks[:, 0], [*more[0, 1:], 0.0], strict=True):
        move = level * z
        total += move
        expected.append(total)
        known.append(level * e)
        week, month = np.mean(known[-5:]), np.mean(known[-22:])
        level = 0.1 + 0.2 * known[-1] + 0.3 * week + 0.3 * month + 0.1 * max(-move, 0) + added
    sums = har.simulated_sums(np.array([0.7]), past[None], np.array([22]), weights, shocks, more)
    assert [float(x[0, 0]) for x in sums] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_nodes_that_say_nothing_leave_the_unconditional_quantiles():
    shape = np.sort(np.random.default_rng(6).standard_normal((20, 39)), axis=1)
    steps, levels = np.array(node_steps(20, 4)), np.array([0.1, 0.5, 0.9])
    nodes = np.stack([np.interp(levels, LEVELS, shape[s - 1]) for s in steps])[None]
    assert interpolated(nodes, steps, levels, shape)[0] == pytest.approx(shape, abs=1e-9)
    wider = interpolated(2 * nodes, steps, levels, shape)[0]
    assert wider[steps - 1] == pytest.approx(2 * shape[steps - 1], abs=0.6)
    crossed = interpolated(nodes[:, :, ::-1], steps, levels, shape)
    assert (np.diff(crossed, axis=2) >= 0).all()
    assert node_steps(20, 4) == (1, 3, 7, 20)
    assert node_steps(1, 4) == (1,)


def test_boosting_learns_a_planted_volatility():
    """Returns are three times as wide after a fall of the last bar; an EWMA does not see that."""
    rng = np.random.default_rng(7)
    returns = rng.standard_normal(3000)
    for t in range(1, 3000):
        returns[t] *= 3 if returns[t - 1] < 0 else 1
    panel = panel_of(X=0.01 * returns)
    spec = GbmSpec(nodes=2, levels=(0.1, 0.5, 0.9), trees=60, rate=0.1)
    rows = np.arange(2500, 2990)
    quantiles = Gbm(spec).fit(panel.until(panel.dates[2500]), np.array([2000]), horizon=2, seed=0)
    width = np.ptp(quantiles.predict(panel, rows).quantiles_NHQ[:, 0], axis=1)
    fell = returns[rows - 1] < 0
    assert np.median(width[fell]) > 1.6 * np.median(width[~fell])
    assert quantiles.name == gbm.NAME


def test_the_field_is_the_average():
    panel = panel_of(X=garch_returns(np.random.default_rng(8), 1, 700, EWMA, 6.0)[0])
    members = {name: BASELINES[name] for name in ("random_walk", "ewma_t", "drift")}
    rows = np.array([400, 650])
    forecasts = [fit_at_end(m, panel).predict(panel, rows) for m in members.values()]
    found = fit_at_end(Field(members), panel).predict(panel, rows)
    expected = np.mean([f.quantiles_NHQ for f in forecasts], axis=0)
    assert found.quantiles_NHQ == pytest.approx(expected, rel=1e-12)
    assert found.mean_NH == pytest.approx(np.mean([f.mean_NH for f in forecasts], axis=0))
    assert (average(forecasts).quantiles_NHQ == found.quantiles_NHQ).all()
    other = fit_at_end(members["drift"], panel).predict(panel, rows[:1])
    with pytest.raises(ValueError, match="different origins"):
        average([forecasts[0], other])
