"""The gate: on data from its own model, a baseline's central 90 % interval covers 87 to 93 %."""

import numpy as np
import pytest

from s2squant.records import Panel

from .helpers import BASELINES, EWMA, GARCH, GJR, fit_at_end, garch_returns, history, student

SERIES, FITTED_BARS, ORIGINS, H = 80, 1000, 20, 20
BARS = FITTED_BARS + ORIGINS * H
"""1600 origins whose labels do not overlap: the standard error of 90 % is 0.75 points, so 3 points are four of them."""

OWN_MODEL = {
    "random_walk": lambda rng: 0.01 * rng.standard_normal((SERIES, BARS)),
    "historical_simulation": lambda rng: 0.01 * student(rng, (SERIES, BARS), 4.0),
    "ewma_t": lambda rng: garch_returns(rng, SERIES, BARS, EWMA, 6.0),
    "garch_t": lambda rng: garch_returns(rng, SERIES, BARS, GARCH, 6.0),
    "gjr_t": lambda rng: garch_returns(rng, SERIES, BARS, GJR, 6.0),
}


@pytest.mark.parametrize("name", BASELINES)
def test_interval_covers_what_it_says(name):
    returns = OWN_MODEL[name](np.random.default_rng(7))
    panel = Panel(tuple(history(f"S{i}", r) for i, r in enumerate(returns)))
    fitted = fit_at_end(BASELINES[name], panel.until(panel.histories[0].dates[FITTED_BARS]), H)
    rows = (panel.starts[:-1, None] + np.arange(FITTED_BARS, BARS, H)).ravel()
    quantiles = fitted.predict(panel, rows).quantiles_NHQ
    targets = panel.targets(rows, H)
    covered = ((targets > quantiles[..., 1]) & (targets < quantiles[..., -2])).mean(axis=0)
    below = (targets < quantiles[..., 1]).mean(axis=0)
    print(f"{name}: covered {covered[0]:.3f} at 1, {covered[-1]:.3f} at {H}; below {below[0]:.3f}, {below[-1]:.3f}")
    for step in (0, H - 1):
        assert 0.87 <= covered[step] <= 0.93
        assert 0.03 <= below[step] <= 0.07
