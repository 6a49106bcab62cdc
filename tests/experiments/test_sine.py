"""The noisy sine: its bounds hold, its scores are fair, and (slowly) its goals are met."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from s2squant.experiments import sine
from s2squant.experiments.result import experiment_page
from s2squant.experiments.sine_result import FLOOR
from s2squant.report.experiment_page import render_experiment


def test_the_signal_and_its_batches_are_the_issues():
    assert torch.allclose(sine.CLEAN, 2 * torch.sin(torch.linspace(0, 30, 105, dtype=torch.float64)))
    draw = torch.Generator().manual_seed(0)
    batches = [sine.batch(0, draw) for _ in range(300)]
    past = torch.stack([b[0] for b in batches])
    assert past.shape == (300, 16, 15, 1)
    assert batches[0][1].shape == (20, 16, 1)
    assert float(past.var()) == pytest.approx(2 + 1, abs=0.1), "2 sin x has variance two, the noise one"


def test_windows_of_the_score_reach_past_the_seen_points():
    starts = sine.places(1)
    assert starts["unseen"].tolist() == list(range(51, 71))
    assert starts["literature"].tolist() == [70] * 10
    assert int(starts["seen"].max()) + 35 == sine.SEEN


def test_nothing_beats_the_posterior_mean_and_it_attains_the_bound():
    known = sine.bounds(draws=200)
    assert known.cramer_rao_average == pytest.approx(1 / 15)
    assert known.cramer_rao["unseen"] == pytest.approx(0.0687, abs=0.0005)
    assert known.posterior["unseen"] == pytest.approx(known.cramer_rao["unseen"], rel=0.12)
    assert known.posterior["unseen"] < 0.1 < known.zero["unseen"] < known.last_value["unseen"]
    assert known.posterior["literature, clean inputs"] < 0.005


def test_the_cramer_rao_bound_is_that_of_the_phases_derivative():
    """The error of the forecast from a slightly wrong phase, over the information on the phase."""
    x, shift = sine.X[60:95], 1e-6
    slope = (2 * torch.sin(x + shift) - 2 * torch.sin(x)) / shift
    by_hand = float((slope[15:] ** 2).mean() / (slope[:15] ** 2).sum())
    assert sine._cramer_rao(60) == pytest.approx(by_hand, rel=1e-4)


def test_the_score_of_the_clean_signal_is_nothing():
    def oracle(past):
        count = len(past)
        starts = next(s for s in sine.places(3).values() if len(s) == count) if count > 1 else torch.tensor([70])
        return sine._windows(starts)[:, 15:]

    scored = sine.score(oracle, 3)
    assert max(scored.errors.values()) == 0.0


def test_a_member_is_the_same_again_and_learns():
    job = next(j for j in sine.make_jobs(sine.Budget(1, 25, 25, 2), 0) if j.member.name == "Direct")
    first, again = sine.carry_out(job), sine.carry_out(job)
    assert first.losses == again.losses
    assert np.array_equal(first.scored.said_NH, again.scored.said_NH)
    assert np.mean(first.losses[-5:]) < np.mean(first.losses[:5])


def test_members_share_budget_and_differ_in_one_choice_a_rung():
    rungs = [(m, s, f) for m, s, f in sine.members() if m.group == "ladder"]
    assert rungs[0][1].decoder.layers == 2
    assert rungs[0][1].encoder.hidden == 64
    for (_, before, first), (_, after, second) in pairwise(rungs):
        layers = before.encoder.layers != after.encoder.layers
        changed = (
            layers
            + (first != second)
            + sum(getattr(before.training, name) != getattr(after.training, name) for name in ("regime", "rate", "ema"))
        )
        assert changed == 1


@pytest.mark.slow
def test_the_goals_are_met(tmp_path):
    result = sine.run(lambda what, share: None)
    assert all(result.figures["goals_met"].values())
    assert result.figures["best_short_median"] <= 0.10
    assert result.figures["best_long_median"] <= 0.085
    assert result.figures["printed_loss_floor"] == FLOOR
    assert dict(render_experiment(experiment_page(result, command="", facts={})))["index.html"]
