"""The relatives: the bound's parts against other ways to them, nothing around the code, bits that survive a process."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import integrate, stats

from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec
from s2squant.config.relatives import AutoencoderSpec, VariationalSpec
from s2squant.config.training import TrainingSpec
from s2squant.errors import CheckpointError
from s2squant.forecasters.scenarios import (
    FLOOR,
    FittedScenarios,
    FittedWatch,
    fit_scenarios,
    fit_watch,
    known_units,
    restore_latent,
    return_windows,
)
from s2squant.nets.latent import Code, SequenceAutoencoder, Steps, VariationalAutoencoder, fit_latent, kl_weight
from s2squant.series.forecast import State
from s2squant.series.panel import Panel
from s2squant.series.states import load_state, save_state
from tests.worlds.processes import in_another_process
from tests.worlds.synthetic import garch_returns, history

SMALL = EncoderSpec(reads="window", hidden=8)
L = 12


def panel(bars: int = 400) -> Panel:
    return Panel((history(garch_returns(bars, 1), "A"), history(garch_returns(bars, 2), "B")))


def some_windows():
    whole = panel()
    return return_windows(whole, np.concatenate([whole.rows_of(t)[100:380:4] for t in "AB"]), L)


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (1.3, -1.0), (-0.4, 0.7), (2.0, -4.0)])
def test_the_divergence_is_the_integral(mean, log_variance):
    posterior, prior = stats.norm(mean, np.exp(log_variance / 2)), stats.norm()
    edge = 12 * np.exp(log_variance / 2)
    integral, _ = integrate.quad(
        lambda z: posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z)), mean - edge, mean + edge
    )
    code = Code(torch.tensor([[mean]], dtype=torch.float64), torch.tensor([[log_variance]], dtype=torch.float64))
    assert float(code.divergence()) == pytest.approx(integral, abs=1e-7)


def test_the_likelihood_is_a_student_t_and_its_draws_are_too():
    steps = Steps(torch.full((1, 1), 0.2), torch.full((1, 1), 1.5), torch.tensor([5.0]))
    x = torch.linspace(-6, 6, 25)[:, None]
    assert np.allclose(steps.log_density(x)[:, 0], stats.t(5, 0.2, 1.5).logpdf(x[:, 0].numpy()), atol=1e-5)
    many = Steps(torch.full((20_000, 1), 0.2), torch.full((20_000, 1), 1.5), torch.tensor([5.0]))
    drawn = many.draw(torch.Generator().manual_seed(0)).numpy()[:, 0]
    assert stats.kstest(drawn, stats.t(5, 0.2, 1.5).cdf).pvalue > 0.001


@pytest.mark.parametrize("previous", [False, True])
def test_the_bound_lies_below_the_likelihood(previous):
    """With one number in the code the likelihood is an integral that can be taken."""
    torch.manual_seed(0)
    spec = VariationalSpec(encoder=SMALL, decoder=DecoderSpec(previous=previous), code=1)
    net = VariationalAutoencoder(spec, length=4).double().eval()
    x_1L = torch.tensor([[0.5, -1.0, 2.0, 0.1]], dtype=torch.float64)
    z = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    with torch.no_grad():
        joint = net.steps(z[:, None], x_1L.expand(len(z), -1)).log_density(x_1L).sum(dim=1).numpy()
        evidence = np.log(integrate.trapezoid(np.exp(joint) * stats.norm.pdf(z.numpy()), z.numpy()))
        draw = torch.Generator().manual_seed(1)
        bounds = [net.bound(x_1L, draw) for _ in range(200)]
        code = net.posterior(x_1L)
    elbo = np.mean([float(b.likelihood_N - b.divergence_NC.sum()) for b in bounds])
    posterior = stats.norm(float(code.mean), float(torch.exp(code.log_variance / 2))).pdf(z.numpy())
    by_hand = integrate.trapezoid(posterior * joint, z.numpy()) - float(code.divergence())
    assert by_hand <= evidence
    assert elbo == pytest.approx(by_hand, abs=0.2)


def test_the_loss_is_likelihood_and_paid_divergence():
    torch.manual_seed(0)
    net = VariationalAutoencoder(VariationalSpec(encoder=SMALL, free_nats=0.3, code=2), length=L)
    x_NL = torch.randn(16, L)
    with torch.no_grad():
        likelihood, divergence = net.bound(x_NL, torch.Generator().manual_seed(5))
        loss = net.loss(x_NL, 0.25, torch.Generator().manual_seed(5))
    paid = sum(max(0.3, float(kl)) for kl in divergence.mean(dim=0))
    assert float(loss) == pytest.approx(float(-likelihood.mean()) + 0.25 * paid, rel=1e-6)


def test_the_divergence_is_weighted_up_to_one():
    spec = VariationalSpec(steps=100, warm=0.5)
    weights = [kl_weight(spec, step) for step in range(100)]
    assert weights[0] == pytest.approx(0.02)
    assert weights[:50] == sorted(weights[:50])
    assert set(weights[49:]) == {1.0}
    assert kl_weight(VariationalSpec(steps=100, warm=0.0), 0) == 1.0


def test_a_level_that_sequences_share_goes_through_the_code():
    """Sequences that are one number throughout: an autoencoder of one number finds it."""
    torch.manual_seed(0)
    training = TrainingSpec(optimiser="adam", weight_decay=0.0)
    spec = AutoencoderSpec(encoder=SMALL, code=1, steps=250, lr=0.02, training=training)
    net = SequenceAutoencoder(spec, length=L, values=1)
    fit_latent(net, lambda _, draw: torch.randn(64, 1, 1, generator=draw).expand(-1, L, 1), seed=0)
    x = torch.linspace(-1.5, 1.5, 31)[:, None, None].expand(-1, L, 1)
    with torch.no_grad():
        code, error = net.encode(x)[:, 0].numpy(), float((net(x) - x).square().mean())
    assert error < 0.03
    assert abs(stats.spearmanr(code, np.arange(31)).statistic) > 0.99


@pytest.mark.parametrize("decoder", [DecoderSpec(), DecoderSpec(kind="mlp"), DecoderSpec(kind="transformer")])
def test_a_reconstruction_knows_its_sequence_by_the_code_alone(decoder):
    torch.manual_seed(0)
    spec = AutoencoderSpec(encoder=SMALL, decoder=decoder, code=2)
    net = SequenceAutoencoder(spec, length=L, values=1).eval()
    x = torch.randn(3, L, 1)
    with torch.no_grad():
        assert torch.equal(net(x), net.decode(net.encode(x)).transpose(0, 1))


@pytest.mark.parametrize(
    ("decoder", "complaint"),
    [
        (DecoderSpec(attention=AttentionSpec(kind="luong_global")), "around the code"),
        (DecoderSpec(start="states"), "around the code"),
        (DecoderSpec(previous=True), "around the code"),
    ],
)
def test_what_leads_around_the_code_is_refused(decoder, complaint):
    with pytest.raises(ValidationError, match=complaint):
        AutoencoderSpec(encoder=SMALL, decoder=decoder)


@pytest.mark.parametrize("kind", [AutoencoderSpec, VariationalSpec])
@pytest.mark.parametrize(
    ("training", "complaint"),
    [({"precision": "bf16"}, "single precision, use 'float32'"), ({"regime": "teacher"}, "use 'free'")],
)
def test_training_settings_without_effect_are_refused(kind, training, complaint):
    with pytest.raises(ValidationError, match=complaint):
        kind(encoder=SMALL, training=training)


def test_feedback_without_free_nats_is_refused():
    with pytest.raises(ValidationError, match="raise free_nats"):
        VariationalSpec(free_nats=0.0)
    assert VariationalSpec(free_nats=0.0, decoder=DecoderSpec()).free_nats == 0.0


def test_units_are_known_before_the_window():
    whole = panel()
    unit = known_units(whole)
    late = history(np.r_[garch_returns(400, 1)[:300], np.full(100, 0.3)], "A")
    assert np.array_equal(known_units(Panel((late,)))[1:300], unit[1:300]), "what comes later changes no unit"
    square = np.diff(whole.log_price[:400]) ** 2
    assert (unit[1:400] >= FLOOR * np.sqrt(np.cumsum(square) / np.arange(1, 400)) - 1e-15).all()
    windows = return_windows(whole, np.array([50, 450]), L)
    made = windows.returns_NL.cumsum(axis=1) * windows.unit_N[:, None]
    assert np.allclose(made, whole.targets(np.array([50, 450]), L))


def test_windows_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="last bar"):
        return_windows(panel(), np.array([395]), L)
    with pytest.raises(ValueError, match="first bar"):
        return_windows(panel(), np.array([0]), L)


def test_scenarios_start_from_todays_deviation():
    model = fit_scenarios(some_windows(), VariationalSpec(encoder=SMALL, steps=3), seed=0)
    whole, rows = panel(), np.array([200, 600])
    paths = model.simulate(whole, rows, paths=5, seed=4)
    assert paths.shape == (2, 5, L)
    units = model.draw(10, seed=4).reshape(2, 5, L).cumsum(axis=2)
    assert np.allclose(paths, units * known_units(whole)[rows][:, None, None])
    assert np.array_equal(paths, model.simulate(whole, rows, paths=5, seed=4))
    assert not np.array_equal(paths, model.simulate(whole, rows, paths=5, seed=5))


def said_by_the_saved(folder, x_NL):
    watch, drawer = (restore_latent(load_state(folder / f"{name}.safetensors")) for name in ("watch", "drawer"))
    return watch.score(x_NL), drawer.draw(9, seed=1), drawer.divergence(x_NL)


def test_another_process_says_the_same_bits(tmp_path):
    windows = some_windows()
    x_NL = windows.returns_NL
    watch = fit_watch(windows, AutoencoderSpec(encoder=SMALL, steps=5), seed=0)
    drawer = fit_scenarios(windows, VariationalSpec(encoder=SMALL, steps=5), seed=0)
    save_state(tmp_path / "watch.safetensors", watch.state())
    save_state(tmp_path / "drawer.safetensors", drawer.state())
    score, paths, divergence = in_another_process(said_by_the_saved, tmp_path, x_NL)
    assert np.array_equal(score, watch.score(x_NL))
    assert np.array_equal(paths, drawer.draw(9, seed=1))
    assert np.array_equal(divergence, drawer.divergence(x_NL))


def test_a_stored_model_of_another_kind_or_damaged_is_refused(tmp_path):
    model = fit_scenarios(some_windows(), VariationalSpec(encoder=SMALL, steps=1), seed=0)
    state = model.state()
    assert isinstance(restore_latent(state), FittedScenarios)
    with pytest.raises(CheckpointError, match="neither"):
        restore_latent(State(state.arrays, {**state.meta, "kind": "seq2seq"}))
    with pytest.raises(CheckpointError, match="do not fit"):
        restore_latent(State(dict(list(state.arrays.items())[1:]), state.meta))
    with pytest.raises(CheckpointError, match="do not fit"):
        restore_latent(State(state.arrays, {**state.meta, "spec": {**state.meta["spec"], "code": 7}}))
    save_state(tmp_path / "m.safetensors", state)
    content = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(content[:-9])
    with pytest.raises(CheckpointError):
        load_state(tmp_path / "m.safetensors")


def test_the_same_seed_fits_the_same_watch():
    windows = some_windows()
    first, again = (fit_watch(windows, AutoencoderSpec(encoder=SMALL, steps=4), seed=2) for _ in range(2))
    assert isinstance(first, FittedWatch)
    assert np.array_equal(first.score(windows.returns_NL), again.score(windows.returns_NL))
