"""The transformer's parts (Vaswani et al. 2017), normalised before each sublayer (Xiong et al. 2020).

Shape legend: N sequences, T queries, W keys, K units, A attention heads, D = K / A.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Cache(NamedTuple):
    """Keys and values of the steps so far, each (N, A, T, D)."""

    keys: Tensor
    values: Tensor

    def pick(self, rows: Tensor) -> Cache:
        """The keys and values of `rows`, in that order."""
        return Cache(self.keys[rows], self.values[rows])


class MultiHead(nn.Module):
    """Scaled dot-product attention in `heads` parts (Vaswani et al. 2017, eq. 1)."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key_value = nn.Linear(hidden, 2 * hidden)
        self.out = nn.Linear(hidden, hidden)

    def remember(self, states_NWK: Tensor) -> Cache:
        """Keys and values of states, to be read at any later step."""
        keys, values = self.key_value(states_NWK).chunk(2, dim=2)
        return Cache(self._split(keys), self._split(values))

    def forward(self, x_NTK: Tensor, cache: Cache, allowed: Tensor | None, *, causal: bool = False) -> Tensor:
        """Read the cache; `allowed` (N, 1, 1, W) or broadcastable says which keys may be read."""
        mixed = nn.functional.scaled_dot_product_attention(
            self._split(self.query(x_NTK)), cache.keys, cache.values, attn_mask=allowed, is_causal=causal
        )
        return torch.as_tensor(self.out(mixed.transpose(1, 2).flatten(2)))

    def weights(self, x_NTK: Tensor, cache: Cache, allowed: Tensor | None) -> Tensor:
        """Mean over the heads of the attention weights (N, T, W)."""
        scores = self._split(self.query(x_NTK)) @ cache.keys.transpose(2, 3) / math.sqrt(cache.keys.shape[3])
        if allowed is not None:
            scores = scores.masked_fill(~allowed, float("-inf"))
        return torch.softmax(scores, dim=3).mean(dim=1)

    def _split(self, x_NTK: Tensor) -> Tensor:
        return x_NTK.reshape(*x_NTK.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Position-wise perceptron, four times as wide inside."""

    def __init__(self, hidden: int) -> None:
        super().__init__(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))


class EncoderLayer(nn.Module):
    """Self-attention over a whole window, then the perceptron."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention, self.perceptron = MultiHead(hidden, heads), FeedForward(hidden)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden), nn.LayerNorm(hidden)])

    def forward(self, x_NWK: Tensor, allowed: Tensor | None) -> Tensor:
        inner = self.norms[0](x_NWK)
        x_NWK = x_NWK + self.attention(inner, self.attention.remember(inner), allowed)
        return torch.as_tensor(x_NWK + self.perceptron(self.norms[1](x_NWK)))


class DecoderLayer(nn.Module):
    """Causal self-attention over the steps so far, attention over the memory, then the perceptron."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.own, self.cross, self.perceptron = MultiHead(hidden, heads), MultiHead(hidden, heads), FeedForward(hidden)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in range(3)])

    def forward(
        self, x_NTK: Tensor, before: Cache | None, memory: Cache, allowed: Tensor | None
    ) -> tuple[Tensor, Cache, Tensor]:
        """All steps at once, or one more after those in `before`; returns the steps so far and the memory's queries."""
        inner = self.norms[0](x_NTK)
        now = self.own.remember(inner)
        if before is not None:
            now = Cache(torch.cat([before.keys, now.keys], dim=2), torch.cat([before.values, now.values], dim=2))
        x_NTK = x_NTK + self.own(inner, now, None, causal=before is None and x_NTK.shape[1] > 1)
        query_NTK = self.norms[1](x_NTK)
        x_NTK = x_NTK + self.cross(query_NTK, memory, allowed)
        return x_NTK + self.perceptron(self.norms[2](x_NTK)), now, query_NTK


def sinusoids(length: int, hidden: int) -> Tensor:
    """Positions (T, K): sines and cosines of geometrically spaced wavelengths (Vaswani et al. 2017, sec. 3.5)."""
    rates = torch.exp(-math.log(10_000.0) * torch.arange(0, hidden, 2, dtype=torch.float64) / hidden)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=2).flatten(1).float()
