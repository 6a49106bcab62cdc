"""Two waves: least squares solves them exactly, and (slowly) a better network is found than the textbook's."""

import numpy as np
import pytest
import torch

from s2squant.experiments import waves
from s2squant.experiments.result import experiment_page
from s2squant.experiments.waves_result import waves_result
from s2squant.report.experiment_page import render_experiment


def test_least_squares_solves_noiseless_waves_exactly():
    signal = waves.signals(400, torch.Generator().manual_seed(0)).numpy()
    said = waves.least_squares(signal[:, :15], 15)
    assert np.median(np.abs(said - signal[:, 15:])) < 1e-12
    assert np.max(np.abs(said - signal[:, 15:])) < 1e-6


def test_least_squares_is_no_miracle():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 30))
    said = waves.least_squares(noise[:, :15], 15)
    assert np.mean((said - noise[:, 15:])[:, 0] ** 2) > 1.0, "noise has nothing to be forecast"


def test_signals_are_the_literatures():
    signal = waves.signals(20_000, torch.Generator().manual_seed(1))
    assert signal.shape == (20_000, 30)
    squares = (1.1**3 - 0.1**3) / 3 + 1.2**2 / 3
    assert float(signal.var()) == pytest.approx(squares / 2, rel=0.05)
    assert float(signal.abs().max()) <= 2.3


def test_test_signals_are_drawn_apart_from_training():
    training = waves.signals(16, torch.Generator().manual_seed(0))
    assert not torch.isin(training, waves.test_signals(0)).any()
    assert not torch.equal(waves.test_signals(0), waves.test_signals(1))


def test_scaling_is_undone():
    recipe = waves._direct(4, 4, scaled=True)
    net, _ = waves.train(recipe, steps=1, seed=0)
    past = waves.test_signals(0)[:7, :15]
    said = waves.forecast(net, past, scaled=True)
    assert np.allclose(waves.forecast(net, 3 * past, scaled=True), 3 * said, rtol=1e-5, atol=1e-6)


def test_the_textbook_is_the_issues():
    recipe = waves._textbook("teacher")
    assert recipe.spec.training.regime == "teacher"
    assert (recipe.lr, recipe.batch, recipe.spec.training.weight_decay) == (0.04, 10, 0.003)
    assert (recipe.spec.encoder.cell, recipe.spec.encoder.hidden, recipe.spec.encoder.layers) == ("gru", 12, 2)
    jobs = waves.make_jobs(quick=False, seed=0)
    assert {job.steps for job in jobs if job.member.name == "Textbook"} == {100}


def test_a_network_fed_the_truth_reads_no_later_value():
    """Step h depends on the true values before it, and on none from it on."""
    net, _ = waves.train(waves._textbook("teacher"), steps=1, seed=0)
    signal = waves.test_signals(0)[:5]
    moved = signal.clone()
    moved[:, 15 + 6 :] += 1.0
    one, other = waves.forecast_fed(net, signal), waves.forecast_fed(net, moved)
    assert np.array_equal(one[:, :7], other[:, :7])
    assert not np.allclose(one[:, 7], other[:, 7])


def test_a_page_is_made_of_few_steps(monkeypatch):
    monkeypatch.setattr(waves, "TESTED", 100)
    jobs = [waves.Job(j.member, j.recipe, 2, j.seed, 0) for j in waves.make_jobs(quick=True, seed=0)]
    outcomes = [waves.carry_out(job) for job in jobs]
    signal = waves.test_signals(0).numpy()
    simple = {
        "Last value": np.repeat(signal[:, 14:15], 15, axis=1),
        "Zero": np.zeros((len(signal), 15)),
        "AR(4), least squares": waves.least_squares(signal[:, :15], 15),
    }
    fed = {"Last value": signal[:, 14:-1], "AR(4), least squares": waves.least_squares_fed(signal, 15)}
    assert np.mean((fed["AR(4), least squares"] - signal[:, 15:]) ** 2) < 1e-12
    result = waves_result(outcomes, simple, fed, simple["Zero"], signal)
    assert set(result.figures["mse_fed_the_truth"]) >= {"Last value", "Textbook", "Textbook, trained free-running"}
    assert "Direct" not in result.figures["mse_fed_the_truth"]
    assert len(next(s for s in result.sections if "moving" in s.heading).lines) == 5
    assert len(next(s for s in result.sections if "signals" in s.heading).lines) == 5
    assert result.figures["mse"]["AR(4), least squares"] < 1e-12
    assert dict(render_experiment(experiment_page(result, command="", facts={})))["index.html"]


@pytest.mark.slow
def test_a_better_configuration_is_found():
    result = waves.run(lambda what, share: None)
    assert all(result.figures["goals_met"].values())
    errors = result.figures["mse"]
    assert errors[result.figures["best_network"]] < 0.5 * errors["Textbook"]
    fed = result.figures["mse_fed_the_truth"]
    assert fed["Textbook"] < 0.06 < 0.5 < errors["Textbook"], (
        "the recipe as written: .031 fed the truth, .72 on its own"
    )
