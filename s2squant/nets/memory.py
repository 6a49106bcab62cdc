"""What an encoder hands to a decoder.

Shape legend: B sequences, L past bars, K hidden units.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Memory(NamedTuple):
    """All states of an encoder, which of them are real, and its summary."""

    states_BLK: Tensor
    mask_BL: Tensor | None
    summary_BK: Tensor
