"""Own networks of several tickers fitted in one call, as an accelerator trains them, are those of each fitted alone."""

import numpy as np
import torch

from s2squant.config.files import make_experiment
from s2squant.estimator import fits
from tests.worlds.runs import TINY
from tests.worlds.synthetic import garch_panel


def test_networks_fitted_together_are_those_fitted_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    panel, found = garch_panel("AB", 500, ohlcv=True), []
    for device in ("cpu", "auto"):
        models = TINY["forecasters"] | {"models": ["historical_simulation", "anchor", "seq2seq_per_ticker"]}
        models["seq2seq"] = models["seq2seq"] | {"training": models["seq2seq"].get("training", {}) | {"device": device}}
        experiment = make_experiment(
            {"forecasters": models, "walk": {"horizon": 5}, "verdict": {"recommended": "anchor"}}
        )
        made = fits.fit_market(panel.histories, experiment).fits
        found.append({ticker: made["seq2seq_per_ticker", ticker].state() for ticker in panel.tickers})
    for ticker in panel.tickers:
        one, other = (states[ticker] for states in found)
        assert one.meta == other.meta
        assert all(np.array_equal(value, other.arrays[name]) for name, value in one.arrays.items())
    assert fits._side_by_side(panel, experiment, {}) is not None
