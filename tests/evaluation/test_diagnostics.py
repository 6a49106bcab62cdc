import numpy as np
import pytest
import scoringrules
from scipy import stats

from s2squant.evaluation.diagnostics import interval_score, read, read_off
from s2squant.evaluation.losses import score
from s2squant.series.forecast import LEVELS, QUANTILE_COLUMNS
from tests.worlds.forecast_tables import known_scale, table_of, walks


def columns(law, count):
    return [np.full(count, law.ppf(level)) for level in LEVELS]


@pytest.mark.parametrize("law", [stats.norm(0.3, 2.0), stats.t(5), stats.laplace()])
def test_a_known_law_is_read_off_its_quantiles(law):
    y = law.rvs(60_000, random_state=1)
    found = read_off(y, columns(law, len(y)))
    np.testing.assert_allclose(found.pit, law.cdf(y), atol=0.006)
    assert found.log_score.mean() == pytest.approx(law.entropy(), abs=0.01)
    assert found.mean[0] == pytest.approx(law.mean(), abs=1e-9)
    assert found.variance[0] == pytest.approx(law.var(), rel=0.07)
    assert (found.pit > 0).all()
    assert (found.pit < 1).all()


def test_the_log_score_is_proper_between_widths():
    law = stats.norm()
    y = law.rvs(40_000, random_state=2)
    means = [read_off(y, columns(stats.norm(0, s), len(y))).log_score.mean() for s in (0.8, 1.0, 1.25)]
    assert means[1] < min(means[0], means[2])


def test_the_density_integrates_to_one():
    grid = np.linspace(-12, 12, 200_001)
    found = read_off(grid, columns(stats.norm(), len(grid)))
    assert np.trapezoid(np.exp(-found.log_score), grid) == pytest.approx(1.0, abs=1e-3)
    assert (np.diff(found.pit) >= 0).all()


def test_quantiles_that_repeat_and_outcomes_on_them_are_finite():
    flat = [np.zeros(3) for _ in LEVELS]
    found = read_off(np.array([-1.0, 0.0, 1.0]), flat)
    assert np.isfinite(found.log_score).all()
    assert found.pit[0] < 0.025 < found.pit[1] <= 0.975 < found.pit[2]
    half = [np.full(1, q) for q in stats.norm.ppf(LEVELS)]
    assert read_off(np.array([0.0]), half).pit[0] == pytest.approx(0.5)


def test_interval_scores_are_those_of_scoringrules():
    rng = np.random.default_rng(0)
    y, low = rng.normal(size=(2, 100))
    high = low + rng.gamma(2, size=100)
    np.testing.assert_allclose(interval_score(y, low, high, 0.2), scoringrules.interval_score(y, low, high, 0.2))


def test_a_table_is_read_on_its_common_units_in_their_order():
    y = walks(1)
    table = table_of(y, {"a": (0.001, known_scale(6)), "b": (0.0, known_scale(6, 1.5))}, every=2)
    shuffled = table.sample(frac=1.0, random_state=0)
    lost = (shuffled["model"] == "b") & (shuffled["unique_id"] == "T1") & (shuffled["step"] == 3)
    losses = score(shuffled[~lost])
    found = read(shuffled[~lost], losses)
    keys = ["unique_id", "cutoff", "step"]
    plain = table[table["model"] == "b"].set_index(keys)
    where = list(
        zip(
            np.array(losses.tickers)[losses.ticker_U],
            losses.cutoffs[losses.cutoff_U],
            losses.step_U,
            strict=True,
        )
    )
    rows = plain.loc[where]
    k = losses.models.index("b")
    np.testing.assert_allclose(found.y_U, 100 * rows["y"])
    np.testing.assert_allclose(found.median_UK[:, k], 100 * rows["q0.500"], atol=1e-6)
    one = read_off(rows["y"].to_numpy(), [rows[c].to_numpy(float) for c in QUANTILE_COLUMNS])
    np.testing.assert_allclose(found.pit_UK[:, k], one.pit, atol=1e-6)
    np.testing.assert_allclose(found.mean_UK[:, losses.models.index("a")], 0.1, rtol=1e-6)
    assert found.interval_UKB.shape == (len(losses), 2, 3)
    with pytest.raises(ValueError, match="forecasts for"):
        read(shuffled[~lost].iloc[5:], losses)
