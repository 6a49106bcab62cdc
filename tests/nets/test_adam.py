"""Our Adam takes the steps of torch's, to the bit, and torch's compiler is not imported for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from s2squant.config.networks import AnchorSpec
from s2squant.nets.adam import Adam
from s2squant.nets.bank import VarianceBank, fit_bank, student_nll


def parameters() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=draw).requires_grad_() for shape in ((3, 4), (5, 3), (4,), (2,))]


def descend(params: list[Tensor]) -> None:
    """Leave gradients in all parameters but the last."""
    for p in params:
        p.grad = None
    (params[1] @ params[0] + params[2]).square().mean().backward()


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_its_steps_are_those_of_torch_and_go_on_from_its_moments(kind) -> None:
    theirs, ours = parameters(), parameters()
    groups = [{"params": theirs[:2], "weight_decay": 0.1}, {"params": theirs[2:], "weight_decay": 0.0}]
    torchs = (torch.optim.AdamW if kind == "adamw" else torch.optim.Adam)(groups, lr=1.0, fused=True)
    mine = Adam([(ours[:2], 0.1), (ours[2:], 0.0)], kind=kind, fused=True)
    for step in range(6):
        rate = 0.1 / (step + 1)
        for group in torchs.param_groups:
            group["lr"] = rate
        descend(theirs)
        torchs.step()
        descend(ours)
        mine.step(rate)
        if step == 3:
            moments = mine.moments()
            mine = Adam([(ours[:2], 0.1), (ours[2:], 0.0)], kind=kind, fused=True)
            mine.restore(moments)
    assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))
    assert set(mine.moments()) == {0, 1, 2}, "the last parameter never had a gradient"
    state = torchs.state_dict()["state"]
    assert all(torch.equal(state[k][name], value) for k, one in mine.moments().items() for name, value in one.items())


def test_the_bank_is_fitted_as_by_torchs_adam_and_cosine() -> None:
    draw = torch.Generator().manual_seed(2)
    members = torch.rand(300, 4, generator=draw, dtype=torch.float64) + 0.5
    y = torch.randn(300, 3, generator=draw, dtype=torch.float64)
    spec = AnchorSpec(steps=7)
    fitted = fit_bank(members, y, spec, batch=64, seed=5)

    bank, draws = VarianceBank(4, 3), torch.Generator().manual_seed(5)
    optimiser = torch.optim.Adam(bank.parameters(), lr=spec.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, spec.steps)
    for _ in range(spec.steps):
        pick = torch.randint(300, (64,), generator=draws)
        loss = student_nll(y[pick], bank(members[pick]), bank.degrees_H())
        loss = loss + spec.penalty * bank.mixture.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    assert torch.equal(fitted.weights_HK(), bank.weights_HK())


def said(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.split()


def test_the_estimator_waits_for_no_model_s_library() -> None:
    heavy = {
        "torch",
        "statsmodels",
        "arch",
        "sklearn.ensemble",
        "sklearn.linear_model",
        "plotly",
        "jinja2",
        "sqlalchemy",
    }
    assert said(f"import sys, s2squant.estimator; print(*{heavy} & set(sys.modules))") == []


@pytest.mark.slow
def test_a_fit_does_not_import_the_compiler() -> None:
    code = """
import sys, torch
from s2squant.config.networks import AnchorSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.nets.bank import fit_bank
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.training import Trainer, backward, descent
from tests.nets.test_nets import net as seq2seq
ones = torch.ones(9, 2, dtype=torch.float64)
fit_bank(ones, ones, AnchorSpec(steps=2), batch=4, seed=1)
net = torch.nn.LSTM(2, 2)
trainer = Trainer(net, TrainingSpec(), steps=2, lr=.1, seed=1)
trainer.run(descent(lambda step, draw: net(torch.ones(3, 1, 2))[0].square().sum()))
trainer.restore(*trainer.state())
past, at, truth = torch.randn(2, 9, 5), torch.tensor([4, 8]), torch.randn(6, 4)
backward(seq2seq(Seq2SeqSpec()), past, at, truth, Feeding(0., torch.Generator()))
print(*{'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules))
"""
    assert said(code) == []
