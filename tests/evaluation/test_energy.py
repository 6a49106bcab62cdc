"""Energy scores of a run: paths that agree with their quantiles, the scale, the origins compared, the table."""

import numpy as np
import pandas as pd
import pytest
import scoringrules

from s2squant.config.experiment import VerdictSpec
from s2squant.config.models import Forecasters
from s2squant.evaluation.energy import QUANTILES_ONLY, energy_scores, energy_table, path_scores
from s2squant.evaluation.pools import pools
from s2squant.forecasters.baselines.sampling import PATHS_KEPT
from s2squant.forecasters.catalog import make
from s2squant.series.forecast import LEVELS, Forecast
from s2squant.series.panel import Panel
from tests.worlds.forecast_tables import known_scale, scored, table_of, walks
from tests.worlds.synthetic import history

H = 6
SIMULATED = ("historical_simulation", "block_bootstrap", "ewma_t", "garch_t", "gjr_t", "gjr_fhs", "har")


RETURNS = 0.01 * np.random.default_rng(0).standard_t(6, (2, 900))


@pytest.fixture(scope="module")
def panel():
    return Panel(tuple(history(r, name) for r, name in zip(RETURNS, ("A", "B"), strict=True)))


@pytest.mark.parametrize("name", SIMULATED)
def test_paths_are_draws_of_what_the_quantiles_describe(panel, name):
    past = panel.until(panel.dates[800])
    rows = np.array([820, 850, 1750])
    fitted = make(name, Forecasters()).fit(
        past, np.concatenate([np.arange(300, 700), np.arange(1300, 1600)]), horizon=H, seed=3
    )
    made = fitted.predict(panel, rows)
    paths = made.paths_NSH
    assert paths.shape == (3, PATHS_KEPT, H)
    spread = made.quantiles_NHQ[..., 31] - made.quantiles_NHQ[..., 7]
    drawn = np.quantile(paths, LEVELS[[7, 31]], axis=1)
    np.testing.assert_allclose(drawn[1] - drawn[0], spread, rtol=0.35)
    np.testing.assert_allclose(np.median(paths, axis=1), made.quantiles_NHQ[..., 19], atol=0.35 * spread.max())
    steps = np.diff(paths, axis=2)
    assert np.abs(np.corrcoef(steps[0].T) - np.eye(H - 1)).max() < 0.5, "cumulative, not drawn step by step anew"
    alone = fitted.predict(panel, rows[1:2])
    np.testing.assert_array_equal(alone.paths_NSH[0], paths[1])


def test_each_origin_is_scored_as_by_scoringrules_on_steps_of_equal_size(panel):
    rng = np.random.default_rng(1)
    rows = np.array([820, 850, 898])  # after the last, two of six bars are known
    paths = 0.01 * rng.standard_normal((3, 40, H)).cumsum(axis=2)
    forecast = Forecast("m", rows, np.zeros((3, H, len(LEVELS))), np.zeros((3, H)), paths)
    fit_date = panel.dates[700]
    table = energy_scores(list(path_scores(panel, fit_date, forecast)))
    assert table["cutoff"].tolist() == [pd.Timestamp(panel.dates[820]), pd.Timestamp(panel.dates[850])]
    assert (table["paths"] == 40).all()
    bar = np.sqrt(np.square(np.diff(panel.log_price[:701])).mean())
    scale = bar * np.sqrt(np.arange(1, H + 1))
    y = panel.targets(rows[:2], H)
    oracle = scoringrules.es_ensemble(y / scale, paths[:2] / scale, estimator="fair")
    np.testing.assert_allclose(table["energy"], oracle, rtol=1e-6)


def test_the_scale_reads_no_bar_after_the_fit(panel):
    forecast = Forecast("m", np.array([820]), np.zeros((1, H, 39)), np.zeros((1, H)), np.zeros((1, 2, H)))
    before = next(path_scores(panel, panel.dates[700], forecast))["energy"]
    wilder = RETURNS[0].copy()
    wilder[705:800] *= 9
    changed = Panel((history(wilder, "A"), panel.histories[1]))
    assert next(path_scores(changed, panel.dates[700], forecast))["energy"] == pytest.approx(before, rel=1e-6)
    assert next(path_scores(changed, panel.dates[810], forecast))["energy"][0] < 0.9 * before[0]


def test_quantiles_alone_have_no_score(panel):
    forecast = Forecast("m", np.array([820]), np.zeros((1, H, 39)), np.zeros((1, H)))
    assert list(path_scores(panel, panel.dates[700], forecast)) == []
    assert energy_scores([]).empty


MODELS = {m: (0.0, known_scale(H)) for m in ("historical_simulation", "garch_t", "blend", "block_bootstrap")}


def energies(table, models, gain=0.1):
    rng = np.random.default_rng(5)
    origins = table[(table["step"] == H) & (table["model"] == "blend")][["unique_id", "cutoff"]]
    base = 1.5 + 0.2 * rng.standard_normal(len(origins))
    return pd.concat(
        [
            origins.assign(model=m, energy=base * (1 - gain * k) + 0.02 * rng.standard_normal(len(base)), paths=128)
            for k, m in enumerate(models)
        ]
    )


def found_of(table, drawn):
    losses = scored(table)
    made = pools(losses, every=2, horizon=H, markets=dict.fromkeys(losses.tickers, "XNYS"))
    return energy_table(drawn.reset_index(drop=True), losses, made[0], VerdictSpec()).set_index("model"), made[0]


def test_a_planted_gain_is_found_and_models_without_paths_are_named():
    table = table_of(walks(2, cutoffs=100), MODELS, every=2)
    found, pool = found_of(table, energies(table, ["historical_simulation", "garch_t"]))
    assert found.loc["garch_t", "skill"] == pytest.approx(0.1, abs=0.01)
    assert found.loc["garch_t", "low"] > 0
    assert found.loc["garch_t", "p"] < 0.001
    assert found.loc["garch_t", "crps_skill"] == pytest.approx(0.0, abs=1e-9)
    assert found.loc["garch_t", ["n", "n_eff"]].tolist() == [pool.dates, pool.n_eff]
    assert found.loc["historical_simulation", "skill"] == 0.0
    assert set(found.loc[["blend", "block_bootstrap"], "reason"]) == {QUANTILES_ONLY}
    assert set(found.loc[["blend", "block_bootstrap"], "paths"]) == {0}


def test_models_are_compared_on_the_origins_that_all_have():
    table = table_of(walks(2, cutoffs=100), MODELS, every=2)
    drawn = energies(table, ["historical_simulation", "garch_t"], gain=0.0)
    middle = drawn["cutoff"].quantile(0.5)
    late = drawn["cutoff"] > middle
    spoilt = drawn[late | (drawn["model"] != "garch_t")].copy()
    spoilt.loc[spoilt["cutoff"] <= middle, "energy"] = 100.0  # of the reference alone, where the other has nothing
    found, pool = found_of(table, spoilt)
    assert found.loc["historical_simulation", "energy"] < 2
    assert abs(found.loc["garch_t", "skill"]) < 0.02
    assert found.loc["garch_t", "n"] == pool.dates // 2


def test_nothing_drawn_and_a_reference_without_paths():
    table = table_of(walks(2, cutoffs=40), MODELS, every=2)
    found, _ = found_of(table, energy_scores([]))
    assert set(found["reason"]) == {QUANTILES_ONLY}
    found, _ = found_of(table, energies(table, ["garch_t"]))
    assert np.isfinite(found.loc["garch_t", "energy"])
    assert np.isnan(found.loc["garch_t", "skill"])
