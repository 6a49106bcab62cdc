"""Fused pinball loss of the quantile head, with its gradients, a block of steps at a time.

With c (7) = (stretch, five corrections, y) and S (7, Q) = (table, basis, -1) the quantiles exceed the truth by c S, and
the loss is the sum of (1[c S > 0] - p) c S. Its slope in c is S (1[c S > 0] - p)', known as soon as the quantiles are;
and as the loss is homogeneous in c, it is that slope times c. So the (H, N, Q) numbers are made, turned into signs in
place and read by two products; nothing of that size is kept, where autograd keeps several and passes over more.

Shape legend: N origins, H steps, Q levels, K units of the decoder, D units of the head; of a block, G steps, R = G N.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

ROWS = 16_384
"""Origins x steps of a block: what is made of it stays near the cache, and its calls are worth their overhead."""


class HeadWeights(NamedTuple):
    """Learned weights of a quantile head; without a hidden layer D = K, and its weights are None."""

    hidden_DK: Tensor | None
    hidden_D: Tensor | None
    corrections_6D: Tensor
    corrections_6: Tensor
    table_HQ: Tensor


class HeadFixed(NamedTuple):
    """Constants of a quantile head."""

    basis_5Q: Tensor
    bounds_H6: Tensor
    """Bounds of the log scale and of the five corrections."""
    levels_Q: Tensor


class Direct(NamedTuple):
    """The two parts of a direct decoder's hidden vectors, gelu(origin + step)."""

    origin_NK: Tensor
    step_HK: Tensor


def head_loss(
    hidden: Tensor | Direct, mask_ND: Tensor | None, y_HN: Tensor, weights: HeadWeights, fixed: HeadFixed
) -> Tensor:
    """Mean pinball loss of the head's quantiles after hidden vectors (H, N, K): the same as making and scoring them."""
    parts = hidden if isinstance(hidden, Direct) else (hidden, None)
    loss: Tensor = _HeadLoss.apply(*parts, mask_ND, y_HN, fixed, *weights)  # type: ignore[no-untyped-call]
    return loss


