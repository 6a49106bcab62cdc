"""The real-valued sequence to sequence: a planted sine is learnt, and its ways of decoding agree."""

import math

import pytest
import torch

from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.series import SeriesSeq2Seq, fit_series

H, W = 6, 8
FEEDS = {
    "initial": DecoderSpec(context="initial", previous=True),
    "every_step": DecoderSpec(previous=True),
    "states": DecoderSpec(context="initial", start="states", previous=True),
    "bahdanau": DecoderSpec(previous=True, attention=AttentionSpec(kind="bahdanau")),
    "luong": DecoderSpec(previous=True, attention=AttentionSpec(kind="luong_global", input_feeding=True)),
    "transformer": DecoderSpec(kind="transformer", previous=True),
}


def spec(decoder: DecoderSpec, *, cell: str = "lstm", regime: str = "free", hidden: int = 8) -> Seq2SeqSpec:
    return Seq2SeqSpec(
        encoder=EncoderSpec(cell=cell, hidden=hidden, reads="window", window=W),
        decoder=decoder,
        head=HeadSpec(kind="point"),
        training=TrainingSpec(regime=regime, optimiser="adam", weight_decay=0.0),
    )


def network(decoder: DecoderSpec, *, cell: str = "lstm", values: int = 1, first: str = "last") -> SeriesSeq2Seq:
    torch.manual_seed(3)
    return SeriesSeq2Seq(spec(decoder, cell=cell), horizon=H, values=values, first=first).double().eval()


def past(values: int = 1) -> torch.Tensor:
    return torch.randn(5, W, values, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_planted_sine_is_learnt():
    steps = torch.arange(W + H)

    def draw(_, generator):
        phase = 2 * math.pi * torch.rand(32, 1, generator=generator)
        wave = torch.sin(phase + 0.5 * steps)
        return wave[:, :W, None], wave[:, W:, None].transpose(0, 1)

    torch.manual_seed(0)
    net = SeriesSeq2Seq(spec(DecoderSpec(), hidden=16), horizon=H)
    losses = fit_series(net, draw, steps=200, lr=0.02, seed=0)
    seen, ahead = draw(0, torch.Generator().manual_seed(9))
    with torch.no_grad():
        error = (net(seen) - ahead).square().mean()
    assert losses[0] > 1.0
    assert error < 0.005, "a wave without noise, of variance 0.5, is forecast to a hundredth of it"


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("name", FEEDS)
def test_teacher_forcing_on_its_own_outputs_equals_free_running(name, cell):
    net = network(FEEDS[name], cell=cell)
    with torch.no_grad():
        free = net(past())
        forced = net.decode(past(), free, Feeding(1.0, torch.Generator()))
        told = net.unroll(net.encoder(past()), past()[:, -1], free, Feeding(1.0, torch.Generator()))
    assert torch.equal(told, free), "step by step not a bit may differ"
    assert torch.allclose(forced, free, atol=1e-12, rtol=0), "in one call the sums may be taken in another order"


def test_the_first_input_is_the_last_value_or_nothing():
    seen = past()
    other = seen.clone()
    other[:, -1] += 1.0
    with torch.no_grad():
        for first, differs in (("last", True), ("zero", False)):
            net = network(DecoderSpec(context="initial", previous=True), first=first)
            memory = net.encoder(seen)
            start = seen[:, -1] if first == "last" else torch.zeros_like(seen[:, -1])
            assert torch.equal(net(seen), net.unroll(memory, start, None, None))
            start = other[:, -1] if first == "last" else torch.zeros_like(seen[:, -1])
            assert torch.equal(net(seen), net.unroll(memory, start, None, None)) is not differs


def test_each_sequence_has_a_coin_of_its_own():
    net, truth = network(DecoderSpec(previous=True)), torch.full((H, 5, 1), 30.0, dtype=torch.float64)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        free, mixed = net(past()), net.decode(past(), truth, Feeding(0.5, draw))
    told = (mixed[1] - free[1]).abs().squeeze() > 1e-9
    assert 0 < told.sum() < 5, "at one step some sequences read the truth and others do not"


def test_a_decoder_without_feedback_runs_in_one_call_and_reads_no_truth():
    net, truth = network(DecoderSpec()), torch.randn(H, 5, 1, dtype=torch.float64)
    assert torch.equal(net(past()), net.decode(past(), truth, Feeding(1.0, torch.Generator())))


def test_the_loss_is_the_sum_over_steps_of_mean_squares():
    net, truth = network(DecoderSpec(), values=3), torch.randn(H, 5, 3, dtype=torch.float64)
    with torch.no_grad():
        said = net(past(3))
        loss = net.loss(past(3), truth, Feeding(0.0, torch.Generator()))
    by_hand = sum(((said[h] - truth[h]) ** 2).mean() for h in range(H))
    assert float(loss) == pytest.approx(float(by_hand), abs=1e-12)


def test_l2_can_be_kept_to_the_output_layer():
    net = network(DecoderSpec())
    inner = {id(p) for p in net.inner()}
    assert {name for name, p in net.named_parameters() if id(p) not in inner} == {"output.weight", "output.bias"}


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match="series train in single precision, use 'float32'"):
        SeriesSeq2Seq(Seq2SeqSpec(head={"kind": "point"}, training={"precision": "bf16"}), horizon=3)


@pytest.mark.parametrize(("warm", "advice"), [(0, r"training\.warm to 39"), (4, r"or lower encoder\.window to 5")])
def test_no_remedy_is_refused_itself(warm, advice):
    with pytest.raises(ValueError, match=advice) as told:
        Seq2SeqSpec(encoder={"reads": "window"}, training={"warm": warm})
    assert ("lower" in told.value.errors()[0]["msg"]) == bool(warm)


def test_other_heads_are_refused():
    with pytest.raises(ValueError, match=r"use head\.kind = 'point'"):
        SeriesSeq2Seq(Seq2SeqSpec(), horizon=H)
