"""Seq2Seq = encoder x context x decoder x head.

Shape legend: B chunks, L bars, F inputs, P positions, N = B P origins, H steps, Q levels, K hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2squant.config import Seq2SeqSpec
from s2squant.nets.decoders import make_decoder
from s2squant.nets.encoders import RecurrentEncoder
from s2squant.nets.heads import QuantileHead


class Seq2Seq(nn.Module):
    """Encode a chunk once, decode the horizon from many of its positions ("forking sequences", Wen et al. 2017)."""

    def __init__(self, spec: Seq2SeqSpec, inputs: int, table_HQ: Tensor, levels_Q: Tensor) -> None:
        super().__init__()
        self.inputs = inputs
        self.encoder = RecurrentEncoder(spec.encoder, inputs)
        self.decoder = make_decoder(spec.decoder, spec.encoder.cell, spec.encoder.hidden, len(table_HQ))
        self.head = QuantileHead(
            spec.head, self.decoder.width, spec.decoder.width, spec.decoder.dropout, table_HQ, levels_Q
        )

    def encode(self, past_BLF: Tensor, positions_P: Tensor) -> Tensor:
        """Summaries (B P, K) of the past up to each position."""
        states_BLK: Tensor = self.encoder(past_BLF).states_BLK
        return states_BLK[:, positions_P].flatten(0, 1)

    def decode(self, summary_NK: Tensor) -> Tensor:
        """Quantiles (H, N, Q) of the cumulative return after each summary, in units of the anchor's deviation."""
        return torch.as_tensor(self.head(self.decoder(summary_NK)))

    def forward(self, past_BLF: Tensor, positions_P: Tensor) -> Tensor:
        """Quantiles (H, B P, Q) after each position."""
        return self.decode(self.encode(past_BLF, positions_P))

    @torch.no_grad()
    def forecast(self, past_NLF: Tensor) -> Tensor:
        """Quantiles (N, H, Q) after the last bar of each window, ordered."""
        memory = self.encoder(past_NLF)
        quantiles_HNQ = self.head(self.decoder(memory.summary_BK))
        return torch.sort(quantiles_HNQ.transpose(0, 1), dim=2).values