class _HeadLoss(torch.autograd.Function):
    """The loss with gradients computed in the forward pass; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        step_HK: Tensor | None,
        mask_ND: Tensor | None,
        y_HN: Tensor,
        fixed: HeadFixed,
        *weights: Any,
    ) -> Tensor:
        sums = _Pass(hidden, step_HK, mask_ND, y_HN, HeadWeights(*weights), fixed)
        horizon, origins = y_HN.shape
        each = max(1, ROWS // origins)
        for first in range(0, horizon, each):
            sums.add(first, min(first + each, horizon))
        ctx.save_for_backward(sums.to_hidden, sums.to_step_HK, *sums.slopes())
        return sums.loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        slopes = ctx.saved_tensors
        if grads[0].device.type != "cpu" or grads[0] != 1:  # elsewhere to ask would be to wait
            slopes = [None if slope is None else slope * grads[0] for slope in slopes]
        return *slopes[:2], None, None, None, *slopes[2:]


class _Pass:
    """The loss and its slopes, gathered block by block."""

    def __init__(
        self,
        hidden: Tensor,
        step_HK: Tensor | None,
        mask_ND: Tensor | None,
        y_HN: Tensor,
        weights: HeadWeights,
        fixed: HeadFixed,
    ) -> None:
        self.hidden, self.step_HK, self.mask_ND, self.y_HN = hidden, step_HK, mask_ND, y_HN
        self.weights, self.fixed = weights, fixed
        horizon, levels = weights.table_HQ.shape
        self.count = y_HN.numel() * levels
        bounds_6H = fixed.bounds_H6.T
        self.inner_61 = torch.ones_like(bounds_6H[:, :1])
        self.inner_61[0] /= bounds_6H[0, 0]  # the log scale alone is a tanh(z / a)
        self.inner_6D = weights.corrections_6D * self.inner_61
        self.bounds_6H1 = bounds_6H[:, :, None]
        basis_H5Q = fixed.basis_5Q.expand(horizon, -1, -1)
        truth_H1Q = -torch.ones_like(basis_H5Q[:, :1])
        self.shapes_H7Q = torch.cat([weights.table_HQ[:, None], basis_H5Q, truth_H1Q], dim=1)
        self.pulls_H7Q = self.shapes_H7Q / self.count
        self.offsets_7H1 = (self.pulls_H7Q @ fixed.levels_Q).T[:, :, None]
        self.loss = y_HN.new_zeros(())
        self.to_hidden = torch.zeros_like(hidden, memory_format=torch.contiguous_format)
        self.to_step_HK = None if step_HK is None else torch.zeros_like(step_HK)
        self.to_weights = HeadWeights._make(None if weight is None else torch.zeros_like(weight) for weight in weights)

    def slopes(self) -> HeadWeights:
        """The slopes of the weights, once all blocks are in."""
        to = self.to_weights
        return to._replace(
            corrections_6D=to.corrections_6D * self.inner_61, corrections_6=to.corrections_6 * self.inner_61[:, 0]
        )

    def add(self, first: int, end: int) -> None:
        """Steps `first` to `end`."""
        part, shape = slice(first, end), (end - first, self.y_HN.shape[1], -1)
        if self.step_HK is None or self.to_step_HK is None:
            self.to_hidden[part] = self._learn(part, self.hidden[part].flatten(0, 1)).view(shape)
            return
        sum_GNK = self.hidden + self.step_HK[part, None]
        to_hidden_RK = self._learn(part, torch.nn.functional.gelu(sum_GNK).flatten(0, 1))
        to_sum_GNK = torch.ops.aten.gelu_backward(to_hidden_RK.view(shape), sum_GNK)
        self.to_hidden += to_sum_GNK.sum(dim=0)
        torch.sum(to_sum_GNK, dim=1, out=self.to_step_HK[part])

    def _learn(self, part: slice, hidden_RK: Tensor) -> Tensor:
        """Adds the loss of some steps and its slopes in the weights; returns that in their hidden vectors."""
        weights, to = self.weights, self.to_weights
        if weights.hidden_DK is None or weights.hidden_D is None or to.hidden_DK is None or to.hidden_D is None:
            return self._correct(part, hidden_RK)
        before_RD = torch.addmm(weights.hidden_D, hidden_RK, weights.hidden_DK.T)
        to_units_RD = self._correct(part, torch.nn.functional.gelu(before_RD))
        to_before_RD: Tensor = torch.ops.aten.gelu_backward(to_units_RD, before_RD)
        to.hidden_DK.addmm_(to_before_RD.T, hidden_RK)
        to.hidden_D.add_(to_before_RD.sum(dim=0))
        return to_before_RD @ weights.hidden_DK

    def _correct(self, part: slice, units_RD: Tensor) -> Tensor:
        """The same from the units that the corrections read."""
        weights, to = self.weights, self.to_weights
        shape = (-1, self.y_HN.shape[1], units_RD.shape[1])
        if self.mask_ND is not None:
            units_RD = (units_RD.view(shape) * self.mask_ND).flatten(0, 1)
        bent_6R = torch.addmm(weights.corrections_6[:, None] * self.inner_61, self.inner_6D, units_RD.T).tanh_()
        to_bent_6R = self._score(part, bent_6R)
        to.corrections_6D.addmm_(to_bent_6R, units_RD)
        to.corrections_6.add_(to_bent_6R.sum(dim=1))
        to_units_RD = to_bent_6R.T @ self.inner_6D
        if self.mask_ND is not None:
            to_units_RD.view(shape).mul_(self.mask_ND)
        return to_units_RD

    def _score(self, part: slice, bent_6R: Tensor) -> Tensor:
        """Adds the loss of a block, given its bent corrections; returns the slope of what they were bent from."""
        y_GN = self.y_HN[part]
        c_7GN = y_GN.new_empty(7, *y_GN.shape)
        torch.mul(bent_6R.view(6, *y_GN.shape), self.bounds_6H1[:, part], out=c_7GN[:6])
        stretch_GN = c_7GN[0].exp_()
        c_7GN[6] = y_GN
        above_GNQ = torch.bmm(c_7GN.permute(1, 2, 0), self.shapes_H7Q[part]).gt_(0)
        to_c_G7N = torch.bmm(self.pulls_H7Q[part], above_GNQ.transpose(1, 2))
        to_c_7GN = torch.sub(to_c_G7N.transpose(0, 1), self.offsets_7H1[:, part], out=torch.empty_like(c_7GN))
        self.loss += torch.dot(c_7GN.view(-1), to_c_7GN.view(-1))
        over_GQ = torch.bmm(stretch_GN[:, None], above_GNQ)[:, 0]
        under_GQ = torch.outer(stretch_GN.sum(dim=1), self.fixed.levels_Q)
        torch.div(over_GQ - under_GQ, self.count, out=self.to_weights.table_HQ[part])
        slope_6GN: Tensor = torch.ops.aten.tanh_backward(to_c_7GN[:6], bent_6R.view(6, *y_GN.shape))
        slope_6GN.mul_(self.bounds_6H1[:, part])[0].mul_(stretch_GN)
        return slope_6GN.view(6, -1)
