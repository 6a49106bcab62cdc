"""The training loop, written once.

Shape legend: R bars, F inputs, H steps, Q levels, B chunks, L bars of a chunk, P positions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2squant.config import TrainingSpec
from s2squant.nets.heads import pinball
from s2squant.nets.seq2seq import Seq2Seq


class Resident(NamedTuple):
    """Everything a fit reads, resident once: windows are rows of these tensors."""

    inputs_RF: Tensor
    deviation_RH: Tensor
    """The anchor's standard deviation of the cumulative return, scaled units."""
    log_price_R: Tensor
    """Log price in scaled units, float64."""
    chunk_ends: Tensor
    """Rows at which a chunk may end: its first bar and its last label are of the same ticker and known."""


def train(
    net: Seq2Seq, data: Resident, spec: TrainingSpec, levels_Q: Tensor, *, steps: int, batch: int, lr: float, seed: int
) -> list[float]:
    """Train in place and leave the averaged weights in the net; returns the loss of every step.

    Pinball of the standardised cumulative return, AdamW with one cycle, exponential weight average. Draws come from
    generators of its own; dropout's global generator is seeded and put back.
    """
    draw = torch.Generator().manual_seed(seed)
    horizon = data.deviation_RH.shape[1]
    back = torch.arange(1 - spec.chunk, 1)
    ahead_H1 = torch.arange(1, horizon + 1)[:, None]
    free = [p for p in net.parameters() if p.requires_grad]
    matrices = [p for p in free if p.ndim > 1 and p is not net.head.table]
    others = [p for p in free if p.ndim <= 1 or p is net.head.table]
    groups = [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: one_cycle(step, steps))
    weights = [p.data for p in free]
    average = [w.clone() for w in weights]
    losses = []
    net.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(steps):
            ends_B = data.chunk_ends[torch.randint(len(data.chunk_ends), (batch,), generator=draw)]
            positions = torch.randperm(spec.chunk - spec.warm, generator=draw)[: spec.positions] + spec.warm
            rows_N = (ends_B[:, None] + back[positions]).flatten()
            target_HN = data.log_price_R[rows_N + ahead_H1] - data.log_price_R[rows_N]
            y_HN = target_HN.float() / data.deviation_RH[rows_N].T
            optimiser.zero_grad(set_to_none=True)
            losses.append(_backward(net, data.inputs_RF[ends_B[:, None] + back], positions, y_HN, levels_Q, spec))
            nn.utils.clip_grad_norm_(free, spec.clip)
            optimiser.step()
            schedule.step()
            torch._foreach_lerp_(average, weights, 1.0 - min(spec.ema, (step + 1) / (step + 10)))
    torch._foreach_copy_(weights, average)
    net.eval()
    return losses


def _backward(
    net: Seq2Seq, past_BLF: Tensor, positions_P: Tensor, y_HN: Tensor, levels_Q: Tensor, spec: TrainingSpec
) -> float:
    """Leave the gradients of the mean loss in the net and return the loss: one encoding, decoded block by block."""
    with torch.autocast("cpu", torch.bfloat16, enabled=spec.bf16):
        summary_NK = net.encode(past_BLF, positions_P)
    origins = len(summary_NK)
    decoded = summary_NK.detach().requires_grad_()
    size, total = net.decoder.block or origins, 0.0
    for block_NK, block_y in zip(torch.split(decoded, size), torch.split(y_HN, size, dim=1), strict=True):
        with torch.autocast("cpu", torch.bfloat16, enabled=spec.bf16):
            quantiles = net.decode(block_NK)
        loss = pinball(block_y, quantiles, levels_Q) * (len(block_NK) / origins)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    summary_NK.backward(decoded.grad)  # type: ignore[no-untyped-call]
    return total


def one_cycle(step: int, steps: int, *, rise: float = 0.2) -> float:
    """Share of the full learning rate at a step: a cosine up from 1/25 over the first fifth, then down to nothing.

    Smith and Topin 2018.
    """
    done = (step + 1) / max(steps, 1)
    if done < rise:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / rise))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - rise) / (1 - rise)))) + 1e-4
