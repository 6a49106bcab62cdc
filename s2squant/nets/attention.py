"""Attention: scores, their weights, and the context that they read.

A new score is one function here, one literal in `network_specs`, and one test against its formula.

Shape legend: H steps, N sequences, W states, K units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2squant.config.networks import AttentionKind, Score


class Keys(NamedTuple):
    """A memory as attention reads it, projected once for all steps."""

    projected_NWK: Tensor
    states_NWK: Tensor
    mask_NW: Tensor | None

    def pick(self, rows: Tensor) -> Keys:
        """The keys of `rows`, in that order."""
        mask_NW = None if self.mask_NW is None else self.mask_NW[rows]
        return Keys(self.projected_NWK[rows], self.states_NWK[rows], mask_NW)


def dot(query_HNK: Tensor, keys_NWK: Tensor) -> Tensor:
    """Scores (H, N, W) q . k; with keys W k it is Luong's general score (Luong et al. 2015, eq. 8)."""
    return torch.bmm(query_HNK.transpose(0, 1), keys_NWK.transpose(1, 2)).transpose(0, 1)


def additive(query_HNK: Tensor, keys_NWK: Tensor, vector_K: Tensor) -> Tensor:
    """Scores (H, N, W) v . tanh(q + k) of projected queries and keys: Bahdanau's, and Luong's concat."""
    return torch.tanh(query_HNK[:, :, None] + keys_NWK) @ vector_K


class Attention(nn.Module):
    """Weights over a memory's states, (H, N, W), for queries of one step or of many.

    bahdanau, luong_global: softmax over all real states. luong_local_m: over the states within `radius` of state t at
    step t (0-based, the last state from there on). luong_local_p: within `radius` of p = S sigmoid(v tanh(W q)), times
    exp(-(s - p)^2 / (2 (radius / 2)^2)), not normalised again; S counts the real states (Luong et al. 2015, eq. 7-10).
    """

    def __init__(self, kind: AttentionKind, score: Score, hidden: int, radius: int) -> None:
        super().__init__()
        self.kind, self.radius = kind, radius
        self.score: Score = "concat" if kind == "bahdanau" else score
        if self.score != "dot":
            self.key = nn.Linear(hidden, hidden, bias=False)
        if self.score == "concat":
            self.query = nn.Linear(hidden, hidden, bias=False)
            self.vector = nn.Parameter(torch.randn(hidden) / hidden**0.5)
        if kind == "luong_local_p":
            self.position = nn.Linear(hidden, hidden, bias=False)
            self.position_vector = nn.Parameter(torch.randn(hidden) / hidden**0.5)

    def keys(self, states_NWK: Tensor, mask_NW: Tensor | None) -> Keys:
        """Projected keys, states and mask of a memory: the same at every step."""
        projected = states_NWK if self.score == "dot" else self.key(states_NWK)
        return Keys(projected, states_NWK, mask_NW)

    def forward(self, query_HNK: Tensor, keys: Keys, first: int = 0) -> tuple[Tensor, Tensor]:
        """Contexts (H, N, K) and weights (H, N, W) of the steps from `first` on."""
        weights_HNW = self.weights(query_HNK, keys, first)
        contexts_HNK = torch.bmm(weights_HNW.transpose(0, 1), keys.states_NWK).transpose(0, 1)
        return contexts_HNK, weights_HNW

    def weights(self, query_HNK: Tensor, keys: Keys, first: int) -> Tensor:
        """The share of each state in each step's context."""
        scores_HNW = self._scores(query_HNK, keys.projected_NWK)
        real_NW = keys.mask_NW
        if self.kind in ("bahdanau", "luong_global"):
            return torch.softmax(_without(scores_HNW, real_NW), dim=2)
        places_W = torch.arange(scores_HNW.shape[2], dtype=scores_HNW.dtype, device=scores_HNW.device)
        count_N = places_W.new_full((scores_HNW.shape[1],), len(places_W)) if real_NW is None else real_NW.sum(dim=1)
        if self.kind == "luong_local_m":
            steps_H = torch.arange(first, first + len(query_HNK), dtype=places_W.dtype, device=places_W.device)
            centre_HN = torch.minimum(steps_H[:, None], (count_N - 1)[None].to(places_W.dtype))
        else:
            share_HN = torch.sigmoid(torch.tanh(self.position(query_HNK)) @ self.position_vector)
            centre_HN = count_N * share_HN
        away_HNW = places_W - centre_HN[:, :, None]
        near_HNW = away_HNW.abs() <= self.radius
        near_HNW = near_HNW if real_NW is None else near_HNW & real_NW
        weights_HNW = torch.softmax(_without(scores_HNW, near_HNW), dim=2)
        if self.kind == "luong_local_p":
            weights_HNW = weights_HNW * torch.exp(-2.0 * (away_HNW / self.radius) ** 2)
        return weights_HNW

    def _scores(self, query_HNK: Tensor, projected_NWK: Tensor) -> Tensor:
        match self.score:
            case "dot" | "general":
                return dot(query_HNK, projected_NWK)
            case "concat":
                return additive(self.query(query_HNK), projected_NWK, self.vector)


def _without(scores_HNW: Tensor, real: Tensor | None) -> Tensor:
    """Scores that give no weight to states which are not real or not near."""
    return scores_HNW if real is None else scores_HNW.masked_fill(~real, float("-inf"))
