"""Covariates in the networks: a planted one is learnt, and what reads none is not touched."""

import pytest
import torch

from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.nets.covariates import Ahead, CovariateSizes, KnownAhead, widen
from s2squant.nets.decoders import make_decoder
from s2squant.nets.encoders import make_encoder
from s2squant.nets.seq2seq import Feeding, Seq2Seq
from s2squant.nets.series import SeriesSeq2Seq, fit_series
from s2squant.nets.training import Resident, backward, train
from s2squant.series.forecast import LEVELS

H, INPUTS = 3, 2
LEVELS_Q = torch.tensor(LEVELS, dtype=torch.float32)
TABLE = torch.special.ndtri(LEVELS_Q.double()).float().expand(H, -1)
DECODERS = {
    "lstm": DecoderSpec(width=8, dropout=0.0),
    "mlp": DecoderSpec(kind="mlp", width=8, dropout=0.0),
    "transformer": DecoderSpec(kind="transformer", width=8, heads=2, dropout=0.0),
}


def announced_moves(rows: int, *, past: int = 0) -> Resident:
    """Returns whose size is announced a bar ahead, in a number that is known of every step; `past` noise beside."""
    draw = torch.Generator().manual_seed(0)
    size = torch.where(torch.rand(rows, generator=draw) < 0.5, 0.5, 1.32)
    price = (size * torch.randn(rows, generator=draw)).double().cumsum(0)
    steps = torch.arange(1, H + 1).sqrt().expand(rows, H).contiguous()
    inputs = torch.randn(rows, INPUTS + past, generator=draw)
    none = torch.zeros(rows, 0)
    sessions = torch.cat([size - 0.9, torch.zeros(1)])[:, None]
    known = KnownAhead(sessions, torch.arange(rows), torch.full((rows,), rows), none, none.long())
    return Resident(inputs, steps, price, torch.arange(20, rows - H), known)


@pytest.mark.parametrize("name", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in ("lstm", "transformer"))])
def test_a_size_that_is_announced_ahead_is_learnt(name):
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=8, window=4),
        decoder=DECODERS[name],
        training=TrainingSpec(chunk=20, warm=4, positions=8),
    )
    torch.manual_seed(0)
    net, data = Seq2Seq(spec, INPUTS, TABLE, LEVELS_Q, CovariateSizes(ahead=1)), announced_moves(2000)
    train(net, data, spec.training, steps=200, batch=8, lr=2e-2, seed=0)
    calm = Ahead(torch.full((1, H, 1), -0.4), torch.zeros(1, 0, dtype=torch.int64))
    wild = calm._replace(values_NHE=torch.tensor([[[0.42], [-0.4], [-0.4]]]))
    past, deviation = data.inputs_RF[None, :20], data.deviation_RH[:1]
    width = [net.forecast(past, deviation, known).quantiles_NHQ[0, :, -1] for known in (calm, wild)]
    assert width[1][0] / width[0][0] > 1.5, "sizes are 0.5 and 1.32; the head may scale by exp(0.5) either way"
    assert width[1][2] / width[0][2] > 1.2, "the first step's move is part of three steps' return: 1.73 in truth"


def test_a_series_learns_what_is_known_of_its_steps():
    def draw(_, generator):
        known = torch.randn(32, H, 1, generator=generator)
        codes = torch.randint(2, (32, 1), generator=generator)
        future = (known + (2.0 * codes - 1)[:, :, None]).transpose(0, 1)
        return torch.zeros(32, 4, 2), future, Ahead(known, codes)

    training = TrainingSpec(regime="free", optimiser="adam", weight_decay=0.0)
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=16, reads="window", window=4),
        decoder=DecoderSpec(previous=True, context="initial"),
        head=HeadSpec(kind="point"),
        training=training,
    )
    torch.manual_seed(0)
    net = SeriesSeq2Seq(spec, horizon=H, covariates=CovariateSizes(past=1, ahead=1, categories=(2,)))
    losses = fit_series(net, draw, steps=150, lr=0.03, seed=0)
    assert losses[-1] < 0.05 * losses[0], "the future is the sum of a number and a category"


def test_embeddings_learn_the_same_from_blocks_of_origins_as_from_all_at_once(monkeypatch):
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=4, window=4),
        decoder=DecoderSpec(),
        training=TrainingSpec(chunk=20, warm=4, positions=8),
    )
    draw = torch.Generator().manual_seed(3)
    past, truth = torch.randn(2, 20, INPUTS + 1, generator=draw), torch.randn(H, 16, generator=draw)
    ahead = Ahead(torch.randn(16, H, 1, generator=draw), torch.randint(3, (16, 1), generator=draw))
    gradients = []
    for block in (None, 5):
        torch.manual_seed(0)
        net = Seq2Seq(spec, INPUTS, TABLE, LEVELS_Q, CovariateSizes(past=1, ahead=1, categories=(3,))).eval()
        torch.nn.init.normal_(net.head.corrections.weight)
        torch.nn.init.normal_(net.decoder.rnn.weight_ih_l0)
        monkeypatch.setattr(net.decoder, "block", block)
        backward(net, past, torch.arange(4, 12), truth, Feeding(0.0, draw), ahead)
        gradients.append(net.ahead.tables[0].weight.grad)
    assert float(gradients[0].abs().sum()) > 0
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("both", ["forward", "both"])
def test_wider_inputs_begin_at_no_weight(cell, both):
    spec = EncoderSpec(cell=cell, hidden=4, layers=2, directions=both, reads="window", window=5)
    x, more = torch.randn(3, 5, 2), torch.randn(3, 5, 3)
    encoder = make_encoder(spec, 2)
    before = encoder(x).states_BWK
    widen(encoder, 2, 3)
    after = encoder(torch.cat([x, more], dim=2)).states_BWK
    assert torch.allclose(before, after, atol=1e-6)
    after.sum().backward()
    assert float(encoder.rnn.weight_ih_l0.grad[:, 2:].abs().sum()) > 0, "no weight yet, but a slope"


def test_covariates_stand_between_what_a_step_reads_and_its_context():
    decoder = make_decoder(DecoderSpec(attention=AttentionSpec(kind="luong_global")), "gru", 2, 4)
    context = decoder.rnn.weight_ih_l0[:, 2:].detach().clone()
    widen(decoder, 2, 3)
    assert decoder.rnn.weight_ih_l0.shape == (12, 2 + 3 + 4)
    assert torch.equal(decoder.rnn.weight_ih_l0[:, 5:], context)


def test_a_row_knows_the_sessions_after_it_and_nothing_beyond_its_series():
    sessions = torch.tensor([[1.0], [2.0], [3.0], [9.0], [0.0]])  # three of one series, one of another, none
    known = KnownAhead(
        sessions,
        torch.tensor([0, 1, 3]),
        torch.tensor([3, 3, 4]),
        torch.tensor([[7.0], [7.0], [8.0]]),
        torch.ones(3, 1),
    )
    ahead = known.of(torch.tensor([0, 1, 2]), 2)
    assert ahead.values_NHE[:, :, 0].tolist() == [[2.0, 3.0], [3.0, 0.0], [0.0, 0.0]]
    assert ahead.values_NHE[:, :, 1].tolist() == [[7.0, 7.0], [7.0, 7.0], [8.0, 8.0]]
