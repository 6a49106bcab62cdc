"""BlockRNNModel of darts, an LSTM with quantiles of each day's return."""

from __future__ import annotations

import math
from typing import Any

import darts
import numpy as np
from darts import TimeSeries
from darts.models import BlockRNNModel
from darts.utils.likelihood_models import QuantileRegression

from benchmarks.contenders.measured import LR, Floats, Windowed, run
from s2squant.forecasters.challengers.lightning import QUIET, quietly


class ByDarts(Windowed):
    """The library's front: series in, series out."""

    of_sums = False

    @property
    def version(self) -> str:
        return str(darts.__version__)

    def fit(self, returns_MT: Floats, steps: int) -> Any:
        task = self.task
        windows = len(returns_MT) * (returns_MT.shape[1] - task.past - task.horizon + 1)
        model = BlockRNNModel(
            input_chunk_length=task.past,
            output_chunk_length=task.horizon,
            model="LSTM",
            hidden_dim=task.hidden,
            hidden_fc_sizes=[task.hidden],
            likelihood=QuantileRegression(task.levels_Q.tolist()),
            batch_size=task.batch,
            n_epochs=math.ceil(steps / (windows // task.batch)),
            optimizer_kwargs={"lr": LR},
            random_state=0,
            pl_trainer_kwargs={**QUIET, "max_steps": steps},
        )
        model.fit([_series(returns_T) for returns_T in returns_MT], dataloader_kwargs={"drop_last": True})
        return model

    def predict(self, model: Any, past_NW: Floats) -> Floats:
        quantiles = model.predict(
            self.task.horizon, series=[_series(past_W) for past_W in past_NW], predict_likelihood_parameters=True
        )
        return np.sort(np.stack([one.values() for one in quantiles]).astype(np.float64), axis=2)


def _series(returns_T: Floats) -> Any:
    return TimeSeries.from_values(returns_T.astype(np.float32))


if __name__ == "__main__":
    with quietly():
        run(ByDarts)
