"""The parts of the wing: two implementations agree, bounds hold, kernels are the fused ones."""

import numpy as np
import pytest
import torch
from torch import nn

from s2squant.config.networks import DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.nets.bank import VarianceBank, fit_bank, horizon_basis, student_nll
from s2squant.nets.decoders import RecurrentDecoder, step_inputs
from s2squant.nets.encoders import RecurrentEncoder
from s2squant.nets.heads import QuantileHead, pinball, shape_basis
from s2squant.nets.memory import Memory
from s2squant.nets.seq2seq import Feeding, Seq2Seq
from s2squant.nets.training import Resident, backward, one_cycle, train

LEVELS = torch.arange(1, 40) / 40
H = 6


def table() -> torch.Tensor:
    return torch.special.ndtri(LEVELS.double()).float().expand(H, -1).clone()


def net(spec: Seq2SeqSpec | None = None, seed: int = 0) -> Seq2Seq:
    torch.manual_seed(seed)
    return Seq2Seq(spec or Seq2SeqSpec(encoder=EncoderSpec(hidden=8)), 5, table(), LEVELS).eval()


def test_pinball_is_the_textbook_maximum():
    y, q = torch.randn(7, H), torch.randn(7, H, 39, requires_grad=True)
    miss = y[..., None] - q
    expected = torch.maximum(LEVELS * miss, (LEVELS - 1) * miss).mean()
    found = pinball(y, q, LEVELS)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    slopes = [torch.autograd.grad(3 * loss, q)[0] for loss in (expected, found)]
    assert torch.allclose(*slopes, atol=1e-9)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2])
def test_an_encoder_state_is_a_summary_of_its_prefix(cell, layers):
    torch.manual_seed(0)
    encoder = RecurrentEncoder(EncoderSpec(cell=cell, hidden=8, layers=layers), 5).double()
    past = torch.randn(3, 30, 5, dtype=torch.float64)
    whole = encoder(past)
    assert torch.equal(whole.summary_BK, whole.states_BWK[:, -1])
    prefix = encoder(past[:, :17])
    assert torch.allclose(whole.states_BWK[:, 16], prefix.summary_BK, atol=1e-12)


def test_many_positions_equal_one_forecast_each():
    model = net()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    past, positions = torch.randn(4, 40, 5), torch.tensor([9, 39, 20])
    forked = torch.sort(model(past, positions), dim=2).values.view(H, 4, 3, 39)
    for p, position in enumerate(positions):
        alone = model.forecast(past[:, : position + 1], torch.ones(4, H)).quantiles_NHQ.float()
        assert torch.allclose(forked[:, :, p].transpose(0, 1), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("context", "start"),
    [("initial", "summary"), ("every_step", "summary"), ("every_step", "zero"), ("every_step", "learned")],
)
def test_the_fused_decoder_equals_a_loop_of_cells(context, start):
    """The four decoders of the texts: where the context enters, and whether it sets the first state."""
    torch.manual_seed(1)
    decoder = RecurrentDecoder(DecoderSpec(context=context, start=start), "lstm", 2, 8).double()
    steps = step_inputs(H)[:, None].double()
    summary = torch.randn(5, 8, dtype=torch.float64)
    cell = nn.LSTMCell(decoder.rnn.input_size, 8).double()
    cell.weight_ih.data, cell.weight_hh.data = decoder.rnn.weight_ih_l0.data, decoder.rnn.weight_hh_l0.data
    cell.bias_ih.data, cell.bias_hh.data = decoder.rnn.bias_ih_l0.data, decoder.rnn.bias_hh_l0.data
    h, c, states = summary, torch.zeros_like(summary), []
    if start == "zero":
        h = torch.zeros_like(summary)
    elif start == "learned":
        with torch.no_grad():
            h, c = (value.normal_()[0].expand(5, 8) for value in decoder.first)
    for step in range(H):
        known = steps[step].expand(5, 2)
        inputs = torch.cat([known, summary], dim=1) if context == "every_step" else known
        h, c = cell(inputs, (h, c))
        states.append(h)
    assert torch.allclose(decoder.run(steps, Memory(summary)).hidden_HNK, torch.stack(states), atol=1e-9)


def test_the_context_at_every_step_reaches_every_step():
    model, steps = RecurrentDecoder(DecoderSpec(), "lstm", 2, 8), step_inputs(H)[:, None]
    summary = torch.randn(1, 8, requires_grad=True)
    for step in range(H):
        (gradient,) = torch.autograd.grad(model.run(steps, Memory(summary)).hidden_HNK[step, 0].sum(), summary)
        assert gradient.abs().sum() > 0


