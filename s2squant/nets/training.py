"""The training loop, written once: optimiser, rate, clipping, weight average, and where a fit can go on from.

Shape legend: R bars, F inputs, H steps, B chunks, L bars of a chunk, P positions, N = B P origins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from s2squant.config.training import TrainingSpec
from s2squant.nets.adam import Adam
from s2squant.nets.covariates import Ahead, KnownAhead, KnownTogether
from s2squant.nets.device import device_of
from s2squant.nets.heads import PointHead, QuantileHead
from s2squant.nets.path_heads import CategoricalHead, step_deviation
from s2squant.nets.seq2seq import Feeding, Seq2Seq

Backward = Callable[[int, torch.Generator], Tensor]
"""Leaves the gradients of a step (given its number and the fit's generator) in the net; returns its loss, a number."""


def descent(loss: Callable[[int, torch.Generator], Tensor]) -> Backward:
    """The backward pass of a loss whose gradients are autograd's."""

    def backward(step: int, draw: torch.Generator) -> Tensor:
        value = loss(step, draw)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    return backward


class Trainer:
    """State of a fit: net, optimiser, weight average and generators.

    The generators are its own: torch's global one is seeded inside a step and put back. Weight decay is
    for matrices that are not in `undecayed`. `run` may be called in pieces, and `state` and `restore` carry a fit to
    another process: the steps are the same bits either way.
    """

    def __init__(
        self, net: nn.Module, spec: TrainingSpec, *, steps: int, lr: float, seed: int, undecayed: Sequence[Tensor] = ()
    ) -> None:
        self.net, self.spec, self.steps, self.lr = net, spec, steps, lr
        self.losses: list[float] = []
        self._draw = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._global = torch.random.get_rng_state()
        self._free = [p for p in net.parameters() if p.requires_grad]
        matrices, others = parted(net, undecayed)
        groups = [(list(matrices.values()), spec.weight_decay), (list(others.values()), 0.0)]
        self._optimiser = Adam(groups, kind=spec.optimiser, fused=True)
        self._average = [p.detach().clone() for p in self._free]

    def run(self, backward: Backward, until: int | None = None) -> None:
        """Take steps up to `until` (all of them when None)."""
        self.net.train()
        taken: list[Tensor] = []
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(self._global)
            for step in range(len(self.losses), self.steps if until is None else until):
                self._optimiser.zero_grad()
                taken.append(backward(step, self._draw))
                nn.utils.clip_grad_norm_(self._free, self.spec.clip)
                self._optimiser.step(self.lr * rate_of(self.spec, step, self.steps))
                weights = [p.data for p in self._free]
                torch._foreach_lerp_(self._average, weights, average_share(self.spec, step))
            self._global = torch.random.get_rng_state()
        self.losses += [float(loss) for loss in taken]  # at the end: to read one is to wait for a device
        self.net.eval()

    def finish(self) -> list[float]:
        """Leave the averaged weights in the net; returns the loss of every step."""
        torch._foreach_copy_([p.data for p in self._free], self._average)
        self.net.eval()
        return self.losses

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that `restore` needs, as tensors and as plain values."""
        tensors = {f"net/{name}": value.clone() for name, value in self.net.state_dict().items()}
        tensors |= {f"average/{k}": value.clone() for k, value in enumerate(self._average)}
        tensors |= {"draw": self._draw.get_state(), "global": self._global.clone()}
        for k, values in self._optimiser.moments().items():
            tensors |= {f"optimiser/{k}/{name}": value.clone() for name, value in values.items()}
        return tensors, {"losses": list(self.losses), "steps": self.steps, "lr": self.lr}

    def restore(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Go on from a state; raises ValueError when it is of another fit."""
        if meta.get("steps") != self.steps or meta.get("lr") != self.lr:
            raise ValueError(f"the state is of a fit of {meta.get('steps')} steps at {meta.get('lr')}")
        try:
            self.net.load_state_dict(
                {name.removeprefix("net/"): value for name, value in tensors.items() if name.startswith("net/")}
            )
            self._average = [tensors[f"average/{k}"].clone() for k in range(len(self._free))]
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith("optimiser/"):
                    _, k, what = name.split("/")
                    moments.setdefault(int(k), {})[what] = value.clone()
            self._optimiser.restore(moments)
            self._draw.set_state(tensors["draw"])
            self._global = tensors["global"].clone()
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"the state does not fit the net: {error}") from None
        self.losses = [float(loss) for loss in meta["losses"]]


