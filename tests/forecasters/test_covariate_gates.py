"""Gates of covariates as they are set: what is announced passes them, and noise costs nothing to speak of."""

from dataclasses import replace

import numpy as np
import pytest

from s2squant.series.covariates import Covariate, TickerCovariates
from s2squant.series.forecast import quantile_crps
from s2squant.series.panel import Panel
from tests.forecasters.test_covariates import LEARNING, announced
from tests.test_contract import H, fit
from tests.worlds.synthetic import garch_panel

BARS, CUT = 1200, 900
ROWS = np.concatenate([np.arange(CUT, BARS - 10), BARS + np.arange(CUT, BARS - 10)])


def noisy(panel, seed):
    """A past and a future covariate that say nothing, slow and quick."""
    rng = np.random.default_rng(seed)

    def one(history):
        days = np.concatenate([history.dates, history.dates[-1] + np.arange(1, H + 5)])
        slow = np.convolve(rng.standard_normal(len(history) + 60), np.ones(60) / 8, "valid")[: len(history), None]
        quick = rng.standard_normal((len(days), 1))
        own = TickerCovariates((Covariate("slow"),), (Covariate("quick"),), (), slow, days, quick, np.empty(0))
        return replace(history, covariates=own)

    return Panel(tuple(one(h) for h in panel.histories))


def loss(learner, panel):
    forecast = fit(learner, panel.until(panel.histories[0].dates[CUT]), using=LEARNING).predict(panel, ROWS)
    return quantile_crps(panel.targets(ROWS, H), forecast.quantiles_NHQ).mean(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(("learner", "draws"), [("ridge", 10), ("gbm", 2), ("seq2seq_pooled", 2)])
def test_what_is_announced_passes_the_gate_and_noise_costs_next_to_nothing(learner, draws):
    gains, costs = [], []
    for seed in range(draws):
        plain = garch_panel("AB", BARS, seed=50 + seed)
        bare = loss(learner, plain)
        costs.append(loss(learner, noisy(plain, seed)).mean() / bare.mean() - 1)
        if seed < 2:
            gains.append(1 - loss(learner, announced(plain))[0] / bare[0])
    told = ", ".join(f"{100 * cost:.2f}" for cost in costs)
    print(f"{learner}: announced {100 * min(gains):.1f} % a step ahead at least, noise costs {told} %")
    assert min(gains) > 0.05
    assert np.mean(costs) < 0.001
