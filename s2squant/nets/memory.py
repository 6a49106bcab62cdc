"""Memory: an encoder's summary and states, as a decoder reads them.

Shape legend: B sequences, W states a memory holds, K units, C layers of a recurrent stack, H steps,
E numbers of a step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Memory(NamedTuple):
    """A summary of the past, and its states where something reads them."""

    summary_BK: Tensor
    states_BWK: Tensor | None = None
    mask_BW: Tensor | None = None
    """Which states are real; None when all are."""
    final_CBK: tuple[Tensor, ...] | None = None
    """The last state of every layer, an LSTM's cell too: (h,) or (h, c); None where nothing reads it."""
    ahead_BHE: Tensor | None = None
    """Covariates of the steps ahead; None without any."""

    def pick(self, rows: Tensor | slice) -> Memory:
        """The memories of `rows`, in that order, repeated as often as named; of a slice, as views."""
        return Memory(
            self.summary_BK[rows],
            None if self.states_BWK is None else self.states_BWK[rows],
            None if self.mask_BW is None else self.mask_BW[rows],
            None if self.final_CBK is None else tuple(part[:, rows] for part in self.final_CBK),
            None if self.ahead_BHE is None else self.ahead_BHE[rows],
        )

    def detached(self) -> Memory:
        """The same values as leaves that gather gradients; the mask stays, and covariates that nothing learns."""
        return Memory(
            self.summary_BK.detach().requires_grad_(),
            None if self.states_BWK is None else self.states_BWK.detach().requires_grad_(),
            self.mask_BW,
            None if self.final_CBK is None else tuple(part.detach().requires_grad_() for part in self.final_CBK),
            None if self.ahead_BHE is None else self.ahead_BHE.detach().requires_grad_(self.ahead_BHE.requires_grad),
        )

    def tensors(self) -> list[Tensor]:
        """The tensors that carry gradients."""
        states = [] if self.states_BWK is None else [self.states_BWK]
        ahead = [] if self.ahead_BHE is None or not self.ahead_BHE.requires_grad else [self.ahead_BHE]
        return [self.summary_BK, *states, *(self.final_CBK or ()), *ahead]


def real_states(lengths_B: Tensor, longest: int) -> Tensor:
    """Mask (B, W) of the states of sequences padded at their end."""
    return torch.arange(longest, device=lengths_B.device) < lengths_B[:, None]
