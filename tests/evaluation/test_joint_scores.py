"""Energy and variogram scores of joint paths: values as scoringrules has them, dependence rewarded, table by pool."""

import numpy as np
import pandas as pd
import pytest
import scoringrules

from s2squant.evaluation.joint_scores import INDEPENDENT, MOST_PAIRS, OWN, joint_table, pairs_of, scored


def normal(draws, rho, size):
    common = draws.standard_normal((*size[:-2], 1, size[-1]))
    return np.sqrt(rho) * common + np.sqrt(1 - rho) * draws.standard_normal(size)


def test_scores_are_those_of_scoringrules():
    draws = np.random.default_rng(0)
    paths, y = draws.standard_normal((5, 60)), draws.standard_normal(5)
    got = scored(paths, y, pairs_of(5, 0))
    # its sum runs over ordered pairs, the diagonal too
    assert got["variogram"] == pytest.approx(float(scoringrules.vs_ensemble(y, paths.T, p=0.5)) / 20, rel=1e-6)
    assert got["energy"] == pytest.approx(float(scoringrules.es_ensemble(y, paths.T, estimator="fair")), rel=1e-6)


def test_many_components_are_compared_by_pairs_drawn_alike():
    first, second = pairs_of(100, 3)
    assert len(first) == MOST_PAIRS
    assert (first < second).all()
    np.testing.assert_array_equal(first, pairs_of(100, 3)[0])


@pytest.mark.parametrize(("rho", "finding"), [(0.6, "better"), (0.0, "no evidence")])
def test_dependence_is_rewarded_where_there_is_any(rho, finding):
    draws, records = np.random.default_rng(4), []
    outcomes = normal(draws, rho, (200, 6, 1))[..., 0]
    days = np.datetime64("2020-01-01") + np.arange(200)
    for day, y in zip(days, outcomes, strict=True):
        own = normal(draws, rho, (6, 200))
        for name, paths in ((OWN, own), (INDEPENDENT, draws.permuted(own, axis=1))):
            records.append(
                {"pool": "XNYS", "tickers": 6, "cutoff": day, "candidate": name} | scored(paths, y, pairs_of(6, 0))
            )
    table = joint_table(records, every=10, horizon=20).set_index("score")
    assert table.loc["variogram", "finding"] == finding
    assert table.loc["variogram", ["n", "n_eff", "tickers"]].tolist() == [200, 100, 6]
    assert (table["against"] == INDEPENDENT).all()
    assert joint_table([], every=1, horizon=1).empty
    both = records + [record | {"pool": "XLON"} for record in records]
    pooled = joint_table(both, every=10, horizon=20)
    assert pooled["pool"].tolist() == ["all", "XLON", "XNYS"] * 2
    assert pooled["effect"].nunique() == 2
    assert pd.unique(pooled["tickers"]).tolist() == [12, 6]
