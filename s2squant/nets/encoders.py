"""Encoders: recurrent ones through the fused kernels, and the transformer's; the same Memory out.

Shape legend: B sequences, L past bars, W states of a memory, F inputs, K hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s2squant.config.networks import Cell, EncoderSpec
from s2squant.nets.memory import Memory, real_states
from s2squant.nets.transformer import EncoderLayer, sinusoids


def recurrent(
    cell: Cell, inputs: int, hidden: int, layers: int, *, batch_first: bool, both: bool = False
) -> nn.LSTM | nn.GRU | nn.RNN:
    """One fused recurrent stack."""
    match cell:
        case "lstm":
            return nn.LSTM(inputs, hidden, layers, batch_first=batch_first, bidirectional=both)
        case "gru":
            return nn.GRU(inputs, hidden, layers, batch_first=batch_first, bidirectional=both)
        case "rnn":
            return nn.RNN(inputs, hidden, layers, batch_first=batch_first, bidirectional=both)


class Summary(nn.Module):
    """The context: the last state, tanh of a transform of it, or of the mean of all states."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.kind = spec.summary
        if spec.summary != "last":
            self.transform = nn.Linear(spec.hidden, spec.hidden)

    def forward(self, last_BK: Tensor, states_BWK: Tensor | None, mask_BW: Tensor | None) -> Tensor:
        match self.kind:
            case "last":
                return last_BK
            case "transform_last":
                return torch.tanh(self.transform(last_BK))
            case "transform_all":
                assert states_BWK is not None, "a summary of all states needs them"
                return torch.tanh(self.transform(_mean(states_BWK, mask_BW)))


class RecurrentEncoder(nn.Module):
    """Stacked recurrent encoder in one or two directions (Sutskever et al. 2014; Schuster and Paliwal 1997).

    Two directions are joined by a linear map, so that a state has `hidden` units either way.
    """

    def __init__(self, spec: EncoderSpec, inputs: int) -> None:
        super().__init__()
        self.both = spec.directions == "both"
        self.rnn = recurrent(spec.cell, inputs, spec.hidden, spec.layers, batch_first=True, both=self.both)
        if self.both:
            self.join = nn.Linear(2 * spec.hidden, spec.hidden)
        self.summary = Summary(spec)

    def states(self, past_BLF: Tensor) -> Tensor:
        """All states (B, L, K) of whole sequences; forward ones are summaries of the bars up to them."""
        states_BLK, _ = self.rnn(past_BLF)
        return torch.as_tensor(self.join(states_BLK) if self.both else states_BLK)

    def forward(self, past_BLF: Tensor, lengths_B: Tensor | None = None) -> Memory:
        """Memory of whole sequences, padded at their end where `lengths_B` says so; padding changes nothing."""
        if lengths_B is None:
            states_BLK, end = self.rnn(past_BLF)
            mask_BL = None
        else:
            packed = pack_padded_sequence(past_BLF, lengths_B, batch_first=True, enforce_sorted=False)
            states, end = self.rnn(packed)
            states_BLK, _ = pad_packed_sequence(states, batch_first=True, total_length=past_BLF.shape[1])
            mask_BL = real_states(lengths_B, past_BLF.shape[1])
        final = end if isinstance(end, tuple) else (end,)
        if self.both:
            last_BK = self.join(torch.cat([final[0][-2], final[0][-1]], dim=1))
            states_BLK = self.join(states_BLK)
            return Memory(self.summary(last_BK, states_BLK, mask_BL), states_BLK, mask_BL)
        return Memory(self.summary(final[0][-1], states_BLK, mask_BL), states_BLK, mask_BL, final)


class TransformerEncoder(nn.Module):
    """Transformer over a window, every state seeing all of it; the last real state is the summary's start."""

    waves_WK: Tensor

    def __init__(self, spec: EncoderSpec, inputs: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, spec.hidden)
        self.learned = nn.Embedding(spec.window, spec.hidden) if spec.positions == "learned" else None
        self.register_buffer("waves_WK", sinusoids(spec.window, spec.hidden), persistent=False)
        self.layers = nn.ModuleList([EncoderLayer(spec.hidden, spec.heads) for _ in range(spec.layers)])
        self.norm = nn.LayerNorm(spec.hidden)
        self.summary = Summary(spec)

    def forward(self, past_BLF: Tensor, lengths_B: Tensor | None = None) -> Memory:
        """Memory of sequences of at most `window` bars; raises ValueError for longer ones."""
        length = past_BLF.shape[1]
        if length > len(self.waves_WK):
            raise ValueError(f"{length} bars are more than encoder.window = {len(self.waves_WK)}; raise it")
        places = self.waves_WK[:length] if self.learned is None else self.learned.weight[:length]
        x_BLK = self.enter(past_BLF) + places.to(past_BLF.dtype)
        mask_BL = None if lengths_B is None else real_states(lengths_B, length)
        allowed = None if mask_BL is None else mask_BL[:, None, None]
        for layer in self.layers:
            x_BLK = layer(x_BLK, allowed)
        x_BLK = self.norm(x_BLK)
        if mask_BL is not None:
            x_BLK = x_BLK * mask_BL[:, :, None]
        last_BK = x_BLK[:, -1] if lengths_B is None else x_BLK[torch.arange(len(x_BLK)), lengths_B - 1]
        return Memory(self.summary(last_BK, x_BLK, mask_BL), x_BLK, mask_BL)


def make_encoder(spec: EncoderSpec, inputs: int) -> RecurrentEncoder | TransformerEncoder:
    """The encoder a specification asks for."""
    match spec.kind:
        case "recurrent":
            return RecurrentEncoder(spec, inputs)
        case "transformer":
            return TransformerEncoder(spec, inputs)


def _mean(states_BWK: Tensor, mask_BW: Tensor | None) -> Tensor:
    if mask_BW is None:
        return states_BWK.mean(dim=1)
    real_BW1 = mask_BW[:, :, None].to(states_BWK.dtype)
    return (states_BWK * real_BW1).sum(dim=1) / real_BW1.sum(dim=1)
