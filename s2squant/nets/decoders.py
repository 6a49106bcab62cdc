"""Decoders over the horizon: from one summary a hidden vector for every step ahead.

Steps come first, (H, N, K): the kernels want them so, and the head then works step by step.

Shape legend: N origins, H steps, K hidden units, D units handed to the head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2squant.config import DecoderSpec
from s2squant.nets.encoders import recurrent


def step_inputs(horizon: int) -> Tensor:
    """What a decoder knows of a step (H, 2): h / H and log h."""
    steps = torch.arange(1, horizon + 1, dtype=torch.float32)
    return torch.stack([steps / horizon, torch.log(steps)], dim=1)


class RecurrentDecoder(nn.Module):
    """The summary sets the first state; with context "every_step" it is read at every step too (Cho et al. 2014)."""

    steps_H2: Tensor
    block: int | None = 384
    """Origins decoded at a time in training: more fall out of the cache (a third slower at 2,400)."""

    def __init__(self, spec: DecoderSpec, cell: str, hidden: int, horizon: int) -> None:
        super().__init__()
        self.reads_context = spec.context == "every_step"
        self.register_buffer("steps_H2", step_inputs(horizon), persistent=False)
        self.rnn = recurrent(cell, 2 + (hidden if self.reads_context else 0), hidden, 1, batch_first=False)
        self.width = hidden

    def forward(self, summary_NK: Tensor) -> Tensor:
        n, h = len(summary_NK), len(self.steps_H2)
        inputs = self.steps_H2.to(summary_NK.dtype)[:, None].expand(h, n, 2)
        if self.reads_context:
            inputs = torch.cat([inputs, summary_NK.expand(h, n, -1)], dim=2)
        first = summary_NK[None].contiguous()
        start = (first, torch.zeros_like(first)) if isinstance(self.rnn, nn.LSTM) else first
        hidden_HNK, _ = self.rnn(inputs, start)
        return torch.as_tensor(hidden_HNK)


class MlpDecoder(nn.Module):
    """Direct multi-horizon decoder: each step reads the summary on its own (Wen et al. 2017)."""

    steps_H2: Tensor
    block: int | None = None

    def __init__(self, hidden: int, horizon: int) -> None:
        super().__init__()
        self.register_buffer("steps_H2", step_inputs(horizon), persistent=False)
        self.from_summary = nn.Linear(hidden, hidden)
        self.from_step = nn.Linear(2, hidden, bias=False)
        self.width = hidden

    def forward(self, summary_NK: Tensor) -> Tensor:
        steps = self.from_step(self.steps_H2.to(summary_NK.dtype))
        return nn.functional.gelu(self.from_summary(summary_NK) + steps[:, None])


def make_decoder(spec: DecoderSpec, cell: str, hidden: int, horizon: int) -> RecurrentDecoder | MlpDecoder:
    """The decoder a specification asks for."""
    match spec.kind:
        case "recurrent":
            return RecurrentDecoder(spec, cell, hidden, horizon)
        case "mlp":
            return MlpDecoder(hidden, horizon)
