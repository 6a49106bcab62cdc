"""Precision of a network's forward pass in training: as set, or bfloat16 where `auto` expects it to be faster.

Weights, gradients' sums, the optimiser and every forecast are float32 either way.
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from s2squant.config.networks import Seq2SeqSpec
from s2squant.config.training import Precision
from s2squant.nets.processor import BF16_UNITS
from s2squant.nets.side_by_side import can_stack

LEAST_HIDDEN, LEAST_PRODUCT = 16, 1024
"""Units of a state, and these times the chunks in a step, from which on bfloat16 was never slower (reports/LOG.md)."""


def precision_of(spec: Seq2SeqSpec, batch: int, device: torch.device, units: Collection[str]) -> Precision:
    """float32 or bf16, for a fit of `batch` chunks a step on a device; `units` are those of the processor.

    Decoders that step by themselves stay in float32 under `auto`, and on an accelerator nets that train side by side.
    """
    if spec.training.precision != "auto":
        return spec.training.precision
    if spec.steps_itself or not gains(spec, batch):
        return "float32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() and not can_stack(spec) else "float32"
    return "bf16" if any(unit in units for unit in BF16_UNITS) else "float32"


def gains(spec: Seq2SeqSpec, batch: int) -> bool:
    """Whether bfloat16 is faster for this build and size: only LSTMs have a kernel for it, and attention loses."""
    cell, hidden = spec.encoder.cell, spec.encoder.hidden
    plain = cell == "lstm" and not spec.remembers
    return plain and hidden >= LEAST_HIDDEN and hidden * batch >= LEAST_PRODUCT
