"""Decoding: EOS stops it, samples follow the softmax, and a beam finds what enumeration finds."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2squant.nets.search import beam_search, greedy, sample
from s2squant.nets.token_batches import Batch, pad_tokens
from s2squant.nets.tokens import TokenSeq2Seq
from tests.nets.test_tokens import WAYS, net

EOS = 2
SOURCE, LENGTHS = torch.tensor([[3, 4, 3], [4, 3, 0], [3, 0, 0]]), torch.tensor([3, 2, 1])


def sharpened(way: str, seed: int, by: float = 3.0, size: int = 5) -> TokenSeq2Seq:
    """A random net that is surer of itself, so that greedy is no accident."""
    model = net(way, size=size, seed=seed)
    with torch.no_grad():
        model.output.weight.mul_(by)
    return model


def likelihoods(model: TokenSeq2Seq, said: list[list[int]], row: int) -> list[float]:
    """Log probability of each of these exactly, with EOS or cut off."""
    target = pad_tokens(said, 0)[0]
    return model.log_likelihood(Batch(SOURCE[[row] * len(said)], LENGTHS[[row] * len(said)], target)).tolist()


def everything(limit: int) -> list[list[int]]:
    """All that can be said within `limit` tokens: ended by EOS, or cut there."""
    ended = [[*words, EOS] for n in range(limit) for words in itertools.product((3, 4), repeat=n)]
    return ended + [list(words) for words in itertools.product((3, 4), repeat=limit)]


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("way", ["plain", "feeding", "transformer"])
def test_a_beam_of_full_width_finds_what_enumeration_finds(way: str, power: float) -> None:
    limit = 4
    for seed in range(4):
        model = sharpened(way, seed)
        first = greedy(model, SOURCE, LENGTHS, limit=limit)
        found = beam_search(model, SOURCE, LENGTHS, width=2**limit, limit=limit, length_power=power)
        for row in range(len(SOURCE)):
            every = everything(limit)
            scored = {tuple(w): total for w, total in zip(every, likelihoods(model, every, row), strict=True)}
            assert sum(torch.tensor(list(scored.values())).exp()) == pytest.approx(1.0)
            floor = first.log_likelihood_N[row].item() - 1e-9
            allowed = {words: total for words, total in scored.items() if total >= floor}
            best = max(allowed, key=lambda words: allowed[words] / len(words) ** power)
            assert tuple(found.tokens_NT[row, : found.lengths_N[row]].tolist()) == best
            assert found.log_likelihood_N[row].item() == pytest.approx(scored[best], rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(WAYS),
    st.integers(1, 6),
    st.integers(1, 7),
    st.sampled_from([0.0, 0.6, 1.0, 2.0]),
)
def test_a_beam_is_never_below_greedy(seed: int, way: str, width: int, limit: int, power: float) -> None:
    model = sharpened(way, seed)
    first = greedy(model, SOURCE, LENGTHS, limit=limit)
    found = beam_search(model, SOURCE, LENGTHS, width=width, limit=limit, length_power=power)
    assert (found.log_likelihood_N >= first.log_likelihood_N).all()
    scores = [said.log_likelihood_N / said.lengths_N**power for said in (found, first)]
    assert (scores[0] >= scores[1]).all()
    for row, words in enumerate(found.tokens_NT.tolist()):
        kept = words[: int(found.lengths_N[row])]
        (expected,) = likelihoods(model, [kept], row)
        assert found.log_likelihood_N[row].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert (EOS in kept) == bool(found.ended_N[row])


def test_wider_beams_gain_somewhere() -> None:
    gains = []
    for seed in range(10):
        model = sharpened("plain", seed, by=1.5)
        first = greedy(model, SOURCE, LENGTHS, limit=5)
        found = beam_search(model, SOURCE, LENGTHS, width=8, limit=5, length_power=0.0)
        gains.append(found.log_likelihood_N - first.log_likelihood_N)
    assert torch.cat(gains).max() > 0.05


def test_eos_stops_a_sequence_and_the_last_eos_the_decoding() -> None:
    model = net("general", size=5)
    with torch.no_grad():
        model.output.bias[EOS] = 50.0
    calls = []
    model.step = lambda token, state: calls.append(token) or TokenSeq2Seq.step(model, token, state)  # type: ignore
    said = greedy(model, SOURCE, LENGTHS, limit=9)
    assert len(calls) == 1
    assert said.tokens_NT.tolist() == [[EOS]] * 3
    assert said.sequences() == [[], [], []]
    assert said.ended_N.all()
    with torch.no_grad():
        model.output.bias[EOS] = -50.0
    said = greedy(model, SOURCE, LENGTHS, limit=9)
    assert len(calls) == 10
    assert said.lengths_N.tolist() == [9] * 3
    assert not said.ended_N.any()
    assert [len(words) for words in said.sequences()] == [9] * 3
    assert said.weights_NTW is not None
    assert said.weights_NTW.shape == (3, 9, 3)


def test_nothing_is_said_after_eos() -> None:
    model = sharpened("plain", 1, by=0.5)
    said = sample(model, SOURCE, LENGTHS, samples=40, limit=6, draw=torch.Generator().manual_seed(0))
    assert len(set(said.lengths_N.tolist())) > 2
    for words, length in zip(said.tokens_NT.tolist(), said.lengths_N.tolist(), strict=True):
        assert all(word > EOS for word in words[: length - 1])
        assert set(words[length:]) <= {0}
    for row in range(len(SOURCE)):
        mine = slice(40 * row, 40 * row + 40)
        expected = likelihoods(model, said.tokens_NT[mine].tolist(), row)
        assert said.log_likelihood_N[mine].tolist() == pytest.approx(expected, rel=1e-9)


def test_samples_follow_the_softmax() -> None:
    model, samples, limit = sharpened("feeding", 2, by=1.0), 20_000, 2
    said = sample(model, SOURCE[:1], LENGTHS[:1], samples=samples, limit=limit, draw=torch.Generator().manual_seed(0))
    words = [tuple(w[:n]) for w, n in zip(said.tokens_NT.tolist(), said.lengths_N.tolist(), strict=True)]
    statistic = 0.0
    every = everything(limit)
    for possible, total in zip(every, likelihoods(model, every, 0), strict=True):
        expected = samples * math.exp(total)
        statistic += (words.count(tuple(possible)) - expected) ** 2 / expected
    assert statistic < 22.5  # chi-squared with 6 degrees of freedom: 1 in 1,000


def test_greedy_takes_the_likeliest_token_each_time() -> None:
    model = sharpened("both", 5)
    said = greedy(model, SOURCE, LENGTHS, limit=4)
    for row in range(len(SOURCE)):
        words = said.tokens_NT[row, : said.lengths_N[row]].tolist()
        for place, word in enumerate(words):
            each = likelihoods(model, [[*words[:place], other] for other in (EOS, 3, 4)], row)
            assert (EOS, 3, 4)[each.index(max(each))] == word


def test_what_makes_no_sense_is_refused() -> None:
    model = net(size=5)
    with pytest.raises(ValueError, match="limit of at least 1"):
        greedy(model, SOURCE, LENGTHS, limit=0)
    for width, power in ((0, 0.0), (2, -1.0)):
        with pytest.raises(ValueError, match="a beam needs"):
            beam_search(model, SOURCE, LENGTHS, width=width, limit=3, length_power=power)
