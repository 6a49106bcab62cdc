"""The learned EWMA bank: a variance for every horizon as a mixture of given filters.

v_t(h) = exp(c(h)) sum_k softmax_k(W(h)) B_k(t), with W(h) = P(h) M, c(h) = P(h) c and
P(h) = [1, log h - 1.5, (log h - 1.5)^2 - 1]; the standard deviation of the h-step return is sqrt(h v_t(h)).
Members of covariates may differ by step; where one is not known, the others share its weight.

Shape legend: N origins, K members, J of covariates, H steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from s2squant.config.networks import AnchorSpec
from s2squant.nets.adam import Adam


def horizon_basis(horizon: int) -> Tensor:
    """P (H, 3), smooth in the logarithm of the step."""
    x = torch.log(torch.arange(1, horizon + 1, dtype=torch.float64)) - 1.5
    return torch.stack([torch.ones_like(x), x, x**2 - 1.0], dim=1)


class VarianceBank(nn.Module):
    """Mixture weights, level and tail of the bank, smooth in the horizon; 3 K + 6 numbers."""

    basis_H3: Tensor

    def __init__(self, members: int, horizon: int) -> None:
        super().__init__()
        self.register_buffer("basis_H3", horizon_basis(horizon))
        self.mixture = nn.Parameter(torch.zeros(3, members, dtype=torch.float64))
        self.level = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.tail = nn.Parameter(torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64))

    def weights_HK(self) -> Tensor:
        """Non-negative multipliers of the members for each step, the level included."""
        mix = torch.softmax(self.basis_H3 @ self.mixture, dim=1)
        return mix * torch.exp(self.basis_H3 @ self.level)[:, None]

    def degrees_H(self) -> Tensor:
        """Student-t degrees of freedom for each step."""
        return 2.5 + nn.functional.softplus(self.basis_H3 @ self.tail)

    def forward(self, members_NK: Tensor, covariates_NHJ: Tensor | None = None) -> Tensor:
        """Standard deviation of the cumulative return (N, H); the last J members are covariates, NaN if unknown."""
        steps = torch.arange(1, self.basis_H3.shape[0] + 1, dtype=members_NK.dtype)
        if covariates_NHJ is None:
            return torch.sqrt(steps * (members_NK @ self.weights_HK().T))
        own = members_NK.shape[1]
        weights_HK, known = self.weights_HK(), ~torch.isnan(covariates_NHJ)
        beside_NH = (torch.where(known, covariates_NHJ, 0.0) * weights_HK[:, own:]).sum(2)
        shared_NH = weights_HK.sum(1) / (weights_HK.sum(1) - (~known * weights_HK[:, own:]).sum(2))
        return torch.sqrt(steps * (members_NK @ weights_HK[:, :own].T + beside_NH) * shared_NH)


def student_nll(y_NH: Tensor, sd_NH: Tensor, degrees_H: Tensor) -> Tensor:
    """Mean negative log likelihood of Student-t returns whose standard deviation is `sd_NH`."""
    scale = sd_NH * torch.sqrt((degrees_H - 2) / degrees_H)
    constant = torch.lgamma((degrees_H + 1) / 2) - torch.lgamma(degrees_H / 2) - 0.5 * torch.log(degrees_H * math.pi)
    body = (degrees_H + 1) / 2 * torch.log1p((y_NH / scale) ** 2 / degrees_H)
    return (torch.log(scale) - constant + body).mean()


def fit_bank(
    members_NK: Tensor,
    y_NH: Tensor,
    spec: AnchorSpec,
    *,
    batch: int,
    seed: int,
    covariates_NHJ: Tensor | None = None,
) -> VarianceBank:
    """Fit a bank by maximum likelihood: Adam with a cosine schedule over random origins.

    `members_NK`, `covariates_NHJ` and `y_NH` (cumulative returns) are float64 in the same scaled units.
    """
    beside = 0 if covariates_NHJ is None else covariates_NHJ.shape[2]
    bank = VarianceBank(members_NK.shape[1] + beside, y_NH.shape[1])
    draw = torch.Generator().manual_seed(seed)
    optimiser, rate = Adam([(list(bank.parameters()), 0.0)]), spec.lr
    for step in range(spec.steps):
        pick = torch.randint(len(y_NH), (batch,), generator=draw)
        picked_NHJ = None if covariates_NHJ is None else covariates_NHJ[pick]
        loss = student_nll(y_NH[pick], bank(members_NK[pick], picked_NHJ), bank.degrees_H())
        loss = loss + spec.penalty * bank.mixture.square().sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(rate)
        rate *= (1 + math.cos(math.pi * (step + 1) / spec.steps)) / (1 + math.cos(math.pi * step / spec.steps))
    return bank
