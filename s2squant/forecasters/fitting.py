"""What fitting needs to know of all models of an experiment: origins, and training curves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.config.models import Forecasters
from s2squant.forecasters.network import FittedSeq2Seq

TRAINING_COLUMNS = ["model", "unique_id", "market", "fold", "seed", "step", "loss"]


CURVE_POINTS = 60
"""A training curve keeps about this many points, each the mean of the steps around it."""


def origins_needed(forecasters: Forecasters) -> int:
    """Consecutive training origins without which a model cannot be fitted."""
    needed = [1]
    if "anchor" in forecasters.models:
        needed.append(forecasters.anchor.stride)
    if any(model.startswith("seq2seq") for model in forecasters.models):
        spec = forecasters.seq2seq.training
        needed += [spec.chunk - spec.warm, spec.chunk - forecasters.anchor.warmup]
    return max(needed)


def curves(fitted: FittedSeq2Seq, market: str, fold: int) -> pd.DataFrame:
    """The training losses of a fitted network as rows of the training table."""
    parts = []
    for ticker, seeds in fitted.losses.items():
        for seed, losses in enumerate(seeds):
            blocks = np.array_split(np.asarray(losses), min(CURVE_POINTS, len(losses)))
            ends = np.cumsum([len(block) for block in blocks])
            parts.append(
                pd.DataFrame(
                    {
                        "model": fitted.name,
                        "unique_id": ticker,
                        "market": market,
                        "fold": fold,
                        "seed": seed,
                        "step": ends,
                        "loss": [float(block.mean()) for block in blocks],
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)
