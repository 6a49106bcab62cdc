"""The copy experiment: the task is what it says, the figures hang together, and nothing depends on the processes."""

import json
import math
from dataclasses import replace

import pytest
import torch

from s2squant.experiments.copy_result import PLACES, copy_result
from s2squant.experiments.copy_task import (
    FULL,
    QUICK,
    Budget,
    carry_out,
    copies,
    copy_experiment,
    exact,
    members,
    padding_shares,
)
from s2squant.experiments.result import experiment_page
from s2squant.nets.tokens import TokenSeq2Seq
from s2squant.report.experiment_page import render_experiment
from s2squant.runs.engines.local import map_jobs

TINY = Budget(200, 1, 200, 8)


def test_the_task_is_the_literatures() -> None:
    batch = copies(500, (3, 8), torch.Generator().manual_seed(0))
    assert batch.source_BL.shape == (500, 8)
    assert batch.target_BT.shape == (500, 9)
    assert sorted(set(batch.lengths_B.tolist())) == [3, 4, 5, 6, 7, 8]
    for source, length, target in zip(batch.source_BL.tolist(), batch.lengths_B, batch.target_BT.tolist(), strict=True):
        assert set(source[:length]) <= set(range(2, 10))
        assert source[length:] == [0] * (8 - length)
        assert target == [*source[:length], 1, *[0] * (8 - length)]
    assert torch.bincount(batch.source_BL[batch.source_BL > 0]).tolist()[2:] == pytest.approx([343] * 8, rel=0.2)
    assert pytest.approx(9 / 6.5) == PLACES


def test_the_networks_are_the_literatures() -> None:
    family = members(FULL, 0)
    plain = next(m for m in family if m.name == "plain")
    assert (plain.encoder.cell, plain.encoder.hidden, plain.decoder.start, plain.decoder.context) == (
        "lstm",
        20,
        "states",
        "initial",
    )
    assert (plain.lr, plain.examples, FULL.seeds, FULL.fresh) == (1e-3, 300_100, 3, 1_000)
    attending = next(m for m in family if m.name == "attention")
    assert (attending.decoder.attention.kind, attending.lr) == ("luong_global", 1e-2)
    assert {m.decoder.attention.kind for m in family} == {
        "none",
        "bahdanau",
        "luong_global",
        "luong_local_m",
        "luong_local_p",
    }
    assert {m.regime for m in family} == {"teacher", "scheduled", "free"}
    assert any(m.decoder.kind == "transformer" for m in family)
    assert sum(m.examples for m in members(QUICK, 0)) < 0.2 * sum(m.examples for m in family)


def test_exact_is_all_tokens_and_no_more() -> None:
    batch = copies(4, (3, 3), torch.Generator().manual_seed(0))
    batch = batch._replace(target_BT=batch.target_BT.clone())
    outcome = members(TINY, 0)[0]

    class Parrot(TokenSeq2Seq):
        """Says the target, or what it is told to say in its place."""

        said = batch.target_BT

        def step(self, token_N, state):  # type: ignore[no-untyped-def]
            place = self.place
            self.place += 1
            out = torch.full((len(token_N), 10), -50.0)
            out[torch.arange(len(token_N)), self.said[:, min(place, self.said.shape[1] - 1)]] = 0.0
            return out, None, state

    def score(said: torch.Tensor) -> float:
        from s2squant.config.relatives import TokenSpec

        parrot = Parrot(
            TokenSpec(size=10, pad=0, bos=1, eos=1, embedding=20, encoder=outcome.encoder, decoder=outcome.decoder)
        )
        parrot.said, parrot.place = said, 0
        return exact(parrot, batch)

    assert score(batch.target_BT) == 1.0
    wrong = batch.target_BT.clone()
    wrong[0, 1] = 2 + (wrong[0, 1] - 1) % 8
    assert score(wrong) == 0.75
    longer = torch.nn.functional.pad(batch.target_BT, (0, 1), value=1)
    longer[1, 3] = 5
    assert score(longer) == 0.75


def test_a_tiny_run_has_every_figure_and_a_page() -> None:
    heard: list[tuple[str, float]] = []
    result = copy_experiment(lambda what, done: heard.append((what, done)), TINY, seed=3, workers=1)
    assert [done for _, done in heard] == sorted(done for _, done in heard)
    assert heard[-1][1] == pytest.approx(1.0)
    figures = json.loads(json.dumps(result.figures))
    assert figures["literature_loss"] == 0.1073
    assert figures["beam_least_gain_over_greedy"] >= 0
    assert figures["goals_met"]["no beam below greedy"] is True
    assert figures["goals_met"]["loss at most 0.001 after 300,100 examples, every seed"] is False
    assert figures["plain_loss_counting_padding"] == pytest.approx(figures["plain_loss"] * 6.5 / 9)
    assert [m["member"] for m in figures["members"]] == [m.name for m in members(TINY, 3)]
    assert all(math.isfinite(m["loss"]) and 0 <= m["exact"] <= 1 for m in figures["members"])
    assert set(figures["members"][0]["exact_by_length"]) == {str(n) for n in range(3, 13)}
    text = dict(render_experiment(experiment_page(result, command="", facts={})))["index.html"].decode()
    for wanted in ("Luong local-p", "Transformer", "Where it looks", "Beam search", "0.1073", "padding", "missed"):
        assert wanted in text


@pytest.mark.slow
def test_processes_change_no_figure() -> None:
    jobs = [(member, 8) for member in members(TINY, 0)[:2]]
    here = map_jobs(carry_out, jobs, workers=1, on_done=lambda place: None)
    places: list[int] = []
    there = map_jobs(carry_out, jobs, workers=2, on_done=places.append)
    assert sorted(places) == [0, 1]
    for one, other in zip(here, there, strict=True):
        assert (one.member, one.losses, one.loss, one.exact_by_length) == (
            other.member,
            other.losses,
            other.loss,
            other.exact_by_length,
        )


def test_a_page_says_when_the_loss_was_reached() -> None:
    outcomes = [carry_out((member, 4)) for member in members(TINY, 0)[:2]]
    base, padding = outcomes[0], padding_shares(0)
    others = [replace(base, member=m) for m in members(TINY, 0)[2:]]
    done = replace(base, losses=(2.0, 0.1073, 0.0002), loss=0.0004, exact=1.0)
    result = copy_result([done, outcomes[1], *others], padding)
    figures = result.figures
    assert figures["attention_examples_to_literature_loss_worst_seed"] == 200
    assert all(figures["goals_met"].values())
    assert result.goals[0].value == 200
    assert result.sections[0].table["examples_to_literature_loss"].iloc[0] == 200
    assert padding["by length"] < 0.02 < 0.25 < padding["as they come"]


@pytest.mark.slow
def test_the_goals_of_the_literature_are_met() -> None:
    budget = replace(FULL, beside=6_000)  # of those that are shown and not judged; a tenth
    result = copy_experiment(lambda what, done: None, budget, seed=0, workers=None)
    assert all(result.figures["goals_met"].values()), result.figures["goals_met"]
    assert result.figures["plain_loss_counting_padding"] < 1.25 * 0.1073
