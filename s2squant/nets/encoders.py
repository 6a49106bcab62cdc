"""Recurrent encoders, always through the fused kernels.

Shape legend: B sequences, L past bars, F inputs, K hidden units.
"""

from __future__ import annotations

from torch import Tensor, nn

from s2squant.config import EncoderSpec
from s2squant.nets.memory import Memory


def recurrent(cell: str, inputs: int, hidden: int, layers: int, *, batch_first: bool) -> nn.LSTM | nn.GRU | nn.RNN:
    """One fused recurrent stack."""
    match cell:
        case "lstm":
            return nn.LSTM(inputs, hidden, layers, batch_first=batch_first)
        case "gru":
            return nn.GRU(inputs, hidden, layers, batch_first=batch_first)
        case "rnn":
            return nn.RNN(inputs, hidden, layers, batch_first=batch_first)
    raise ValueError(f"no recurrent cell {cell!r}")


class RecurrentEncoder(nn.Module):
    """Forward-running recurrent encoder; every state is a summary of the bars up to it (Sutskever et al. 2014)."""

    def __init__(self, spec: EncoderSpec, inputs: int) -> None:
        super().__init__()
        self.rnn = recurrent(spec.cell, inputs, spec.hidden, spec.layers, batch_first=True)

    def forward(self, past_BLF: Tensor) -> Memory:
        states_BLK, _ = self.rnn(past_BLF)
        return Memory(states_BLK, None, states_BLK[:, -1])
