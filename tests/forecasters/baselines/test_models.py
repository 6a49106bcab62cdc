"""Each baseline against what it should compute."""

import numpy as np
import pytest
from scipy import stats

from s2squant.config.baselines import EwmaTSpec, GarchTSpec, HistoricalSpec, RandomWalkSpec
from s2squant.forecasters.baselines import ewma, garch
from s2squant.forecasters.baselines.historical import HistoricalSimulation
from s2squant.forecasters.baselines.random_walk import RandomWalk
from s2squant.series.forecast import LEVELS
from tests.forecasters.baselines.helpers import BASELINES, EWMA, GARCH, GJR, fit_at_end, garch_returns, panel_of


def test_random_walk_is_closed_form():
    returns = 0.01 * np.random.default_rng(0).standard_normal(400)
    panel = panel_of(X=returns)
    found = fit_at_end(RandomWalk(RandomWalkSpec(window=100)), panel).predict(panel, np.array([40, 333]))
    for at, (first, bar) in enumerate(((0, 40), (233, 333))):
        scale = np.sqrt(np.mean(returns[first:bar] ** 2) * np.arange(1, 21))[:, None]
        assert found.quantiles_NHQ[at] == pytest.approx(stats.norm.ppf(LEVELS, scale=scale), rel=1e-9, abs=1e-12)


def test_historical_simulation_is_the_centred_window_at_one_step():
    returns = 0.02 + 0.01 * np.random.default_rng(0).standard_t(4, 900)
    panel = panel_of(X=returns)
    model = HistoricalSimulation(HistoricalSpec(window=512, paths=2048))
    found = fit_at_end(model, panel).predict(panel, np.array([880])).quantiles_NHQ[0]
    window = returns[880 - 512 : 880]
    expected = np.quantile(window - window.mean(), LEVELS, method="hazen")
    assert found[0] == pytest.approx(expected, abs=2e-4)
    rng = np.random.default_rng(1)
    sums = rng.choice(window - window.mean(), (200_000, 20)).sum(axis=1)
    assert found[-1] == pytest.approx(np.quantile(sums, LEVELS), abs=0.05 * sums.std())


def test_ewma_is_sigma_times_one_table():
    returns = garch_returns(np.random.default_rng(3), 1, 900, GARCH, 5.0)[0]
    panel = panel_of(X=returns)
    fitted = fit_at_end(ewma.EwmaT(EwmaTSpec(decay=0.9)), panel)
    variance = [np.mean(returns[:60] ** 2)]
    for r in returns[60:]:
        variance.append(0.9 * variance[-1] + 0.1 * r**2)
    bars = np.array([60, 61, 500, 900])
    quantiles = fitted.predict(panel, bars).quantiles_NHQ
    table = quantiles / np.sqrt(np.array(variance)[bars - 60])[:, None, None]
    assert table[1:] == pytest.approx(np.broadcast_to(table[0], table[1:].shape), rel=1e-9)
    _, nu, scale = fitted.learnt[0]
    expected = scale * np.sqrt((nu - 2) / nu) * stats.t.ppf(LEVELS, nu)
    assert table[0, 0] == pytest.approx(expected, abs=2e-3)


def test_ewma_finds_its_own_tails():
    returns = garch_returns(np.random.default_rng(6), 1, 4000, EWMA, 6.0)[0]
    _, nu, scale = fit_at_end(BASELINES["ewma_t"], panel_of(X=returns)).learnt[0]
    assert nu == pytest.approx(6, rel=0.25)
    assert scale == pytest.approx(1, rel=0.05)


def test_garch_finds_its_own_parameters():
    returns = garch_returns(np.random.default_rng(8), 1, 20_000, GJR, 6.0)[0]
    learnt = garch.estimate(returns, leverage=True)
    assert learnt.converged
    assert learnt.mean == pytest.approx(0, abs=0.02)
    assert learnt.nu == pytest.approx(6, rel=0.15)
    assert learnt.dynamics[1:] == pytest.approx(GJR[1:], abs=0.02)
    assert garch.estimate(returns, leverage=False, zero_mean=True).dynamics.gamma == 0


def test_garch_reads_only_its_window():
    returns = garch_returns(np.random.default_rng(9), 1, 900, GARCH, 6.0)[0]
    changed = returns.copy()
    changed[:500] *= 3
    model = garch.GarchT("garch_t", GarchTSpec(window=400), leverage=False)
    learnt = [fit_at_end(model, panel_of(X=r)).learnt for r in (returns, changed)]
    assert learnt[0] == pytest.approx(learnt[1], rel=1e-3, abs=1e-4)


def test_garch_falls_back_and_says_so(monkeypatch):
    class Stubborn:
        tried = 0

        def fit(self, **_):
            Stubborn.tried += 1
            raise ValueError("no")

    monkeypatch.setattr("arch.arch_model", lambda *_, **__: Stubborn())
    panel = panel_of(X=garch_returns(np.random.default_rng(2), 1, 800, GARCH, 6.0)[0])
    fitted = fit_at_end(BASELINES["gjr_t"], panel)
    assert Stubborn.tried == 4
    assert fitted.state().meta["fallback"] == ["X"]
    assert fitted.learnt[0, 3:] == pytest.approx(garch.FALLBACK)
    assert 4 < fitted.learnt[0, 2] < 10
    assert np.isfinite(fitted.predict(panel, np.array([799])).quantiles_NHQ).all()


def test_a_second_start_is_tried(monkeypatch):
    class Moody:
        starts = ()

        def __init__(self, *_, **__):
            pass

        def fit(self, *, starting_values, **_):
            Moody.starts += (starting_values,)
            self.convergence_flag = 9 if starting_values is None else 0
            self.params = np.array([0.01, 0.03, 0.07, 0.9, 7.0])
            return self

    monkeypatch.setattr("arch.arch_model", Moody)
    learnt = garch.estimate(np.random.default_rng(0).standard_normal(300), leverage=False)
    assert len(Moody.starts) == 2
    assert learnt.converged
    assert (learnt.mean, learnt.nu, learnt.dynamics) == (0.01, 7.0, (0.03, 0.07, 0.0, 0.9))


def test_a_drift_moves_garch_and_nothing_else():
    returns = garch_returns(np.random.default_rng(12), 1, 4000, GARCH, 6.0)[0]
    panel = panel_of(X=returns + 0.1 * returns.std())
    with_drift, without = (
        fit_at_end(garch.GarchT("garch_t", GarchTSpec(mean=m), leverage=False), panel) for m in ("constant", "zero")
    )
    rows = np.array([3000, 3999])
    moved, still = with_drift.predict(panel, rows), without.predict(panel, rows)
    assert (still.mean_NH == 0).all()
    sample_mean = (returns + 0.1 * returns.std())[-GarchTSpec().window :].mean()
    assert moved.mean_NH[:, -1] == pytest.approx(20 * sample_mean, rel=0.3)
    medians = moved.quantiles_NHQ[..., 19] - moved.mean_NH
    assert medians == pytest.approx(0 * medians, abs=1e-5)
