"""Nets of one build trained side by side: a leading net axis, by batched products, for accelerators.

Each net has its own windows, dropout masks, clipping, moments and average, drawn as if it were trained alone, so that
its result depends on no neighbour (but for rounding: a product's order is the device's). On a CPU a loop is faster.

Shape legend: V nets, B chunks, L bars, F inputs, P positions, N = B P origins, H steps, K hidden units, G = 4 K.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from s2squant.config.networks import Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.nets.adam import Adam
from s2squant.nets.decoders import RecurrentDecoder
from s2squant.nets.encoders import RecurrentEncoder
from s2squant.nets.heads import Corrections
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.nets.training import Resident, average_share, parted, rate_of, truth_of, windows

TOGETHER = 256
"""Nets in one batch; what is kept for the gradients grows with them (about 50 MB a net as shipped)."""


class ProductLSTM(nn.LSTM):
    """One layer of `nn.LSTM` by products and pointwise operations, which torch can map over nets."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        steps_LBF = input.transpose(0, 1) if self.batch_first else input
        gates_LBG = steps_LBF @ self.weight_ih_l0.T + (self.bias_ih_l0 + self.bias_hh_l0)
        first_BK = gates_LBG.new_zeros(gates_LBG.shape[1], self.hidden_size)
        hidden_BK, cell_BK = (first_BK, first_BK) if hx is None else (hx[0][0], hx[1][0])
        hidden = []
        for gates_BG in gates_LBG.unbind(0):
            enter, forget, new, leave = (gates_BG + hidden_BK @ self.weight_hh_l0.T).chunk(4, dim=1)
            cell_BK = torch.sigmoid(forget) * cell_BK + torch.sigmoid(enter) * torch.tanh(new)
            hidden_BK = torch.sigmoid(leave) * torch.tanh(cell_BK)
            hidden.append(hidden_BK)
        states = torch.stack(hidden, dim=1 if self.batch_first else 0)
        return states, (hidden_BK[None], cell_BK[None])


def can_stack(spec: Seq2SeqSpec) -> bool:
    """Whether nets of this build can be trained side by side: LSTMs of one layer, a quantile head, nothing fed back."""
    encoder, decoder = spec.encoder, spec.decoder
    recurrent = encoder.kind == "recurrent" and encoder.cell == "lstm" and encoder.layers == 1
    direct = decoder.kind in ("recurrent", "mlp") and decoder.layers == 1 and not decoder.previous
    simple = (
        not spec.remembers
        and decoder.attention.kind == "none"
        and encoder.summary == "last"
        and decoder.start == "summary"
    )
    return recurrent and direct and simple and spec.head.kind == "quantile" and spec.training.precision != "bf16"


def train_together(
    nets: Sequence[Seq2Seq],
    data: Resident,
    ends: Sequence[Tensor],
    spec: TrainingSpec,
    *,
    steps: int,
    batch: int,
    lr: float,
    seeds: Sequence[int],
) -> list[list[float]]:
    """Train nets for which `can_stack` holds in place, each on chunks of its own; returns each one's losses.

    As many trainings by `training.train`, but for rounding; the averaged weights are left in the nets, on the CPU.
    """
    losses: list[list[float]] = []
    for first in range(0, len(nets), TOGETHER):
        part = slice(first, first + TOGETHER)
        stack = Stack(nets[part], spec, seeds[part], data.inputs_RF.device)
        taken = [stack.step(data, ends[part], batch, lr * rate_of(spec, step, steps)) for step in range(steps)]
        stack.finish()
        losses += torch.stack(taken, dim=1).tolist()
    return losses


