"""Seq2Seq over tokens: the family's encoders and decoders between one embedding and one softmax.

Shape legend: B sequences of a batch, L source tokens, T target tokens, N rows that step side by side, V tokens of the
vocabulary, W states of a memory, E numbers of an embedding, K hidden units.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from s2squant.config.relatives import TokenSpec
from s2squant.config.training import TrainingSpec
from s2squant.nets.decoders import DecoderState, MlpDecoder, make_decoder
from s2squant.nets.encoders import make_encoder
from s2squant.nets.memory import Memory
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.token_batches import Batch
from s2squant.nets.training import Backward, Trainer, descent, truth_share

Batches = Callable[[int, torch.Generator], Batch]
"""Gives the batch of a step, from its number and the fit's generator."""

FORCED = 1.0
"""The share of truth of teacher forcing."""


class TokenSeq2Seq(nn.Module):
    """P(target | source) as a product over tokens (Sutskever et al. 2014, eq. 1); sources may differ in length.

    PAD and BOS are never generated: the softmax is over what can follow. All methods leave padding without any effect.
    """

    mute_V: Tensor

    def __init__(self, spec: TokenSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.size, spec.embedding, padding_idx=spec.pad)
        self.encoder = make_encoder(spec.encoder, spec.embedding)
        decoder = make_decoder(spec.decoder, spec.encoder.cell, spec.embedding, spec.encoder.hidden)
        assert not isinstance(decoder, MlpDecoder), "a token specification has no mlp decoder"
        self.decoder = decoder
        self.output = nn.Linear(decoder.width, spec.size)
        mute_V = torch.zeros(spec.size, dtype=torch.bool)
        mute_V[spec.pad] = True
        mute_V[spec.bos] |= spec.bos != spec.eos
        self.register_buffer("mute_V", mute_V, persistent=False)

    def encode(self, source_BL: Tensor, lengths_B: Tensor) -> Memory:
        """The memories of sources padded at their end."""
        memory: Memory = self.encoder(self.embedding(source_BL), lengths_B)
        return memory

    def start(self, memory: Memory) -> DecoderState:
        """The decoder's state before its first token, which reads BOS."""
        return self.decoder.start(memory)

    def step(self, token_N: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Log probabilities of the next token (N, V), attention weights (N, W) if any, and the state after this one."""
        hidden_NK, weights_NW, state = self.decoder.step(self.embedding(token_N), state)
        return self._log_probs(hidden_NK), weights_NW, state

    def forward(self, batch: Batch, feeding: Feeding) -> Tensor:
        """Log probabilities (B, T, V) of each target token.

        Each step reads the target before it by a coin of its own with `feeding.share`, or else the likeliest token of
        the step before; with share 1 all steps run in one call where the decoder can.
        """
        memory = self.encode(batch.source_BL, batch.lengths_B)
        if feeding.share >= FORCED:
            before_BT = torch.cat([self._bos(len(batch.target_BT))[:, None], batch.target_BT[:, :-1]], dim=1)
            hidden_TBK = self.decoder.run(self.embedding(before_BT.T), memory).hidden_HNK
            return self._log_probs(hidden_TBK).transpose(0, 1)
        state, token_B, log_probs = self.start(memory), self._bos(len(batch.target_BT)), []
        for truth_B in batch.target_BT.T:
            log_probs_BV, _, state = self.step(token_B, state)
            log_probs.append(log_probs_BV)
            token_B = feeding.mix(truth_B, log_probs_BV.argmax(dim=1))
        return torch.stack(log_probs, dim=1)

    def loss(self, batch: Batch, feeding: Feeding) -> Tensor:
        """Mean cross-entropy, in nats, over the target tokens that are not PAD."""
        log_probs_BTV = self(batch, feeding)
        log_probs, target = log_probs_BTV.flatten(0, 1), batch.target_BT.flatten()
        return nn.functional.nll_loss(log_probs, target, ignore_index=self.spec.pad)

    @torch.no_grad()
    def log_likelihood(self, batch: Batch) -> Tensor:
        """Log probability (B,) of each whole target, its EOS included."""
        log_probs_BTV = self(batch, Feeding(FORCED, torch.Generator()))
        each_BT = log_probs_BTV.gather(2, batch.target_BT[:, :, None])[:, :, 0]
        return torch.as_tensor(each_BT.masked_fill(batch.target_BT == self.spec.pad, 0.0).sum(dim=1))

    def _bos(self, rows: int) -> Tensor:
        return torch.full((rows,), self.spec.bos)

    def _log_probs(self, hidden: Tensor) -> Tensor:
        dropped = nn.functional.dropout(hidden, self.spec.decoder.dropout, self.training)
        return torch.log_softmax(self.output(dropped).masked_fill(self.mute_V, float("-inf")), dim=-1)


def token_steps(net: TokenSeq2Seq, batches: Batches, spec: TrainingSpec, steps: int) -> Backward:
    """The backward pass of a fit of `steps` steps; raises ValueError for bfloat16 or a device."""
    if spec.precision == "bf16":
        raise ValueError(
            "training.precision = 'bf16' is for decoders of returns; token nets train in single precision, "
            "use 'float32' or 'auto'"
        )
    if spec.device != "cpu":
        raise ValueError("training.device is for decoders of returns; token nets train on the CPU, use device = 'cpu'")

    return descent(lambda step, draw: net.loss(batches(step, draw), Feeding(truth_share(spec, step, steps), draw)))


def train_tokens(
    net: TokenSeq2Seq, batches: Batches, spec: TrainingSpec, *, steps: int, lr: float, seed: int
) -> list[float]:
    """Train in place and leave the averaged weights in the net; returns the loss of every step."""
    trainer = Trainer(net, spec, steps=steps, lr=lr, seed=seed)
    trainer.run(token_steps(net, batches, spec, steps))
    return trainer.finish()
