"""Heads of the cumulative return, quantiles and a point: the anchor's table, bent by bounded corrections from zero.

In units of the anchor's standard deviation at step h, the quantile head says
q(p) = T_h(p) exp(a tanh(z0 / a)) + sum_j b_j tanh(z_j) f_j(p), with the basis f = 1, |p - 1/2| - 1/4, u^2/4 - 1/5,
u^3/10 - u/5, p - 1/2, where u is the normal quantile of p; the location's bound is divided by h. All z are zero at
the start, so that an untrained head returns the anchor. The point head moves the table by its first correction alone.

Shape legend: N origins, H steps, Q levels, D units of the decoder, Z corrections.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from s2squant.config.networks import HeadSpec
from s2squant.nets.head_loss import Direct, HeadFixed, HeadWeights, head_loss


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


class Corrections(nn.Module):
    """A small perceptron whose outputs start at zero: what every head is made of. Of width 0, a linear map."""

    def __init__(self, inputs: int, width: int, dropout: float, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, width) if width else None
        self.dropout = dropout
        self.corrections = nn.Linear(width or inputs, outputs)
        nn.init.zeros_(self.corrections.weight)
        nn.init.zeros_(self.corrections.bias)

    def draw_mask(self, origins: int) -> Tensor | None:
        """One dropout mask an origin, shared by its steps (Gal and Ghahramani 2016); None when nothing is dropped."""
        if not self.training or self.dropout == 0:
            return None
        weight = self.corrections.weight
        ones_ND = torch.ones(origins, self.corrections.in_features, dtype=weight.dtype)
        return nn.functional.dropout(ones_ND, self.dropout).to(weight.device)

    def corrected(self, hidden_HND: Tensor, mask: Tensor | None) -> Tensor:
        """The raw corrections (H, N, Z), in the precision of the weights."""
        if self.hidden is not None:
            hidden_HND = nn.functional.gelu(self.hidden(hidden_HND))
        if mask is not None:
            hidden_HND = hidden_HND * mask
        return torch.as_tensor(self.corrections(hidden_HND)).to(self.corrections.weight.dtype)


class QuantileHead(Corrections):
    """Six corrections of a quantile table that may learn from its start."""

    basis_5Q: Tensor
    bounds_H5: Tensor
    levels_Q: Tensor

    def __init__(
        self, spec: HeadSpec, inputs: int, width: int, dropout: float, table_HQ: Tensor, levels_Q: Tensor
    ) -> None:
        super().__init__(inputs, width, dropout, 6)
        self.table = nn.Parameter(table_HQ.to(torch.float32).clone())
        self.log_scale_bound = spec.log_scale_bound
        steps = torch.arange(1, len(table_HQ) + 1, dtype=torch.float32)
        rest = torch.tensor([spec.spread_bound, spec.shape_bound, spec.shape_bound, spec.shape_bound])
        bounds = torch.cat([spec.location_bound / steps[:, None], rest.expand(len(steps), 4)], dim=1)
        self.register_buffer("bounds_H5", bounds, persistent=False)
        self.register_buffer("basis_5Q", shape_basis(levels_Q.double()).float(), persistent=False)
        self.register_buffer("levels_Q", levels_Q, persistent=False)

    def forward(self, hidden_HND: Tensor, mask: Tensor | None = None, first: int = 0) -> Tensor:
        """Quantiles (H, N, Q) of the steps from `first` on, in anchor units; the forecast sorts them.

        One matrix product a step: (N, 6) coefficients times the table and the basis (6, Q).
        """
        z_HN6 = self.corrected(hidden_HND, mask)
        steps = slice(first, first + len(z_HN6))
        stretch_HN1 = torch.exp(self.log_scale_bound * torch.tanh(z_HN6[..., :1] / self.log_scale_bound))
        bent_HN6 = torch.cat([stretch_HN1, torch.tanh(z_HN6[..., 1:]) * self.bounds_H5[steps, None]], dim=2)
        table_H1Q = self.table[steps, None]
        shapes_H6Q = torch.cat([table_H1Q, self.basis_5Q.expand(len(table_H1Q), -1, -1)], dim=1)
        return torch.bmm(bent_HN6, shapes_H6Q)

    def loss(self, quantiles_HNQ: Tensor, y_HN: Tensor) -> Tensor:
        """Mean pinball loss of the standardised cumulative returns."""
        return pinball(y_HN, quantiles_HNQ, self.levels_Q)

    def loss_of_hidden(self, hidden: Tensor | Direct, mask: Tensor | None, y_HN: Tensor) -> Tensor:
        """Loss of all steps' quantiles, fused with its gradients; in the precision of the weights."""
        precise = self.table.dtype
        hidden = Direct(*(part.to(precise) for part in hidden)) if isinstance(hidden, Direct) else hidden.to(precise)
        scale_H1 = torch.full_like(self.bounds_H5[:, :1], self.log_scale_bound)
        fixed = HeadFixed(self.basis_5Q, torch.cat([scale_H1, self.bounds_H5], dim=1), self.levels_Q)
        inner, outer = self.hidden, self.corrections
        inside = (None, None) if inner is None else (inner.weight, inner.bias)
        weights = HeadWeights(inside[0], inside[1], outer.weight, outer.bias, self.table)
        with torch.autocast(y_HN.device.type, enabled=False):
            return head_loss(hidden, mask, y_HN, weights, fixed)

    def feed(self, quantiles_NQ: Tensor) -> Tensor:
        """Input (N,) of a decoder that reads its previous output: the median, with its gradient."""
        return quantiles_NQ[:, quantiles_NQ.shape[1] // 2]

    def quantiles(self, quantiles_HNQ: Tensor) -> Tensor:
        """The forecast's quantiles (N, H, Q), ordered, in anchor units."""
        return torch.sort(quantiles_HNQ.transpose(0, 1), dim=2).values


class PointHead(Corrections):
    """A conditional mean (or median, by the loss) of the cumulative return; the spread stays the anchor's."""

    table: Tensor
    bounds_H1: Tensor

    def __init__(self, spec: HeadSpec, inputs: int, width: int, dropout: float, table_HQ: Tensor) -> None:
        super().__init__(inputs, width, dropout, 1)
        self.kind = spec.loss
        self.register_buffer("table", table_HQ.to(torch.float32).clone())
        steps = torch.arange(1, len(table_HQ) + 1, dtype=torch.float32)
        self.register_buffer("bounds_H1", spec.location_bound / steps[:, None], persistent=False)

    def forward(self, hidden_HND: Tensor, mask: Tensor | None = None, first: int = 0) -> Tensor:
        """Locations (H, N, 1) in anchor units, of the steps from `first` on."""
        z_HN1 = self.corrected(hidden_HND, mask)
        return torch.tanh(z_HN1) * self.bounds_H1[first : first + len(z_HN1), None]

    def loss(self, location_HN1: Tensor, y_HN: Tensor) -> Tensor:
        """Mean error of the standardised cumulative returns: squared, absolute, or Huber's."""
        match self.kind:
            case "mse":
                return nn.functional.mse_loss(location_HN1[..., 0], y_HN)
            case "mae":
                return nn.functional.l1_loss(location_HN1[..., 0], y_HN)
            case "huber":
                return nn.functional.huber_loss(location_HN1[..., 0], y_HN)

    def feed(self, location_N1: Tensor) -> Tensor:
        """Input (N,) of a decoder that reads its previous output: the location, with its gradient."""
        return location_N1[:, 0]

    def quantiles(self, location_HN1: Tensor) -> Tensor:
        """The anchor's quantiles, moved (N, H, Q)."""
        return location_HN1.transpose(0, 1) + self.table


class _Pinball(torch.autograd.Function):
    """The loss and its slope in one pass over the quantiles; autograd's own graph takes three times as many."""

    @staticmethod
    def forward(ctx: Any, quantiles: Tensor, y: Tensor, levels_Q: Tensor) -> Tensor:
        over = quantiles - y[..., None]
        slope = (over > 0).to(over.dtype).sub_(levels_Q)
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
