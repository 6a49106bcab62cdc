"""Decoders: from a memory to a hidden vector for every step ahead, all steps in one call or one after another.

Steps come first, (H, N, K): the kernels want them so, and the head then works step by step.

Shape legend: N origins, H steps, K hidden units, E inputs of a step, W states of a memory, C layers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2squant.config.networks import Cell, DecoderSpec
from s2squant.nets.attention import Attention, Keys
from s2squant.nets.encoders import recurrent
from s2squant.nets.head_loss import Direct
from s2squant.nets.memory import Memory
from s2squant.nets.transformer import Cache, DecoderLayer, sinusoids

LONGEST = 512
"""Steps a transformer decoder has positions for."""


def step_inputs(horizon: int, trained: int | None = None) -> Tensor:
    """Step features (H, 2): h over the steps trained on (all of them by default), and log h."""
    steps = torch.arange(1, horizon + 1, dtype=torch.float32)
    return torch.stack([steps / (trained or horizon), torch.log(steps)], dim=1)


class Decoded(NamedTuple):
    """Hidden vectors of the steps, and attention weights if any."""

    hidden_HNK: Tensor
    weights_HNW: Tensor | None


class RecurrentState(NamedTuple):
    """State of a recurrent decoder between two steps."""

    cell_CNK: tuple[Tensor, ...]
    fed_NK: Tensor | None
    """The attentional state, where it is fed back."""
    context_NK: Tensor
    keys: Keys | None
    step: int

    def pick(self, rows: Tensor) -> RecurrentState:
        """The states of `rows`, in that order: beams and paths."""
        keys = None if self.keys is None else self.keys.pick(rows)
        cell = tuple(part[:, rows] for part in self.cell_CNK)
        fed = None if self.fed_NK is None else self.fed_NK[rows]
        return RecurrentState(cell, fed, self.context_NK[rows], keys, self.step)


class RecurrentDecoder(nn.Module):
    """Recurrent decoder with the three contexts and the attentions of the literature.

    The summary sets the first state, unless that is zero or learned; with context "every_step" it is read at every step
    too (Cho et al. 2014), and Bahdanau's attention, from the state before the step, takes its place there (Bahdanau et
    al. 2015). Luong's follows the step: out = tanh(W [context; state]) (Luong et al. 2015, eq. 5), read at the next
    step too if fed back.
    All steps run in one fused call unless a step reads the output of the step before.
    """

    block: int | None = 384
    """Origins decoded at a time in training: more fall out of the cache (a third slower at 2,400)."""

    def __init__(self, spec: DecoderSpec, cell: Cell, inputs: int, hidden: int) -> None:
        super().__init__()
        chosen = spec.attention
        self.before = chosen.kind == "bahdanau"
        self.after = chosen.kind.startswith("luong")
        self.feeds = chosen.input_feeding
        self.reads_context = spec.context == "every_step"
        self.start_from = spec.start
        width = inputs + hidden * (self.reads_context + self.feeds)
        lstm = cell == "lstm"
        self.rnn = recurrent(cell, width, hidden, spec.layers, batch_first=False)
        self.layers, self.width = spec.layers, hidden
        if spec.start == "learned":
            self.first = nn.ParameterList(nn.Parameter(torch.zeros(spec.layers, 1, hidden)) for _ in range(1 + lstm))
        if self.before or self.after:
            self.attention = Attention(chosen.kind, chosen.score, hidden, chosen.radius)
        if self.after:
            self.merge = nn.Linear(2 * hidden, hidden)

    def start(self, memory: Memory) -> RecurrentState:
        """The state before the first step."""
        keys = None
        if self.before or self.after:
            assert memory.states_BWK is not None, "attention needs the encoder's states"
            keys = self.attention.keys(memory.states_BWK, memory.mask_BW)
        fed = torch.zeros_like(memory.summary_BK) if self.feeds else None
        return RecurrentState(self._first(memory), fed, memory.summary_BK, keys, 0)

    def _first(self, memory: Memory) -> tuple[Tensor, ...]:
        if self.start_from == "states":
            assert memory.final_CBK is not None, "the encoder gave no last states"
            return memory.final_CBK
        if self.start_from == "learned":
            return tuple(value.expand(-1, len(memory.summary_BK), -1).contiguous() for value in self.first)
        first = memory.summary_BK.expand(self.layers, -1, -1).contiguous()
        if self.start_from == "zero":
            first = torch.zeros_like(first)
        return (first, torch.zeros_like(first)) if isinstance(self.rnn, nn.LSTM) else (first,)

    def run(self, inputs_HNE: Tensor, memory: Memory) -> Decoded:
        """All steps, their inputs known; `inputs_HNE` may be (H, 1, E), the same for all origins."""
        state = self.start(memory)
        inputs_HNE = inputs_HNE.expand(-1, len(memory.summary_BK), -1)
        if not (self.before or self.feeds):
            if self.reads_context:
                context = memory.summary_BK.expand(len(inputs_HNE), -1, -1)
                inputs_HNE = torch.cat([inputs_HNE, context], dim=2)
            hidden_HNK, _ = self._cells(inputs_HNE, state.cell_CNK)
            if not self.after:
                return Decoded(hidden_HNK, None)
            assert state.keys is not None
            return self._merged(hidden_HNK, state.keys, 0)
        hidden, weights = [], []
        for x_NE in inputs_HNE:
            out_NK, where_NW, state = self.step(x_NE, state)
            hidden.append(out_NK)
            weights.append(where_NW)
        return Decoded(torch.stack(hidden), torch.stack([w for w in weights if w is not None]))

    def step(self, x_NE: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None, RecurrentState]:
        """One step: its hidden vector (N, K), its attention weights (N, W) if any, and the state after it."""
        assert isinstance(state, RecurrentState)
        keys, weights_HNW = state.keys, None
        parts = [x_NE]
        if self.before:
            assert keys is not None
            context_HNK, weights_HNW = self.attention(state.cell_CNK[0][-1:], keys, state.step)
            parts.append(context_HNK[0])
        elif self.reads_context:
            parts.append(state.context_NK)
        if state.fed_NK is not None:
            parts.append(state.fed_NK)
        hidden_HNK, cell = self._cells(torch.cat(parts, dim=1)[None], state.cell_CNK)
        if self.after:
            assert keys is not None
            hidden_HNK, weights_HNW = self._merged(hidden_HNK, keys, state.step)
        fed = hidden_HNK[0] if self.feeds else None
        weights_NW = None if weights_HNW is None else weights_HNW[0]
        return hidden_HNK[0], weights_NW, RecurrentState(cell, fed, state.context_NK, keys, state.step + 1)

    def _cells(self, inputs_HNE: Tensor, start: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        if isinstance(self.rnn, nn.LSTM):
            hidden_HNK, end = self.rnn(inputs_HNE, (start[0], start[1]))
            return torch.as_tensor(hidden_HNK), end
        hidden_HNK, last = self.rnn(inputs_HNE, start[0])
        return torch.as_tensor(hidden_HNK), (last,)

    def _merged(self, hidden_HNK: Tensor, keys: Keys, first: int) -> Decoded:
        contexts_HNK, weights_HNW = self.attention(hidden_HNK, keys, first)
        return Decoded(torch.tanh(self.merge(torch.cat([contexts_HNK, hidden_HNK], dim=2))), weights_HNW)


class MlpDecoder(nn.Module):
    """Direct multi-horizon decoder: each step reads the summary on its own (Wen et al. 2017)."""

    block: int | None = None

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.from_summary = nn.Linear(hidden, hidden)
        self.from_step = nn.Linear(inputs, hidden, bias=False)
        self.width = hidden

    def run(self, inputs_HNE: Tensor, memory: Memory) -> Decoded:
        """All steps, their inputs known."""
        return Decoded(nn.functional.gelu(self.from_summary(memory.summary_BK) + self.from_step(inputs_HNE)), None)

    def direct(self, inputs_H1E: Tensor, memory: Memory) -> Direct:
        """The two parts of the hidden vectors, for a loss that adds them itself."""
        return Direct(self.from_summary(memory.summary_BK), self.from_step(inputs_H1E)[:, 0])


class TransformerState(NamedTuple):
    """State of a transformer decoder: keys and values of the memory and of the steps so far, layer by layer."""

    memory: tuple[Cache, ...]
    before: tuple[Cache, ...]
    allowed: Tensor | None
    step: int

    def pick(self, rows: Tensor) -> TransformerState:
        """The states of `rows`, in that order: beams and paths."""
        memory, before = (tuple(cache.pick(rows) for cache in caches) for caches in (self.memory, self.before))
        return TransformerState(memory, before, None if self.allowed is None else self.allowed[rows], self.step)


class TransformerDecoder(nn.Module):
    """Causal transformer over the steps, attending to the memory's states; the weights are the last layer's."""

    waves_TK: Tensor
    block: int | None = None

    def __init__(self, spec: DecoderSpec, inputs: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, hidden)
        self.register_buffer("waves_TK", sinusoids(LONGEST, hidden), persistent=False)
        self.layers = nn.ModuleList([DecoderLayer(hidden, spec.heads) for _ in range(spec.layers)])
        self.norm = nn.LayerNorm(hidden)
        self.width = hidden

    def start(self, memory: Memory) -> TransformerState:
        """The state before the first step."""
        states_NWK = memory.states_BWK
        assert states_NWK is not None, "a transformer decoder needs the encoder's states"
        allowed = None if memory.mask_BW is None else memory.mask_BW[:, None, None]
        return TransformerState(tuple(layer.cross.remember(states_NWK) for layer in self._layers()), (), allowed, 0)

    def run(self, inputs_HNE: Tensor, memory: Memory) -> Decoded:
        """All steps at once under a causal mask."""
        inputs_HNE = inputs_HNE.expand(-1, len(memory.summary_BK), -1)
        hidden_NHK, weights_NHW, _ = self._advance(inputs_HNE.transpose(0, 1), self.start(memory))
        return Decoded(hidden_NHK.transpose(0, 1), weights_NHW.transpose(0, 1))

    def step(self, x_NE: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None, TransformerState]:
        """One step: its hidden vector (N, K), its attention weights (N, W), and the state after it."""
        assert isinstance(state, TransformerState)
        hidden_N1K, weights_N1W, state = self._advance(x_NE[:, None], state)
        return hidden_N1K[:, 0], weights_N1W[:, 0], state

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    def _advance(self, inputs_NTE: Tensor, state: TransformerState) -> tuple[Tensor, Tensor, TransformerState]:
        end = state.step + inputs_NTE.shape[1]
        if end > len(self.waves_TK):
            raise ValueError(f"a transformer decoder goes {len(self.waves_TK)} steps, not {end}")
        x_NTK = self.enter(inputs_NTE) + self.waves_TK[state.step : end].to(inputs_NTE.dtype)
        query_NTK, after = x_NTK, []
        for number, layer in enumerate(self._layers()):
            before = state.before[number] if state.before else None
            x_NTK, now, query_NTK = layer(x_NTK, before, state.memory[number], state.allowed)
            after.append(now)
        last = self._layers()[-1]
        with torch.no_grad():
            weights_NTW = last.cross.weights(query_NTK, state.memory[-1], state.allowed)
        return self.norm(x_NTK), weights_NTW, TransformerState(state.memory, tuple(after), state.allowed, end)


DecoderState = RecurrentState | TransformerState
SteppingDecoder = RecurrentDecoder | TransformerDecoder
Decoder = SteppingDecoder | MlpDecoder


def make_decoder(spec: DecoderSpec, cell: Cell, inputs: int, hidden: int) -> Decoder:
    """The decoder a specification asks for; `inputs` numbers describe a step."""
    match spec.kind:
        case "recurrent":
            return RecurrentDecoder(spec, cell, inputs, hidden)
        case "mlp":
            return MlpDecoder(inputs, hidden)
        case "transformer":
            return TransformerDecoder(spec, inputs, hidden)
