"""Where a network trains: the CPU, or an accelerator that torch finds. It forecasts on the CPU either way.

Draws come from generators of the CPU and are carried over, so that windows and dropout masks are the same on both.
"""

from __future__ import annotations

import torch

from s2squant.config.training import Device
from s2squant.errors import ConfigError


def device_of(wanted: Device) -> torch.device:
    """The device of a fit; raises ConfigError for one that is not there."""
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if wanted == "cuda":
        raise ConfigError("training.device = 'cuda', and torch finds no CUDA device here; use 'auto' or 'cpu'")
    return torch.device("cpu")
