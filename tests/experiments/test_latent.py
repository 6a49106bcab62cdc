"""The relatives on returns: faults are planted as said, found in a planted market, and (slowly) on the sample."""

import numpy as np
import pytest

from s2squant.config.networks import EncoderSpec
from s2squant.config.relatives import AutoencoderSpec
from s2squant.experiments import latent
from s2squant.experiments.latent_energy import energies, energy_table
from s2squant.experiments.latent_result import FAULTS
from s2squant.experiments.result import experiment_page
from s2squant.forecasters.scenarios import fit_watch
from s2squant.report.experiment_page import render_experiment
from tests.worlds.synthetic import garch_panel, garch_returns, history


def split():
    return latent.make_split([history(garch_returns(1500, seed), f"T{seed}") for seed in range(3)])


def test_faults_are_planted_as_said():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(50, latent.LENGTH))
    louder = latent.plant(clean, "volatility x 3", rng)
    assert np.allclose(louder, 3 * clean)
    stuck = latent.plant(clean, "stuck price", rng)
    assert ((stuck == 0).sum(axis=1) == latent.STUCK).all()
    assert np.allclose(stuck.sum(axis=1), clean.sum(axis=1)), "the price catches up"
    jumped = latent.plant(clean, "level jump", rng) - clean
    assert np.allclose(np.sort(np.abs(jumped), axis=1)[:, -2:], [0.0, latent.JUMP])
    assert {-1.0, 1.0} == set(np.sign(jumped[jumped != 0]))


def test_planted_faults_are_found_in_a_planted_market():
    parts = split()
    watch = fit_watch(parts.train, AutoencoderSpec(encoder=EncoderSpec(reads="window", hidden=16), steps=40), seed=0)
    rng = np.random.default_rng(0)
    planted = {fault: latent.plant(parts.test.returns_NL, fault, rng) for fault in FAULTS}
    areas = latent.areas(watch.score, parts.test.returns_NL, planted)
    assert min(areas.values()) >= 0.9, areas
    same = latent.areas(watch.score, parts.test.returns_NL, dict.fromkeys(FAULTS, parts.test.returns_NL))
    assert set(same.values()) == {0.5}, "windows without a fault are told from themselves by chance only"


def test_training_sees_no_bar_of_a_test_window():
    whole = split()
    for panel in whole.panels:
        bars = len(panel.log_price)
        train = latent._windows(panel, 0.0, latent.TRAINED, every=5).rows_N
        test = latent._windows(panel, latent.TRAINED, 1.0, every=20).rows_N
        assert train.max() + latent.LENGTH <= latent.TRAINED * bars <= test.min() + 1


def test_clusters_are_seen_where_they_are():
    rng = np.random.default_rng(0)
    independent = latent.clustering(rng.normal(size=(4000, 40)))
    assert abs(independent.common[0]) < 0.02
    assert independent.own[0] == pytest.approx(-1 / 40, abs=0.01)
    level = np.repeat(np.exp(rng.normal(size=(4000, 8))), 5, axis=1)
    clustered = latent.clustering(level * rng.normal(size=(4000, 40)))
    assert min(clustered.common[0], clustered.own[0]) > 0.1


@pytest.mark.slow
def test_the_goals_are_met_on_the_sample():
    result = latent.run(lambda what, share: None)
    assert all(result.figures["goals_met"].values())
    assert dict(render_experiment(experiment_page(result, command="", facts={})))["index.html"]


def test_scenarios_stand_beside_the_rival_on_the_same_dates():
    panel = garch_panel("AB", 700)
    scores = energies(panel.histories, trained=0.6, warm=60, steps=3, seed=0, least=64)
    counts = scores.groupby("model", observed=True)["cutoff"].agg(["size", "nunique"])
    assert counts.index.tolist() == ["gjr_fhs", "historical_simulation", "scenarios"]
    assert (counts["nunique"] == 14).all()
    assert (counts["size"] == 28).all()
    table = energy_table(scores).set_index("model")
    whole = scores.pivot_table(index=["unique_id", "cutoff"], columns="model", values="energy", observed=True)
    scale = whole["historical_simulation"].groupby("unique_id").mean()
    gain = ((whole["historical_simulation"] - whole["scenarios"]).groupby("unique_id").mean() / scale).mean()
    assert table.loc["scenarios", "gain"] == pytest.approx(gain)
    assert table.loc["gjr_fhs", "gain_on_rival"] == 0
    rival = table.loc["gjr_fhs", "gain"]
    assert table.loc["scenarios", "gain_on_rival"] == pytest.approx(gain - rival)
