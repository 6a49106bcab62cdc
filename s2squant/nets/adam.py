"""Adam and AdamW: torch's own step functions and state, without torch's optimiser classes.

Those classes import torch's compiler in every process (about one CPU second and 70 MB), which nothing here uses. The
steps are the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from s2squant.config.training import Optimiser

BETAS = (0.9, 0.999)
EPS = 1e-8


class Adam:
    """Adam (Kingma and Ba 2015), or AdamW (Loshchilov and Hutter 2019), over groups of parameters.

    A group is its parameters and its weight decay. Parameters are numbered through all groups in order.
    """

    def __init__(
        self, groups: Sequence[tuple[Sequence[Tensor], float]], *, kind: Optimiser = "adam", fused: bool = False
    ) -> None:
        self._step = adamw if kind == "adamw" else adam
        self._groups, self._fused = [(list(params), decay) for params, decay in groups], fused
        self._moments: dict[int, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for params, _ in self._groups:
            for p in params:
                p.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every parameter that has a gradient, at the rate `lr`."""
        first = 0
        for params, decay in self._groups:
            moved = [(first + k, p, p.grad) for k, p in enumerate(params) if p.grad is not None]
            moments = [self._moments_of(k, p) for k, p, _ in moved]
            self._step(
                [p for _, p, _ in moved],
                [grad for _, _, grad in moved],
                [moment["exp_avg"] for moment in moments],
                [moment["exp_avg_sq"] for moment in moments],
                [],
                [moment["step"] for moment in moments],
                foreach=False,
                fused=self._fused,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=lr,
                weight_decay=decay,
                eps=EPS,
                maximize=False,
            )
            first += len(params)

    def moments(self) -> Mapping[int, Mapping[str, Tensor]]:
        """Step and both moments of each parameter that was ever moved, by its number."""
        return self._moments

    def restore(self, moments: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Go on from `moments`."""
        self._moments = {k: dict(values) for k, values in moments.items()}

    def _moments_of(self, number: int, parameter: Tensor) -> dict[str, Tensor]:
        if number not in self._moments:
            zeros = torch.zeros_like(parameter)
            self._moments[number] = {
                "step": zeros.new_zeros((), dtype=torch.float32),
                "exp_avg": zeros,
                "exp_avg_sq": zeros.clone(),
            }
        return self._moments[number]
