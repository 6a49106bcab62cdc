"""Networks on another device: nothing stays behind, nothing waits; nets side by side learn as each does alone."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from s2squant.config.networks import Seq2SeqSpec
from s2squant.errors import ConfigError
from s2squant.nets.covariates import CovariateSizes, KnownAhead
from s2squant.nets.device import device_of
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.nets.side_by_side import ProductLSTM, Stack, can_stack, clip_each, train_together
from s2squant.nets.training import Resident, train, training_step

LEVELS = torch.arange(1, 40) / 40
TABLE = torch.special.ndtri(LEVELS.double()).float().expand(4, -1)
SMALL = {"encoder": {"hidden": 8, "window": 10}, "training": {"chunk": 30, "warm": 10, "positions": 5}}
ENDS = (torch.arange(30, 100), torch.arange(100, 250), torch.arange(260, 390))


def data() -> Resident:
    torch.manual_seed(3)
    price = torch.randn(400).double().cumsum(0)
    return Resident(torch.randn(400, 4), torch.ones(400, 4), price, torch.empty(0, dtype=torch.int64))


def nets(spec: Seq2SeqSpec) -> list[Seq2Seq]:
    made = []
    for seed in range(len(ENDS)):
        torch.manual_seed(seed)
        made.append(Seq2Seq(spec, 4, TABLE, LEVELS))
        made[-1].head.table.requires_grad_(False)
    return made


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_lstm_by_products_is_the_fused_one(batch_first):
    torch.manual_seed(0)
    fused = nn.LSTM(3, 5, batch_first=batch_first)
    ours = ProductLSTM(3, 5, batch_first=batch_first)
    ours.load_state_dict(fused.state_dict())
    past, first = torch.randn(4, 4, 3), (torch.randn(1, 4, 5), torch.randn(1, 4, 5))
    results = []
    for lstm in (fused, ours):
        states, (hidden, cell) = lstm(past, first)
        (states.square().sum() + hidden.sum() + cell.sum()).backward()
        results.append([states, hidden, cell, *(p.grad for p in lstm.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("decoder", [{}, {"kind": "mlp", "width": 0}])
def test_nets_side_by_side_learn_as_each_alone(decoder):
    spec = Seq2SeqSpec.model_validate(SMALL | {"decoder": decoder})
    assert can_stack(spec)
    alone, together, how = nets(spec), nets(spec), {"steps": 8, "batch": 3, "lr": 1e-2}
    losses = [
        train(net, data()._replace(chunk_ends=ends), spec.training, seed=seed, **how)
        for seed, (net, ends) in enumerate(zip(alone, ENDS, strict=True))
    ]
    found = train_together(together, data(), ENDS, spec.training, seeds=range(3), **how)
    assert torch.allclose(torch.tensor(found), torch.tensor(losses), atol=1e-6)
    for one, other in zip(alone, together, strict=True):
        for name, weight in one.state_dict().items():
            assert torch.allclose(weight, other.state_dict()[name], atol=1e-5), name


def test_a_net_knows_nothing_of_its_neighbours():
    spec = Seq2SeqSpec.model_validate(SMALL)
    ends, device = list(ENDS), torch.device("cpu")
    alone = Stack(nets(spec)[:1], spec.training, [0], device).losses(data(), ends[:1], 3)
    beside = Stack(nets(spec), spec.training, [0, 1, 2], device).losses(data(), ends, 3)
    assert torch.allclose(alone[0], beside[0], atol=1e-6)


def test_each_net_is_clipped_by_its_own_norm():
    grads = [torch.randn(3, 2, 4) * torch.tensor([0.01, 1.0, 100.0])[:, None, None], torch.randn(3, 5)]
    expected = [[part[k].clone().requires_grad_() for part in grads] for k in range(3)]
    for own in expected:
        for part in own:
            part.grad = part.detach().clone()
        nn.utils.clip_grad_norm_(own, 1.0)
    clip_each(grads, 1.0)
    for k, own in enumerate(expected):
        assert all(torch.allclose(part[k], one.grad, atol=1e-6) for part, one in zip(grads, own, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"decoder": {"kind": "mlp", "width": 0}},
        {"decoder": {"attention": {"kind": "luong_local_p"}}},
        {"decoder": {"attention": {"kind": "luong_local_m", "input_feeding": True}}},
        {"decoder": {"kind": "transformer", "heads": 2}, "encoder": SMALL["encoder"] | {"reads": "window"}},
        {"head": {"kind": "mixture"}},
        {
            "head": {"kind": "student_t"},
            "decoder": {"previous": True},
            "training": SMALL["training"] | {"regime": "scheduled"},
        },
    ],
)
def test_a_training_step_stays_on_its_device_and_waits_for_nothing(parts, monkeypatch):
    """On torch's meta device an operation with a tensor of the CPU fails, and so does reading a value."""
    real = torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda kind, *a, **k: nullcontext() if kind == "meta" else real(kind, *a, **k)
    )
    spec, sizes, meta = Seq2SeqSpec.model_validate(SMALL | parts), CovariateSizes(1, 2, (3,)), torch.device("meta")
    rows = torch.zeros(400, dtype=torch.int64)
    known = KnownAhead(torch.zeros(500, 2), rows, rows, torch.zeros(400, 0), rows[:, None])
    whole = data()._replace(inputs_RF=torch.randn(400, 5), chunk_ends=ENDS[0], ahead=known)
    net = Seq2Seq(spec, 4, TABLE, LEVELS, sizes).to(meta).train()
    loss = training_step(net, whole.to(meta), spec.training, 3, 0.5, torch.Generator().manual_seed(0))
    assert loss.device == meta
    assert all(p.grad is not None and p.grad.device == meta for n, p in net.named_parameters() if "weight_ih" in n)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="use 'auto' or 'cpu'"):
        device_of("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_a_net_learns_on_a_gpu_what_it_learns_on_a_cpu():
    spec = Seq2SeqSpec.model_validate(SMALL)
    on_gpu = spec.training.model_copy(update={"device": "cuda"})
    here, there = nets(spec)[0], nets(spec)[0]
    ready, how = data()._replace(chunk_ends=ENDS[0]), {"steps": 8, "batch": 3, "lr": 1e-2, "seed": 0}
    losses = [train(here, ready, spec.training, **how), train(there, ready, on_gpu, **how)]
    assert torch.allclose(*(torch.tensor(one) for one in losses), atol=1e-3)
    assert all(p.device.type == "cpu" for p in there.parameters())
