"""Quantile head: the anchor's table, bent by bounded corrections that start at zero.

In units of the anchor's standard deviation at step h,
q(p) = T_h(p) exp(a tanh(z0 / a)) + sum_j b_j tanh(z_j) f_j(p), with the basis f = 1, |p - 1/2| - 1/4, u^2/4 - 1/5,
u^3/10 - u/5, p - 1/2, where u is the normal quantile of p; the location's bound is divided by h. All z are zero at
the start, so that an untrained head returns the anchor.

Shape legend: N origins, H steps, Q levels, D units of the decoder.
"""

from __future__ import annotations

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

    def forward(self, hidden_NHD: Tensor) -> Tensor:
        """Quantiles (N, H, Q) in anchor units; not sorted, the score does not need it and the forecast sorts."""
        hidden_NHD = nn.functional.gelu(self.hidden(hidden_NHD))
        if self.training and self.dropout > 0:  # one mask an origin, shared by its steps (Gal and Ghahramani 2016)
            kept_N1D = hidden_NHD.new_ones(len(hidden_NHD), 1, hidden_NHD.shape[2])
            hidden_NHD = hidden_NHD * nn.functional.dropout(kept_N1D, self.dropout)
        z_NH6 = self.corrections(hidden_NHD).float()
        stretch_NH = torch.exp(self.log_scale_bound * torch.tanh(z_NH6[..., 0] / self.log_scale_bound))
        shift_NHQ = (torch.tanh(z_NH6[..., 1:]) * self.bounds_H5) @ self.basis_5Q
        return torch.addcmul(shift_NHQ, self.table, stretch_NH[..., None])


def pinball(y_NH: Tensor, quantiles_NHQ: Tensor, levels_Q: Tensor) -> Tensor:
    """Mean pinball loss over origins, steps and levels (Koenker and Bassett 1978).

    Written as p u + relu(-u), with u = y - q: one pass fewer than the textbook maximum.
    """
    miss = y_NH[..., None] - quantiles_NHQ
    return (levels_Q * miss).mean() + nn.functional.relu(-miss).mean()