def parted(net: nn.Module, undecayed: Sequence[Tensor]) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Parameters that learn, by name: those that weight decay pulls, matrices not in `undecayed`, and the others."""
    spared, free = {id(p) for p in undecayed}, {n: p for n, p in net.named_parameters() if p.requires_grad}
    matrices = {n: p for n, p in free.items() if p.ndim > 1 and id(p) not in spared}
    return matrices, {n: p for n, p in free.items() if n not in matrices}


class Resident(NamedTuple):
    """Everything a fit reads, resident once: windows are rows of these tensors."""

    inputs_RF: Tensor
    deviation_RH: Tensor
    """The anchor's standard deviation of the cumulative return, scaled units."""
    log_price_R: Tensor
    """Log price in scaled units, float64."""
    chunk_ends: Tensor
    """Rows at which a chunk may end: its first bar and its last label are of the same ticker and known."""
    ahead: KnownAhead | KnownTogether | None = None
    """Covariates of the steps after each row."""

    def to(self, device: torch.device) -> Resident:
        """The same on a device, all but the chunk ends, from which windows are drawn."""
        inputs_RF, deviation_RH, log_price_R, chunk_ends, ahead = self
        moved = (inputs_RF.to(device), deviation_RH.to(device), log_price_R.to(device))
        return Resident(*moved, chunk_ends, None if ahead is None else ahead.to(device))

    def ahead_of(self, rows_N: Tensor) -> Ahead | None:
        """What is known at some rows of the steps after them; None without covariates."""
        return None if self.ahead is None else self.ahead.of(rows_N, self.deviation_RH.shape[1])


def train(
    net: Seq2Seq, data: Resident, spec: TrainingSpec, *, steps: int, batch: int, lr: float, seed: int
) -> list[float]:
    """Train in place and leave the averaged weights in the net, on the CPU; returns the loss of every step.

    Precision `auto` is for the caller to resolve, who knows what else is trained (precision.py); here it is float32.
    """
    device = device_of(spec.device)
    net, data = net.to(device), data.to(device)
    if isinstance(net.head, CategoricalHead):
        net.head.learn_bins(truth_of(net, data, _some(data.chunk_ends, 20_000).to(device)))
    trainer = Trainer(net, spec, steps=steps, lr=lr, seed=seed, undecayed=net.undecayed())
    trainer.run(lambda step, draw: training_step(net, data, spec, batch, truth_share(spec, step, steps), draw))
    losses = trainer.finish()
    net.cpu()
    return losses


def truth_share(spec: TrainingSpec, step: int, steps: int) -> float:
    """Probability of feeding the truth at a step (Bengio et al. 2015): 1 when forced, 0 when free, else falling.

    linear 1 - u, exponential .01^u, inverse sigmoid k / (k + exp(u s / k)) with k = 10 and s such that .01 is left at
    the end, u the part of the fit that is done.
    """
    done = step / max(steps - 1, 1)
    match spec.regime:
        case "teacher":
            return 1.0
        case "free":
            return 0.0
        case "scheduled":
            pass
    match spec.schedule:
        case "linear":
            return 1.0 - done
        case "exponential":
            return float(0.01**done)
        case "inverse_sigmoid":
            return 10.0 / (10.0 + math.exp(done * math.log(990.0)))


