"""A whole run with baselines beside the default ones: they are in its files, and the field is their average."""

import numpy as np
import pandas as pd
import pytest

from s2squant.config.files import make_experiment
from s2squant.study import backtest
from tests.worlds.runs import QUANTILES, TINY, check_sound, stock_days, write_prices

SMALL = {
    "har": {"paths": 128},
    "block_bootstrap": {"paths": 128},
    "gjr_fhs": {"paths": 128},
    "gbm": {"trees": 3, "nodes": 2, "levels": [0.1, 0.5, 0.9]},
}


@pytest.mark.slow
def test_all_baselines_and_their_average(tmp_path):
    write_prices(tmp_path / "prices", "AAA", stock_days(), 0)
    experiment = make_experiment(
        {
            "universe": {"source": f"csv:{tmp_path / 'prices'}"},
            "walk": TINY["walk"],
            "forecasters": TINY["forecasters"] | SMALL | {"models": ["historical_simulation"], "extra": ["baselines"]},
            "verdict": {"recommended": "field"},
        }
    )
    folder, study = backtest(experiment, tmp_path / "run", workers=0)
    table = check_sound(folder, tmp_path / "prices")
    models = experiment.forecasters.models
    assert set(table["model"]) >= set(models)
    assert len(models) == 17
    keys = ["unique_id", "cutoff", "step"]
    by_model = {m: t.sort_values(keys)[[*QUANTILES, "mean"]].to_numpy(float) for m, t in table.groupby("model")}
    average = np.mean([by_model[m] for m in models if m != "field"], axis=0)
    grid = 2.0**-11 * (average[:, 38] - average[:, 0]).max()  # what is stored is rounded, each member and their average
    np.testing.assert_allclose(by_model["field"], average, rtol=0, atol=2 * grid)
    board = study.leaderboard.set_index("model")
    assert (board.loc[[m for m in models if m != "historical_simulation"], "kind"] == "baseline").sum() >= 13
    assert isinstance(study.forecasts, pd.DataFrame)
