"""GJR-FHS over several tickers: each ticker's own law, and the dates that tickers share."""

import numpy as np

from s2squant.config.baselines import GarchTSpec
from s2squant.forecasters.baselines.fhs import GjrFhs
from s2squant.forecasters.baselines.joint_fhs import joint_fhs
from s2squant.series.panel import Panel
from s2squant.series.tails import ALL_LEVELS
from tests.worlds.synthetic import garch_panel


def test_paths_have_the_marginals_of_the_model_and_what_tickers_share():
    panel = garch_panel("AB", 900, seed=3)
    alone = [Panel((history,)) for history in panel.histories]
    day = panel.dates[700]
    fits = [GjrFhs(GarchTSpec()).fit(one.until(day), np.arange(300, 690), horizon=5, seed=0) for one in alone]
    together = joint_fhs(fits, panel.histories, day)
    steps = np.array([1, 5])
    paths = together.simulate(panel.dates[[700, 820]], steps, 40_000, seed=1)
    assert paths.shape == (2, 2, 2, 40_000)
    for m, one in enumerate(alone):
        said = fits[m].predict(one, np.array([700, 820])).levels_NHA[:, steps - 1, 5:-5]
        got = np.quantile(paths[m], ALL_LEVELS[5:-5], axis=-1).transpose(1, 2, 0)
        np.testing.assert_allclose(got, said, atol=0.12 * said.std())
    shared = np.corrcoef([panel.histories[m].log_returns[100:700] for m in (0, 1)])[0, 1]
    drawn = np.corrcoef(paths[:, 1, 0])[0, 1]
    assert abs(drawn - shared) < 0.1
    wild = [h.between(None, panel.dates[750]) for h in panel.histories]
    np.testing.assert_array_equal(joint_fhs(fits, wild, day).residuals_MD, together.residuals_MD)
    assert joint_fhs(fits, panel.histories, panel.dates[120]) is None