class Stack:
    """Nets under training: weights, moments and averages with a leading net axis."""

    def __init__(self, nets: Sequence[Seq2Seq], spec: TrainingSpec, seeds: Sequence[int], device: torch.device) -> None:
        self.nets, self.spec, self.taken = nets, spec, 0
        self.loss = PlainLoss(nets[0]).to(device)
        of_net = [dict(net.named_parameters()) for net in nets]
        self.weights = {
            name: torch.stack([one[name].detach() for one in of_net]).to(device).requires_grad_(first.requires_grad)
            for name, first in of_net[0].items()
        }
        decayed, others = parted(nets[0], nets[0].undecayed())
        self.free = [*decayed, *others]
        groups = [(decayed, spec.weight_decay), (others, 0.0)]
        stacked = [([self.weights[name] for name in names], decay) for names, decay in groups]
        self.optimiser = Adam(stacked, kind=spec.optimiser, fused=True)
        self.average = [self.weights[name].detach().clone() for name in self.free]
        self.draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.masks = [torch.Generator().manual_seed(seed) for seed in seeds]

    def step(self, data: Resident, ends: Sequence[Tensor], batch: int, lr: float) -> Tensor:
        """One step of every net; returns their losses (V,)."""
        self.optimiser.zero_grad()
        loss_V = self.losses(data, ends, batch)
        loss_V.sum().backward()  # type: ignore[no-untyped-call]
        moved = [self.weights[name] for name in self.free]
        clip_each([one.grad for one in moved if one.grad is not None], self.spec.clip)
        self.optimiser.step(lr)
        torch._foreach_lerp_(self.average, [one.data for one in moved], average_share(self.spec, self.taken))
        self.taken += 1
        return loss_V.detach()

    def losses(self, data: Resident, ends: Sequence[Tensor], batch: int) -> Tensor:
        """The loss (V,) of every net on windows of its own."""
        device = data.inputs_RF.device
        drawn = [windows(own, self.spec, batch, draw) for own, draw in zip(ends, self.draws, strict=True)]
        rows_VBL, positions_VP = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        rows_VN = torch.stack([rows[:, at].flatten() for rows, at in drawn])
        truth_HX = truth_of(self.nets[0], data, rows_VN.flatten().to(device))
        truth_VHN = truth_HX.view(len(truth_HX), *rows_VN.shape).transpose(0, 1)
        head = self.nets[0].head
        masks = [dropout_mask(head, rows_VN.shape[1], draw) for draw in self.masks]
        seen = (data.inputs_RF[rows_VBL.to(device)], positions_VP.to(device), truth_VHN, torch.stack(masks).to(device))

        def loss(weights: dict[str, Tensor], *own: Tensor) -> Tensor:
            named = {f"net.{name}": weight for name, weight in weights.items()}
            return torch.as_tensor(torch.func.functional_call(self.loss, named, own))

        return torch.as_tensor(torch.func.vmap(loss)(self.weights, *seen))

    def finish(self) -> None:
        """Leave the averages in the nets."""
        for name, average in zip(self.free, self.average, strict=True):
            for net, weight in zip(self.nets, average.cpu(), strict=True):
                net.get_parameter(name).data.copy_(weight)
        for net in self.nets:
            net.eval()


class PlainLoss(nn.Module):
    """The loss of a copy of a net whose LSTMs are products."""

    def __init__(self, net: Seq2Seq) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        for part in (self.net.encoder, self.net.decoder):
            if isinstance(part, RecurrentEncoder | RecurrentDecoder):
                part.rnn = ProductLSTM(part.rnn.input_size, part.rnn.hidden_size, batch_first=part.rnn.batch_first)

    def forward(self, past_BLF: Tensor, positions_P: Tensor, truth_HN: Tensor, mask_ND: Tensor) -> Tensor:
        return self.net.plain_loss(past_BLF, positions_P, truth_HN, mask_ND)


def clip_each(grads: Sequence[Tensor], clip: float) -> None:
    """Clip the gradient norm of each net by itself, in place."""
    norm_V = torch.stack([grad.flatten(1).square().sum(dim=1) for grad in grads]).sum(dim=0).sqrt()
    share_V = (clip / (norm_V + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(share_V.view(-1, *[1] * (grad.ndim - 1)))


def dropout_mask(head: Corrections, origins: int, draw: torch.Generator) -> Tensor:
    """What `head.draw_mask` draws where the global generator is in the state of `draw`; ones without dropout."""
    kept = 1.0 - head.dropout
    mask_ND = torch.ones(origins, head.corrections.in_features)
    return mask_ND if kept == 1.0 else mask_ND.bernoulli_(kept, generator=draw).div_(kept)
