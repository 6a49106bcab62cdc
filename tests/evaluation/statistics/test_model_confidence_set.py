import numpy as np
import pytest
from arch.bootstrap import MCS, SPA

from s2squant.config.experiment import Walk
from s2squant.evaluation.statistics.diebold_mariano import degrees
from s2squant.evaluation.statistics.model_confidence_set import (
    FEWEST,
    any_better,
    confidence_set,
    cutoffs_needed,
    pairwise,
)


def losses(seed, n=400, models=4, worse=()):
    rng = np.random.default_rng(seed)
    table = rng.gamma(4.0, 0.25, (n, 1)) + 0.3 * rng.standard_normal((n, models))
    for k, gap in worse:
        table[:, k] += gap
    return table


@pytest.mark.parametrize("seed", range(4))
def test_the_set_is_arches_where_cutoffs_are_many_and_do_not_overlap(seed):
    table = losses(seed, n=1000, models=5, worse=[(1, 0.03), (3, 0.06), (4, 0.5)])
    theirs = MCS(table, 0.1, reps=2000, block_size=3, seed=1)
    theirs.compute()
    p = theirs.pvalues["Pvalue"].sort_index().to_numpy()
    np.testing.assert_allclose(confidence_set(table, 1).p, p, atol=0.08)


@pytest.mark.parametrize("seed", range(4))
def test_spa_is_arches_there(seed):
    table = losses(seed, n=1000, models=4, worse=[(0, 0.02), (2, 0.3)])
    theirs = SPA(table[:, 0], table[:, 1:], reps=2000, block_size=3, seed=1)
    theirs.compute()
    assert any_better(table[:, :1] - table[:, 1:], 1).p == pytest.approx(theirs.pvalues["consistent"], abs=0.08)


def test_a_much_worse_model_is_out_and_the_best_is_in():
    found = confidence_set(losses(0, worse=[(2, 0.4)]), 2)
    assert found.p[2] < 0.01
    assert found.p.max() == 1.0
    assert found.reason == ""
    gains = losses(0)[:, :1] - losses(0, worse=[(1, -0.3)])[:, 1:]
    better = any_better(gains, 2)
    assert better.best == 0
    assert better.p < 0.01
    assert better.statistic > better.critical


def test_equal_columns_count_once():
    table = losses(1)
    doubled = np.column_stack([table, table[:, 1], table[:, 3]])
    found, plain = confidence_set(doubled, 1), confidence_set(table, 1)
    np.testing.assert_allclose(found.p[:4], plain.p)
    np.testing.assert_allclose(found.p[4:], plain.p[[1, 3]])
    assert found.twin_of.tolist() == [0, 1, 2, 3, 1, 3]
    alone = confidence_set(np.repeat(table[:, :1], 3, axis=1), 1)
    assert alone.p.tolist() == [1.0, 1.0, 1.0]


def test_what_cannot_be_tested_is_refused_with_a_reason():
    table = losses(2)
    broken = table.copy()
    broken[5, 1] = np.nan
    assert confidence_set(broken, 1).reason == "a loss is not finite"
    assert np.isnan(confidence_set(broken, 1).p).all()
    assert any_better(broken, 1).p == 1.0
    assert confidence_set(table[:50], 20).reason == "50 cutoffs, at least 200 needed"
    same = any_better(np.zeros((100, 2)), 1)
    assert (same.best, same.p, same.reason) == (-1, 1.0, "no rival differs from the reference")


@pytest.mark.parametrize("overlap", [1, 2, 5, 20])
def test_too_few_cosines_are_refused_and_the_reason_names_the_first_number_that_is_not(overlap):
    needed = cutoffs_needed(overlap)
    assert degrees(needed, overlap) == FEWEST
    table = losses(5, n=needed)
    assert confidence_set(table, overlap).reason == pairwise(table, overlap).reason == ""
    short = table[: needed - 1]
    reason = f"{needed - 1} cutoffs, at least {needed} needed"
    assert confidence_set(short, overlap).reason == pairwise(short, overlap).reason == reason
    assert any_better(short, overlap).reason == reason


def test_the_default_run_is_tested():
    walk = Walk()
    overlap = -(-walk.horizon // walk.every)
    assert (walk.cutoffs, overlap) == (100, 2)
    assert confidence_set(losses(6, n=walk.cutoffs), overlap).reason == ""


def test_the_same_input_gives_the_same_bits():
    table = losses(3)
    np.testing.assert_array_equal(confidence_set(table, 2).p, confidence_set(table, 2).p)


def test_hopeless_rivals_do_not_hide_a_good_one():
    table = losses(4, models=12, worse=[(k, 2.0) for k in range(2, 12)] + [(1, -0.045)])
    gains = table[:, :1] - table[:, 1:]
    assert (
        any_better(gains, 1).p
        <= any_better(
            losses(4, models=12, worse=[(1, -0.045)])[:, :1] - losses(4, models=12, worse=[(1, -0.045)])[:, 1:], 1
        ).p
    )
