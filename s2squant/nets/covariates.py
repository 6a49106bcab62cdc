"""Covariates of a network: numbers beside the inputs of its encoder, numbers and embedded categories at every step.

Shape legend: R rows, V sessions, N origins, H steps, E numbers of a step, C categorical covariates, G units of an
embedding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2squant.config.networks import DecoderSpec
from s2squant.nets.decoders import Decoder, MlpDecoder, RecurrentDecoder, TransformerDecoder
from s2squant.nets.encoders import RecurrentEncoder, TransformerEncoder

LARGEST_EMBEDDING = 8


class CovariateSizes(NamedTuple):
    """How many covariates a network reads."""

    past: int = 0
    """Numbers beside the inputs of each bar, masks included; they come after them."""
    ahead: int = 0
    """Numbers of each step ahead, masks included."""
    categories: tuple[int, ...] = ()
    """Codes of each categorical covariate, the one of an unknown value included."""


NO_COVARIATES = CovariateSizes()


class Ahead(NamedTuple):
    """What is known at each origin of the steps after it."""

    values_NHE: Tensor
    codes_NC: Tensor


class KnownAhead(NamedTuple):
    """Resident once: what every row will know of the steps after it. Steps are sessions, laid end to end."""

    sessions_VE: Tensor
    """Numbers of each session; the last row, of no session, stands for those beyond a series' end."""
    place_R: Tensor
    """The session of each row."""
    end_R: Tensor
    """Where the sessions of its series end."""
    same_RE: Tensor
    """Numbers that are the same at every step."""
    codes_RC: Tensor

    def to(self, device: torch.device) -> KnownAhead:
        """The same on a device."""
        return KnownAhead(*(one.to(device) for one in self))

    def of(self, rows_N: Tensor, horizon: int) -> Ahead:
        """What some rows know of their next steps."""
        index_NH = self.place_R[rows_N][:, None] + torch.arange(1, horizon + 1, device=rows_N.device)
        index_NH = torch.where(index_NH < self.end_R[rows_N][:, None], index_NH, len(self.sessions_VE) - 1)
        same_NHE = self.same_RE[rows_N][:, None].expand(-1, horizon, -1)
        return Ahead(torch.cat([self.sessions_VE[index_NH], same_NHE], dim=2), self.codes_RC[rows_N])


class KnownTogether(NamedTuple):
    """Numbers of several kinds, side by side; each with sessions of its own."""

    parts: tuple[KnownAhead, ...]

    def to(self, device: torch.device) -> KnownTogether:
        """The same on a device."""
        return KnownTogether(tuple(part.to(device) for part in self.parts))

    def of(self, rows_N: Tensor, horizon: int) -> Ahead:
        """What some rows know of their next steps."""
        values, codes = zip(*(part.of(rows_N, horizon) for part in self.parts), strict=True)
        return Ahead(torch.cat(values, dim=2), torch.cat(codes, dim=1))


class StepCovariates(nn.Module):
    """Inputs of every step (N, H, E + G): the numbers, and each category's embedding, the same at every step.

    With `so_far` the numbers are (2 E): their sum over the steps up to each, in units of the root of h, comes after
    them, for a decoder that sees no step but its own: what is announced for one is part of every return beyond it.
    """

    def __init__(self, sizes: CovariateSizes, *, so_far: bool) -> None:
        super().__init__()
        self.so_far = so_far
        self.tables = nn.ModuleList(nn.Embedding(codes, embedding_units(codes)) for codes in sizes.categories)
        self.width = sizes.ahead * (1 + so_far) + sum(embedding_units(codes) for codes in sizes.categories)

    def forward(self, ahead: Ahead) -> Tensor:
        values_NHE = ahead.values_NHE
        embedded = [table(codes_N) for table, codes_N in zip(self.tables, ahead.codes_NC.T, strict=True)]
        steps = values_NHE.shape[1]
        parts = [values_NHE]
        if self.so_far:
            count_H1 = torch.arange(1, steps + 1, device=values_NHE.device, dtype=values_NHE.dtype)[:, None]
            parts.append(values_NHE.cumsum(dim=1) / count_H1.sqrt())
        return torch.cat([*parts, *(x_NG[:, None].expand(-1, steps, -1) for x_NG in embedded)], dim=2)


def step_covariates(sizes: CovariateSizes, decoder: DecoderSpec) -> StepCovariates | None:
    """What a decoder reads of covariates at every step; None where there are none."""
    return StepCovariates(sizes, so_far=decoder.kind == "mlp") if sizes.ahead or sizes.categories else None


def embedding_units(codes: int) -> int:
    """Units of an embedding: half as many as it has codes, 8 at most."""
    return min(LARGEST_EMBEDDING, (codes + 1) // 2)


def beside(inputs_HNE: Tensor, ahead_NHE: Tensor | None) -> Tensor:
    """Inputs of the steps (H, N, E), shared by the origins or not, and the covariates after them."""
    if ahead_NHE is None:
        return inputs_HNE
    ahead_HNE = ahead_NHE.transpose(0, 1).to(inputs_HNE.dtype)
    return torch.cat([inputs_HNE.expand(-1, ahead_HNE.shape[1], -1), ahead_HNE], dim=2)


def widen(part: RecurrentEncoder | TransformerEncoder | Decoder, place: int, extra: int) -> None:
    """Let an encoder or decoder read `extra` more inputs, from column `place` on, with weights that begin at zero.

    So a network with covariates begins as the same network without them.
    """
    layer: nn.Linear | nn.RNNBase
    match part:
        case RecurrentEncoder() | RecurrentDecoder():
            layer = part.rnn
            layer.input_size += extra
            names = [name for name, _ in layer.named_parameters() if name.startswith("weight_ih_l0")]
        case TransformerEncoder() | TransformerDecoder():
            layer, names = part.enter, ["weight"]
            layer.in_features += extra
        case MlpDecoder():
            layer, names = part.from_step, ["weight"]
            layer.in_features += extra
    for name in names:
        weight = layer.get_parameter(name).detach()
        zeros = weight.new_zeros(len(weight), extra)
        setattr(layer, name, nn.Parameter(torch.cat([weight[:, :place], zeros, weight[:, place:]], dim=1)))