def test_an_untrained_head_is_its_table_and_bounds_hold():
    spec = HeadSpec()
    head = QuantileHead(spec, 8, 16, 0.0, table(), LEVELS).eval()
    hidden = torch.randn(H, 9, 8)
    assert torch.equal(head(hidden), table()[:, None].expand(H, 9, 39))
    with torch.no_grad():
        head.corrections.weight.normal_(0, 100)
    steps = torch.arange(1, H + 1)[:, None]
    middle = head(hidden)[..., 19]
    limit = spec.location_bound / steps + spec.spread_bound * 0.25 + spec.shape_bound * 0.2
    assert (middle.abs() <= limit + 1e-6).all()
    width = head(hidden)[..., -1] - head(hidden)[..., 0]
    most = np.exp(spec.log_scale_bound) * 3.92 + 2 * (0.3 / 1 + 0.3 * 0.25 + 0.1 * 2)
    assert (width <= most).all()


def test_the_location_is_bounded_by_one_over_h():
    head = QuantileHead(HeadSpec(location_bound=0.3), 8, 16, 0.0, table(), LEVELS)
    assert head.bounds_H5[:, 0].tolist() == pytest.approx([0.3 / h for h in range(1, H + 1)])
    assert shape_basis(LEVELS.double())[0].tolist() == [1.0] * 39


def test_bank_starts_as_the_plain_average_and_finds_the_member_that_matters():
    rng = np.random.default_rng(0)
    members = torch.from_numpy(rng.gamma(2.0, 0.5, size=(6000, 4)))
    bank = VarianceBank(4, H)
    steps = torch.arange(1, H + 1)
    assert torch.allclose(bank(members), torch.sqrt(steps * members.mean(dim=1, keepdim=True)))
    truth = torch.sqrt(steps * members[:, [2]])
    y = truth * torch.from_numpy(rng.standard_normal((6000, 1)))
    from s2squant.config.networks import AnchorSpec

    fitted = fit_bank(members, y, AnchorSpec(), batch=512, seed=0)
    weights = fitted.weights_HK().detach()
    assert (weights[:, 2] / weights.sum(dim=1) > 0.9).all()
    error = torch.log(fitted(members).detach() / truth).abs()
    assert error.mean() < 0.05


def test_student_likelihood_is_the_library_one():
    y, sd, nu = torch.randn(50, H).double(), torch.rand(50, H).double() + 0.5, torch.linspace(3, 9, H).double()
    scale = sd * torch.sqrt((nu - 2) / nu)
    expected = -torch.distributions.StudentT(nu, 0.0, scale).log_prob(y).mean()
    assert student_nll(y, sd, nu).item() == pytest.approx(expected.item(), rel=1e-12)
    assert horizon_basis(3)[:, 1].tolist() == pytest.approx((np.log([1, 2, 3]) - 1.5).tolist())


def resident(rows: int = 500) -> Resident:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, 5, generator=generator)
    price = torch.randn(rows, generator=generator).double().cumsum(0)
    return Resident(inputs, torch.full((rows, H), 4.0), price, torch.arange(60, rows - H))


def test_training_is_repeatable_leaves_the_global_generator_and_lowers_the_loss():
    spec = TrainingSpec(chunk=50, warm=10, positions=8)
    runs = []
    for _ in range(2):
        model, before = net(), torch.random.get_rng_state()
        losses = train(model, resident(), spec, steps=60, batch=4, lr=1e-2, seed=3)
        assert torch.equal(torch.random.get_rng_state(), before)
        runs.append((losses, [p.detach().clone() for p in model.parameters()]))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(a, b) for a, b in zip(runs[0][1], runs[1][1], strict=True))
    assert np.mean(runs[0][0][-10:]) < 0.9 * np.mean(runs[0][0][:10]), "a band far too wide was not narrowed"


def test_one_cycle_rises_then_falls_to_nothing():
    rates = [one_cycle(step, 50) for step in range(50)]
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[0] < 0.1
    assert rates[-1] < 0.01
    assert all(np.diff(rates[:9]) > 0)
    assert all(np.diff(rates[11:]) < 0)


@pytest.mark.parametrize("kind", ["recurrent", "mlp"])
def test_decoding_in_blocks_leaves_the_gradients_of_the_whole(kind):
    spec = Seq2SeqSpec(encoder=EncoderSpec(hidden=8), decoder=DecoderSpec(kind=kind, dropout=0.0))
    model = net(spec).double()
    with torch.no_grad():
        model.head.corrections.weight.normal_(0, 0.3)
    model.decoder.block = 7
    past, positions = torch.randn(4, 40, 5).double(), torch.tensor([9, 39, 20, 11, 30])
    y, levels = torch.randn(H, 20).double(), LEVELS.double()
    model.levels_Q = model.head.levels_Q = levels
    whole = pinball(y, model(past, positions), levels)
    expected = torch.autograd.grad(whole, list(model.parameters()))
    feeding = Feeding(0.0, torch.Generator())
    found = backward(model, past, positions, y, feeding)
    assert found == pytest.approx(whole.item(), rel=1e-9)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-9)
