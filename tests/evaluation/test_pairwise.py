"""Every pair of models at once: the truth, the family's level, and agreement with the headline test."""

import numpy as np
import pytest

from s2squant.config.experiment import VerdictSpec
from s2squant.evaluation.comparisons import compare, relative_series
from s2squant.evaluation.pairwise import COLUMNS, pairs, pairs_by_step
from s2squant.evaluation.pools import pools
from s2squant.evaluation.statistics import diebold_mariano as dm
from s2squant.evaluation.statistics.model_confidence_set import pairwise
from tests.worlds.forecast_tables import known_scale, scored, table_of, walks

H, EVERY = 6, 2
MODELS = {
    "historical_simulation": (0.0, known_scale(H, 1.8)),
    "gjr_t": (0.0, known_scale(H)),
    "anchor": (0.0, known_scale(H)),
    "blend": (0.0, known_scale(H, 1.02)),
}


def pairs_of(table):
    losses = scored(table)
    made = pools(losses, every=EVERY, horizon=H, markets=dict.fromkeys(losses.tickers, "XNYS"))
    return losses, made, pairs(losses, made[0], VerdictSpec()).set_index(["model", "against"])


@pytest.fixture(scope="module")
def case():
    return pairs_of(table_of(walks(3, cutoffs=160), MODELS, every=EVERY))


def test_every_pair_stands_once_the_better_model_first(case):
    losses, _, found = case
    assert len(found) == 6
    assert {frozenset(pair) for pair in found.index} == {frozenset((a, b)) for a in MODELS for b in MODELS if a != b}
    for better, worse in found.index:
        assert losses.of(better).mean() <= losses.of(worse).mean()
    assert (found["effect"] >= 0).all()
    assert (found["p_adjusted"] >= found["p"]).all()


def test_the_first_the_fifth_and_the_last_step_have_tables_of_their_own(case):
    losses, made, found = case
    table = pairs_by_step(losses, made, VerdictSpec())
    assert table.columns.tolist() == COLUMNS
    assert table.groupby("step", sort=False).size().to_dict() == {"all": 6, "1": 6, "5": 6, str(H): 6}
    whole = table[table["step"] == "all"].set_index(["model", "against"])
    assert (whole.loc[found.index, "statistic"] == found["statistic"]).all()
    first = table[table["step"] == "1"].set_index(["model", "against"]).loc[("blend", "historical_simulation")]
    step = next(pool for pool in made if pool.family == "step" and pool.step == "1")
    own, base = (losses.of(model)[step.units] for model in ("blend", "historical_simulation"))
    _, series = relative_series(own, base, losses.ticker_U[step.units], step)
    alone = dm.examine(series, 1)
    assert first["effect"] == pytest.approx(alone.mean, rel=1e-9)
    assert first["statistic"] == pytest.approx(alone.mean / alone.se, rel=1e-9)
    assert first["n_eff"] == step.n_eff == 160


def test_the_planted_difference_is_found_and_equal_models_do_not_differ(case):
    found = case[2]
    wide = found.xs("historical_simulation", level="against")
    assert set(wide["finding"]) == {"differ"}
    twins = found.loc[("gjr_t", "anchor")]
    assert (twins["effect"], twins["statistic"], twins["p"], twins["p_adjusted"]) == (0, 0, 1, 1)
    assert twins["finding"] == "no evidence"


def test_a_pair_with_the_reference_is_the_verdicts_own_test(case):
    losses, made, found = case
    told = compare(losses, made, [("blend", "historical_simulation")], VerdictSpec())
    verdict = told[told["family"] == "all"].iloc[0]
    row = found.loc[("blend", "historical_simulation")]
    assert row["effect"] == pytest.approx(verdict["effect"], rel=1e-9)
    assert row["statistic"] == pytest.approx(verdict["statistic"], rel=1e-9)
    assert row["p"] == pytest.approx(verdict["p"], rel=1e-6)
    assert row["n_eff"] == verdict["n_eff"]


def test_too_few_cutoffs_are_not_tested():
    found = pairs_of(table_of(walks(4, cutoffs=6), MODELS, every=EVERY))[2]
    assert set(found["finding"]) == {"not tested"}
    assert (found["p_adjusted"] == 1).all()
    assert found["reason"].str.contains("at least 45 needed").all()


def test_no_pair_of_equal_models_differs_more_often_than_promised():
    """5 % of all tables, not of all pairs: picking the largest of 15 differences is allowed for."""
    rng, overlap, tables = np.random.default_rng(0), 4, 160
    smallest, alone = [], []
    for _ in range(tables):
        shocks = rng.standard_normal((250 + overlap - 1, 6)) + rng.standard_normal((250 + overlap - 1, 1))
        losses = np.stack([np.convolve(x, np.ones(overlap), "valid") for x in shocks.T], axis=1)
        found = pairwise(losses, overlap)
        smallest.append(found.p_adjusted[np.triu_indices(6, 1)].min())
        t = found.t[np.triu_indices(6, 1)]
        alone.append(dm.p_value(t, np.full(len(t), float(dm.degrees(250, overlap)))).min())
    noise = np.sqrt(0.05 * 0.95 / tables)
    assert (np.array(smallest) < 0.05).mean() <= 0.05 + 3 * noise
    assert (np.array(smallest) < 0.5).mean() > 0.3, "not asleep"
    assert (np.array(alone) < 0.05).mean() > 0.15, "unadjusted, someone wins far too often"


def test_the_order_of_models_does_not_matter():
    losses = np.random.default_rng(1).gamma(4, 0.25, (200, 4)) + np.array([0, 0, 0.1, 0.3])
    found, turned = pairwise(losses, 3), pairwise(losses[:, ::-1], 3)
    np.testing.assert_allclose(found.t, turned.t[::-1, ::-1])
    np.testing.assert_allclose(found.p_adjusted, turned.p_adjusted[::-1, ::-1], atol=0.03)
    assert found.t[3, 0] > 0
