"""Quantile head: the anchor's table, bent by bounded corrections that start at zero.

In units of the anchor's standard deviation at step h,
q(p) = T_h(p) exp(a tanh(z0 / a)) + sum_j b_j tanh(z_j) f_j(p), with the basis f = 1, |p - 1/2| - 1/4, u^2/4 - 1/5,
u^3/10 - u/5, p - 1/2, where u is the normal quantile of p; the location's bound is divided by h. All z are zero at
the start, so that an untrained head returns the anchor.

Shape legend: N origins, H steps, Q levels, D units of the decoder.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from s2squant.config import HeadSpec


def shape_basis(levels_Q: Tensor) -> Tensor:
    """The basis f (5, Q): location, spread, tail, tail asymmetry, slope."""
    normal = torch.special.ndtri(levels_Q)
    return torch.stack(
        [
            torch.ones_like(levels_Q),
            (levels_Q - 0.5).abs() - 0.25,
            normal**2 / 4 - 0.2,
            normal**3 / 10 - 0.2 * normal,
            levels_Q - 0.5,
        ]
    )


class QuantileHead(nn.Module):
    """A small perceptron for the six corrections, and a table that may learn from its start."""

    basis_5Q: Tensor
    bounds_H5: Tensor

    def __init__(
        self, spec: HeadSpec, inputs: int, width: int, dropout: float, table_HQ: Tensor, levels_Q: Tensor
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.dropout = dropout
        self.corrections = nn.Linear(width, 6)
        nn.init.zeros_(self.corrections.weight)
        nn.init.zeros_(self.corrections.bias)
        self.table = nn.Parameter(table_HQ.to(torch.float32).clone())
        self.log_scale_bound = spec.log_scale_bound
        steps = torch.arange(1, len(table_HQ) + 1, dtype=torch.float32)
        rest = torch.tensor([spec.spread_bound, spec.shape_bound, spec.shape_bound, spec.shape_bound])
        bounds = torch.cat([spec.location_bound / steps[:, None], rest.expand(len(steps), 4)], dim=1)
        self.register_buffer("bounds_H5", bounds, persistent=False)
        self.register_buffer("basis_5Q", shape_basis(levels_Q.double()).float(), persistent=False)

    def forward(self, hidden_HND: Tensor) -> Tensor:
        """Quantiles (H, N, Q) in anchor units; not sorted, the score does not need it and the forecast sorts.

        One matrix product a step: (N, 6) coefficients times the table and the basis (6, Q).
        """
        hidden_HND = nn.functional.gelu(self.hidden(hidden_HND))
        if self.training and self.dropout > 0:  # one mask an origin, shared by its steps (Gal and Ghahramani 2016)
            kept_ND = hidden_HND.new_ones(hidden_HND.shape[1:])
            hidden_HND = hidden_HND * nn.functional.dropout(kept_ND, self.dropout)
        z_HN6 = self.corrections(hidden_HND).float()
        stretch_HN1 = torch.exp(self.log_scale_bound * torch.tanh(z_HN6[..., :1] / self.log_scale_bound))
        bent_HN6 = torch.cat([stretch_HN1, torch.tanh(z_HN6[..., 1:]) * self.bounds_H5[:, None]], dim=2)
        shapes_H6Q = torch.cat([self.table[:, None], self.basis_5Q.expand(len(self.table), -1, -1)], dim=1)
        return torch.bmm(bent_HN6, shapes_H6Q)


class _Pinball(torch.autograd.Function):
    """The loss and its slope in one pass over the quantiles; autograd's own graph takes three times as many."""

    @staticmethod
    def forward(ctx: Any, quantiles: Tensor, y: Tensor, levels_Q: Tensor) -> Tensor:
        over = quantiles - y[..., None]
        slope = (over > 0).to(over.dtype) - levels_Q
        ctx.save_for_backward(slope)
        return torch.dot(over.flatten(), slope.flatten()) / over.numel()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * (grads[0] / slope.numel()), None, None


def pinball(y: Tensor, quantiles: Tensor, levels_Q: Tensor) -> Tensor:
    """Mean pinball loss over origins, steps and levels (Koenker and Bassett 1978); `quantiles` is `y` by levels."""
    loss: Tensor = _Pinball.apply(quantiles, y, levels_Q)  # type: ignore[no-untyped-call]
    return loss
