"""Heads: densities integrate and match their samples, bins come back, quantiles match paths, fits go on bit by bit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from s2squant.config.networks import DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.errors import CheckpointError
from s2squant.nets.path_heads import CategoricalHead, MixtureHead, StudentHead, step_deviation
from s2squant.nets.seq2seq import Feeding, Seq2Seq
from s2squant.nets.training import Resident, Trainer, backward, train, truth_share
from s2squant.series.forecast import State
from s2squant.series.states import load_state, save_state
from tests.worlds.processes import in_another_process

H, INPUTS = 5, 3
LEVELS_Q = torch.arange(1, 40) / 40
TABLE = torch.special.ndtri(LEVELS_Q.double()).float().expand(H, -1)


def head_of(kind: str) -> StudentHead | MixtureHead | CategoricalHead:
    spec = HeadSpec(kind=kind, bins=16)
    match kind:
        case "student_t":
            head = StudentHead(spec, 4, 8, 0.0)
        case "mixture":
            head = MixtureHead(spec, 4, 8, 0.0)
        case _:
            head = CategoricalHead(spec, 4, 8, 0.0)
            head.learn_bins(torch.distributions.StudentT(4.0).sample((5000,)))
    return head.double().eval()


def disturbed(module: torch.nn.Module, by: float = 0.5) -> None:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))


@pytest.mark.parametrize("kind", ["student_t", "mixture"])
def test_a_density_integrates_to_one_and_its_untrained_variance_is_one(kind):
    head = head_of(kind)
    grid = torch.linspace(-400, 400, 400_001, dtype=torch.float64)
    hidden = torch.randn(H, 1, 4, dtype=torch.float64)
    for trained in (False, True):
        if trained:
            disturbed(head)
        parts = head(hidden)[2]
        density = torch.exp(head.log_density(parts.expand(len(grid), -1), grid))
        assert torch.trapezoid(density, grid).item() == pytest.approx(1.0, abs=1e-4)
        if not trained:
            variance = torch.trapezoid(density * grid**2, grid).item()
            assert variance == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["student_t", "mixture", "categorical"])
def test_samples_follow_the_density(kind):
    head = head_of(kind)
    disturbed(head)
    parts = head(torch.randn(H, 1, 4, dtype=torch.float64))[1].expand(200_000, -1)
    uniforms = torch.rand(200_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = head.sample(parts, uniforms)
    if isinstance(head, CategoricalHead):
        expected = torch.exp(parts[0])
        found = torch.bincount(head.bins_of(drawn), minlength=16) / len(drawn)
        assert found.numpy() == pytest.approx(expected.detach().numpy(), abs=0.005)
        return
    grid = torch.linspace(-60, 60, 60_001, dtype=torch.float64)
    mass = torch.cumulative_trapezoid(torch.exp(head.log_density(parts[: len(grid)], grid)), grid).detach()
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        exact = grid[1:][torch.searchsorted(mass, level)]
        assert torch.quantile(drawn[:100_000], level).item() == pytest.approx(exact.item(), abs=0.03)


def test_bins_are_equally_likely_come_back_and_are_learnt_from_what_they_are_given_only():
    head = head_of("categorical")
    x = torch.distributions.StudentT(4.0).sample((20_000,))
    head.learn_bins(x)
    counts = torch.bincount(head.bins_of(x), minlength=16)
    assert counts.min() > 0.98 * len(x) / 16
    for b in range(16):
        certain = torch.full((50, 16), float("-inf"), dtype=torch.float64)
        certain[:, b] = 0.0
        drawn = head.sample(certain, torch.rand(50, 2, dtype=torch.float64))
        assert (head.bins_of(drawn) == b).all()
    assert head.bins_of(torch.tensor([-1e9, 1e9])).tolist() == [0, 15]
    with pytest.raises(ValueError, match="too many equal returns for 16 bins"):
        head.learn_bins(torch.zeros(500))


def net_of(kind: str, *, previous: bool = True, regime: str = "teacher", paths: int = 4096) -> Seq2Seq:
    torch.manual_seed(0)
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=6),
        decoder=DecoderSpec(width=8, previous=previous, dropout=0.0),
        head=HeadSpec(kind=kind, bins=16, paths=paths),
        training=TrainingSpec(chunk=50, warm=10, positions=4, regime=regime if previous else "free"),
    )
    net = Seq2Seq(spec, INPUTS, TABLE, LEVELS_Q)
    if isinstance(net.head, CategoricalHead):
        net.head.learn_bins(torch.distributions.StudentT(5.0).sample((5000,)))
    disturbed(net, 0.3)
    return net.eval()


@pytest.mark.parametrize("kind", ["student_t", "mixture", "categorical"])
def test_quantiles_are_those_of_the_sampled_sums(kind):
    net = net_of(kind)
    past, deviation = torch.randn(2, 50, INPUTS), torch.arange(1, H + 1).sqrt().expand(2, H)
    outlook = net.forecast(past, deviation, seed=1)
    other = net.forecast(past, deviation, seed=2)
    assert outlook.paths_NSH is not None
    spread = (outlook.quantiles_NHQ[..., -1] - outlook.quantiles_NHQ[..., 0])[..., None]
    again = torch.quantile(other.paths_NSH, LEVELS_Q, dim=1).permute(1, 2, 0)
    assert ((outlook.quantiles_NHQ - again).abs() < 0.05 * spread).all(), "beyond Monte-Carlo error"


@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("kind", ["student_t", "mixture", "categorical"])
@torch.no_grad()
def test_a_step_of_a_path_depends_on_the_step_before_where_it_is_read(kind, previous):
    net = net_of(kind, previous=previous)
    memory = net.encode(torch.randn(1, 50, INPUTS), torch.tensor([49]))
    uniform = torch.rand(64, H, 2, generator=torch.Generator().manual_seed(0))
    other = uniform.clone()
    other[:, 0] = 1 - other[:, 0]
    ours, _ = net._paths(memory, net.head, uniform)
    theirs, _ = net._paths(memory, net.head, other)
    assert not torch.equal(ours[..., 0], theirs[..., 0])
    assert torch.equal(ours[..., 1:], theirs[..., 1:]) != previous


def test_the_first_step_of_a_student_path_has_the_analytic_quantiles():
    net = net_of("student_t", paths=8192)
    past, deviation = torch.randn(1, 50, INPUTS), torch.arange(1, H + 1).sqrt().expand(1, H)
    location, scale, degrees = net(past, torch.tensor([49]))[0, 0].detach().double().tolist()
    from scipy.stats import t

    exact = t.ppf(LEVELS_Q.numpy(), degrees, location, scale)
    assert net.forecast(past, deviation).quantiles_NHQ[0, 0].numpy() == pytest.approx(exact, abs=0.03)


def test_step_deviations_add_up():
    deviation = torch.rand(4, H, dtype=torch.float64).cumsum(1) + 1
    assert torch.allclose(step_deviation(deviation).square().cumsum(1).sqrt(), deviation)
    assert (step_deviation(torch.ones(1, H)) > 0).all(), "a variance that does not grow still has steps"


@pytest.mark.parametrize("kind", ["quantile", "point", "student_t", "mixture", "categorical"])
@pytest.mark.parametrize("attention", ["none", "bahdanau", "luong_global"])
def test_teacher_forcing_on_its_own_outputs_is_running_free(kind, attention):
    torch.manual_seed(0)
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=6),
        decoder=DecoderSpec(width=8, previous=True, dropout=0.0, attention={"kind": attention}),
        head=HeadSpec(kind=kind, bins=16),
        training=TrainingSpec(chunk=50, warm=40, positions=2),
    )
    net = Seq2Seq(spec, INPUTS, TABLE, LEVELS_Q)
    disturbed(net, 0.3)
    net = net.double().eval()
    memory = net.encode(torch.randn(7, 50, INPUTS, dtype=torch.float64), torch.tensor([49, 45]))
    draw = torch.Generator()
    free = net.decode(memory, None, Feeding(0.0, draw.manual_seed(3)))
    if kind in ("quantile", "point"):
        own = torch.stack([net.head.feed(out) for out in free])
    else:
        draw.manual_seed(3)
        uniforms = [torch.rand(14, 2, generator=draw).clamp(1e-6, 1 - 1e-6).double() for _ in range(H - 1)]
        own = torch.stack([net.head.sample(out, u) for out, u in zip(free, uniforms, strict=False)] + [free[-1, :, 0]])
    forced = net.decode(memory, own, Feeding(1.0, draw))
    assert torch.allclose(forced, free, atol=1e-9, rtol=0)
    looped, _ = net._unroll(memory, None, own, Feeding(1.0, draw.manual_seed(3)))
    assert torch.equal(looped, free), "step by step the two are the same bits"


def test_scheduled_sampling_tosses_one_coin_an_element():
    net = net_of("point", regime="scheduled").double()
    memory = net.encode(torch.randn(40, 50, INPUTS, dtype=torch.float64), torch.tensor([49]))
    truth = torch.full((H, 40), 3.0, dtype=torch.float64)
    seen: list[torch.Tensor] = []
    original = net.decoder.step

    def watching(x, state):
        seen.append(x[:, 2].clone())
        return original(x, state)

    net.decoder.step = watching  # type: ignore[method-assign]
    net.decode(memory, truth, Feeding(0.5, torch.Generator().manual_seed(0)))
    fed_truth = torch.stack(seen[1:]) == torch.log1p(torch.tensor(3.0, dtype=torch.float64))
    assert 0.35 < fed_truth.double().mean() < 0.65
    assert all(0 < row.sum() < 40 for row in fed_truth), "a coin for the whole batch"
    assert len({tuple(column.tolist()) for column in fed_truth.T}) > 5, "a coin for the whole sequence"


def test_schedules_start_at_the_truth_and_end_near_free():
    for schedule in ("linear", "exponential", "inverse_sigmoid"):
        spec = TrainingSpec(regime="scheduled", schedule=schedule)
        shares = [truth_share(spec, step, 100) for step in range(100)]
        assert shares[0] > 0.9
        assert shares[-1] == pytest.approx(0.01, abs=0.0101)
        assert all(np.diff(shares) <= 0)
    assert truth_share(TrainingSpec(regime="teacher"), 99, 100) == 1.0
    assert truth_share(TrainingSpec(), 0, 100) == 0.0


def resident() -> Resident:
    draw = torch.Generator().manual_seed(0)
    deviation = torch.arange(1, H + 1).sqrt().expand(300, H).float()
    price = torch.randn(300, generator=draw).double().cumsum(0)
    return Resident(torch.randn(300, INPUTS, generator=draw), deviation, price, torch.arange(60, 290))


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_a_fit_goes_on_bit_by_bit_from_its_checkpoint(optimiser, tmp_path):
    spec = TrainingSpec(chunk=50, warm=10, positions=4, optimiser=optimiser)
    past = torch.randn(4, 50, INPUTS)

    def start() -> Trainer:
        torch.manual_seed(0)
        net = Seq2Seq(Seq2SeqSpec(encoder=EncoderSpec(hidden=6), training=spec), INPUTS, TABLE, LEVELS_Q)
        return Trainer(net, spec, steps=12, lr=1e-2, seed=5, undecayed=net.undecayed())

    def go(trainer: Trainer, until: int | None) -> None:
        def step(number: int, draw: torch.Generator) -> float:
            y = torch.randn(H, 8, generator=draw)
            return backward(trainer.net, past, torch.tensor([20, 49]), y, Feeding(0.0, draw))

        trainer.run(step, until)

    straight = start()
    go(straight, None)
    first = start()
    go(first, 5)
    tensors, meta = first.state()
    save_state(tmp_path / "fit.safetensors", State({k: v.numpy() for k, v in tensors.items()}, meta))
    kept = load_state(tmp_path / "fit.safetensors")
    second = start()
    second.restore({k: torch.tensor(v) for k, v in kept.arrays.items()}, kept.meta)
    go(second, None)
    assert second.finish() == straight.finish()
    for a, b in zip(second.net.parameters(), straight.net.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="of a fit of 12 steps"):
        Trainer(second.net, spec, steps=13, lr=1e-2, seed=5).restore(tensors, meta)


def test_l2_is_in_adams_gradient_and_apart_from_it_in_adamw():
    ends = {}
    for optimiser in ("adam", "adamw"):
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 3, bias=False)
        spec = TrainingSpec(optimiser=optimiser, weight_decay=0.5, rate="constant", ema=0.0)
        start = module.weight.detach().clone()

        def nothing(step: int, draw: torch.Generator, module=module) -> float:
            module.weight.grad = torch.zeros_like(module.weight)
            return 0.0

        trainer = Trainer(module, spec, steps=1, lr=0.01, seed=0)
        trainer.run(nothing)
        ends[optimiser] = (module.weight.detach() - start) / start
    assert torch.allclose(ends["adamw"], torch.full((3, 3), -0.005), atol=1e-5)
    assert not torch.allclose(ends["adam"], ends["adamw"], atol=1e-3), "Adam scales the gradient of the penalty"


def said(net: Seq2Seq) -> np.ndarray:
    past, deviation = torch.linspace(-2, 2, 2 * 50 * 3).view(2, 50, 3), torch.arange(1, 6).sqrt().expand(2, 5)
    return net.forecast(past, deviation).quantiles_NHQ.numpy()


def said_by_the_saved(folder: Path) -> dict[str, np.ndarray]:
    ours = {}
    for path in folder.glob("*.safetensors"):
        state = load_state(path)
        net = Seq2Seq(Seq2SeqSpec.model_validate(state.meta["spec"]), 3, torch.zeros(5, 39), torch.arange(1, 40) / 40)
        net.load_state_dict({k: torch.tensor(v) for k, v in state.arrays.items()})
        ours[path.stem] = said(net.eval())
    return ours


def test_a_net_of_each_kind_forecasts_the_same_bits_in_another_process(tmp_path: Path):
    kinds = ["quantile", "point", "student_t", "mixture", "categorical"]
    ours = {}
    for kind in kinds:
        net = net_of(kind, previous=kind != "quantile", paths=64)
        arrays = {name: value.numpy() for name, value in net.state_dict().items()}
        save_state(tmp_path / f"{kind}.safetensors", State(arrays, {"spec": net.spec.model_dump(mode="json")}))
        ours[kind] = said(net)
    theirs = in_another_process(said_by_the_saved, tmp_path)
    for kind in kinds:
        assert np.array_equal(theirs[kind], ours[kind]), kind


@pytest.mark.parametrize("harm", ["cut", "changed", "empty"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, harm: str):
    path = tmp_path / "net.safetensors"
    net = net_of("student_t", paths=64)
    save_state(path, State({name: value.numpy() for name, value in net.state_dict().items()}, {"kind": "x"}))
    content = bytearray(path.read_bytes())
    match harm:
        case "cut":
            path.write_bytes(content[:-100])
        case "changed":
            content[-20] ^= 0xFF
            path.write_bytes(content)
        case "empty":
            path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="not a readable model file"):
        load_state(path)


def test_training_a_path_head_learns_its_bins_from_the_training_rows():
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=6),
        head=HeadSpec(kind="categorical", bins=8, paths=64),
        training=TrainingSpec(chunk=50, warm=10, positions=4),
    )
    net = Seq2Seq(spec, INPUTS, TABLE, LEVELS_Q)
    before = net.head.knots_BK.clone()
    train(net, resident(), spec.training, steps=2, batch=2, lr=1e-3, seed=0)
    assert not torch.equal(net.head.knots_BK, before)
