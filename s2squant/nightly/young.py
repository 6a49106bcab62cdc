"""Young tickers of a nightly: too short for models of their own, long enough for the pretrained weights.

They are forecast by the pretrained model alone, and what is issued as their blend is that.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from s2squant.config.experiment import Experiment
from s2squant.forecasters.pretrained import refusal
from s2squant.series.arrays import Ints
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel


def served(history: PriceHistory, experiment: Experiment) -> bool:
    """Whether the pretrained model is one of the models, and can forecast this ticker."""
    models = experiment.forecasters
    if "pretrained" not in models.models:
        return False
    return not refusal(history, experiment.walk.horizon, judged=models.pretrained.judged)


def is_young(history: PriceHistory, experiment: Experiment) -> bool:
    """Whether a ticker is forecast by the pretrained model alone."""
    return len(history) < experiment.walk.min_train and served(history, experiment)


def grown_rows(panel: Panel, rows: Ints, experiment: Experiment) -> Ints:
    """The rows of tickers that are not young."""
    young = np.array([is_young(h, experiment) for h in panel.histories])
    return np.asarray(rows[~young[panel.ticker_of[rows]]])


def served_rows(panel: Panel, rows: Ints, experiment: Experiment) -> Ints:
    """The rows of tickers that the pretrained model forecasts."""
    can = np.array([served(h, experiment) for h in panel.histories])
    return np.asarray(rows[can[panel.ticker_of[rows]]])


def blended(now: pd.DataFrame) -> pd.DataFrame:
    """The blend's rows of tickers that only the pretrained model has forecast."""
    others = now.loc[now["model"] != "pretrained", "unique_id"].unique()
    return now[(now["model"] == "pretrained") & ~now["unique_id"].isin(others)].assign(model="blend")
