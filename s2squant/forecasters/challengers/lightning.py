"""Libraries that train by Lightning: in this process, without a word, a file or a draw left behind."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
}
"""What a trainer is told: the processor, and no word, file or folder of its own."""
LOGGERS = ("pytorch_lightning", "lightning", "lightning_fabric", "lightning.pytorch", "darts")


@contextmanager
def quietly(seed: int | None = None) -> Iterator[None]:
    """Within it nothing is said, and draws begin at `seed`, if given; after it the global seeds are the caller's."""
    import torch

    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [one.level for one in loggers]
    drawn = torch.get_rng_state(), np.random.get_state(), random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        if seed is not None:
            torch.manual_seed(seed)
            np.random.seed(seed)
        try:
            yield
        finally:
            torch.set_rng_state(drawn[0])
            np.random.set_state(drawn[1])
            random.setstate(drawn[2])
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)