def training_step(
    net: Seq2Seq, data: Resident, spec: TrainingSpec, batch: int, share: float, draw: torch.Generator
) -> Tensor:
    device = data.inputs_RF.device
    rows_BL, positions_P = windows(data.chunk_ends, spec, batch, draw)
    past_BLF, rows_N = data.inputs_RF[rows_BL.to(device)], rows_BL[:, positions_P].flatten().to(device)
    truth_HN, ahead = truth_of(net, data, rows_N), data.ahead_of(rows_N)
    return backward(net, past_BLF, positions_P, truth_HN, Feeding(share, draw), ahead, bf16=spec.precision == "bf16")


def windows(chunk_ends: Tensor, spec: TrainingSpec, batch: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows (B, L) of the chunks of a step, and the positions (P,) to decode from in each; both on the CPU."""
    ends_B = chunk_ends[torch.randint(len(chunk_ends), (batch,), generator=draw)]
    positions_P = torch.randperm(spec.chunk - spec.warm, generator=draw)[: spec.positions] + spec.warm
    return ends_B[:, None] + torch.arange(1 - spec.chunk, 1), positions_P


def backward(
    net: Seq2Seq,
    past_BLF: Tensor,
    positions_P: Tensor,
    truth_HN: Tensor,
    feeding: Feeding,
    ahead: Ahead | None = None,
    *,
    bf16: bool = False,
) -> Tensor:
    """Leave the gradients of the mean loss in the net and return the loss: one encoding, decoded block by block."""
    device = past_BLF.device.type
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        memory = net.encode(past_BLF, positions_P, ahead)
    origins, total = len(memory.summary_BK), torch.zeros((), dtype=torch.float64, device=device)
    leaf, each = memory.detached(), net.decoder.block or len(memory.summary_BK)
    for first in range(0, origins, each):
        block = slice(first, min(first + each, origins))
        part = leaf if each >= origins else leaf.pick(block)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = net.loss(part, truth_HN[:, block], feeding) * ((block.stop - first) / origins)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    pairs = [(ours, copy.grad) for ours, copy in zip(memory.tensors(), leaf.tensors(), strict=True)]
    reached = [(tensor, grad) for tensor, grad in pairs if grad is not None]
    # The same gradients, to the bit, as of `torch.autograd.backward`, which imports sympy: .4 s and 30 MB a process.
    torch.stack([(tensor * grad).sum().double() for tensor, grad in reached]).sum().backward()  # type: ignore[no-untyped-call]
    return total


def truth_of(net: Seq2Seq, data: Resident, rows_N: Tensor) -> Tensor:
    """Returns (H, N) after `rows_N`, cumulative or of each step as the head models them, in the anchor's units."""
    horizon = data.deviation_RH.shape[1]
    ahead_H1 = torch.arange(horizon + 1, device=rows_N.device)[:, None]
    price_HN = data.log_price_R[rows_N + ahead_H1]
    deviation_NH = data.deviation_RH[rows_N]
    if isinstance(net.head, QuantileHead | PointHead):
        return (price_HN[1:] - price_HN[0]).float() / deviation_NH.T
    return torch.diff(price_HN, dim=0).float() / step_deviation(deviation_NH).T


def _some(rows: Tensor, most: int) -> Tensor:
    """At most so many rows, evenly spread."""
    return rows[:: max(1, len(rows) // most)]


def rate_of(spec: TrainingSpec, step: int, steps: int) -> float:
    """Share of the full learning rate at a step."""
    return one_cycle(step, steps) if spec.rate == "one_cycle" else 1.0


def average_share(spec: TrainingSpec, step: int) -> float:
    """How far the weight average moves towards the weights after a step: further while there are few."""
    return 1.0 - min(spec.ema, (step + 1) / (step + 10))


def one_cycle(step: int, steps: int, *, rise: float = 0.2) -> float:
    """Share of the full learning rate at a step: a cosine up from 1/25 over the first fifth, then down to nothing.

    Smith and Topin 2018.
    """
    done = (step + 1) / max(steps, 1)
    if done < rise:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / rise))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - rise) / (1 - rise)))) + 1e-4
