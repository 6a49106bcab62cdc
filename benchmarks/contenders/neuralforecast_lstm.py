"""neuralforecast's LSTM with quantiles of each day's return."""

from __future__ import annotations

from typing import Any

import neuralforecast
import numpy as np
import pandas as pd
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import LSTM

from benchmarks.contenders.measured import LR, Floats, Windowed, run
from s2squant.forecasters.challengers.lightning import QUIET, quietly


class ByNeuralForecast(Windowed):
    """The library's front: frames in, frames out; its own scaling of windows is off, returns come scaled."""

    of_sums = False

    @property
    def version(self) -> str:
        return str(neuralforecast.__version__)

    def fit(self, returns_MT: Floats, steps: int) -> Any:
        task = self.task
        net = LSTM(
            h=task.horizon,
            input_size=task.past,
            encoder_n_layers=1,
            encoder_hidden_size=task.hidden,
            decoder_hidden_size=task.hidden,
            loss=MQLoss(quantiles=task.levels_Q.tolist()),
            max_steps=steps,
            learning_rate=LR,
            windows_batch_size=task.batch,
            scaler_type="identity",
            **QUIET,
        )
        model = NeuralForecast(models=[net], freq=1)
        model.fit(_frame(returns_MT))
        return model

    def predict(self, model: Any, past_NW: Floats) -> Floats:
        given = model.predict(df=_frame(past_NW)).drop(columns=["unique_id", "ds"]).to_numpy(np.float64)
        return np.sort(given.reshape(len(past_NW), self.task.horizon, -1), axis=2)


def _frame(returns_NT: Floats) -> pd.DataFrame:
    count, length = returns_NT.shape
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(count), length),
            "ds": np.tile(np.arange(length), count),
            "y": returns_NT.ravel().astype(np.float32),
        }
    )


if __name__ == "__main__":
    with quietly():
        run(ByNeuralForecast)
