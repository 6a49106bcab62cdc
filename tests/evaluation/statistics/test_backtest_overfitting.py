"""PBO against a matrix worked by hand, a slow copy of the definition, noise and a true winner."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from s2squant.evaluation.statistics.backtest_overfitting import COLUMNS, overfitting, overfitting_row


def by_definition(values, blocks, merit):
    """The definition, one split at a time."""
    parts = np.array_split(np.arange(len(values)), blocks)
    poor = []
    for half in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[s] for s in half])
        outside = np.setdiff1d(np.arange(len(values)), inside)
        best = np.argmax(merit(values[inside]))
        scores = merit(values[outside])
        rank = (scores < scores[best]).sum() + ((scores == scores[best]).sum() + 1) / 2
        share = rank / (values.shape[1] + 1)
        poor.append(np.log(share / (1 - share)) <= 0)
    return np.mean(poor)


def test_a_matrix_by_hand():
    # Three candidates, four blocks of one period, six splits, ranked by their mean.
    # split 01|23: inside means 2.5, 1, 1.5 -> the first; outside 0.5, 1, 3 -> rank 1 of 3, share 1/4: poor
    # split 02|13: 2, 0, 2.5 -> the third; outside 1, 2, 2 -> tied second and third, 2.5/4: good
    # split 03|12: 2.5, 1, 2.5 -> the first of the tie; outside 0.5, 1, 2 -> rank 1: poor
    # split 12|03: 0.5, 1, 2 -> the third; outside 2.5, 1, 2.5 -> tied first and third, 2.5/4: good
    # split 13|02: 1, 2, 2 -> the second, first of the tie; outside 2, 0, 2.5 -> rank 1: poor
    # split 23|01: 0.5, 1, 3 -> the third; outside 2.5, 1, 1.5 -> rank 2, share 1/2, logit 0: poor
    values = np.array([[4.0, 0, 2], [1, 2, 1], [0, 0, 3], [1, 2, 3]])
    found = overfitting(values, blocks=4, by_ratio=False)
    assert found.splits == 6
    # combinations come as 01, 02, 03, 12, 13, 23
    assert found.chosen_C.tolist() == [0, 2, 0, 2, 1, 2]
    np.testing.assert_allclose(found.rank_C, [1 / 4, 2.5 / 4, 1 / 4, 2.5 / 4, 1 / 4, 2 / 4])
    assert found.pbo == pytest.approx(4 / 6)


@pytest.mark.parametrize("by_ratio", [True, False])
def test_the_definition_one_split_at_a_time(by_ratio):
    values = np.random.default_rng(0).normal(size=(203, 9)) + np.linspace(0, 0.05, 9)
    merit = (lambda x: x.mean(axis=0) / x.std(axis=0)) if by_ratio else (lambda x: x.mean(axis=0))
    # blocks of 20 or 21 periods; array_split places the longer ones elsewhere, so lengths are made equal here
    assert overfitting(values[:200], blocks=8, by_ratio=by_ratio).pbo == by_definition(values[:200], 8, merit)
    assert 0 <= overfitting(values, blocks=8, by_ratio=by_ratio).pbo <= 1


def test_noise_is_overfitted_half_the_time_and_a_true_winner_is_not():
    rng = np.random.default_rng(1)
    noise = [overfitting(rng.normal(size=(1000, 20))).pbo for _ in range(100)]
    assert 0.4 <= np.mean(noise) <= 0.6
    assert np.std(noise) > 0.1  # one PBO is itself noisy
    skilled = rng.normal(size=(1000, 20))
    skilled[:, 7] += 0.2
    assert overfitting(skilled).pbo < 0.05


def test_a_regime_that_turns_is_overfitted():
    rng = np.random.default_rng(2)
    tilt = np.linspace(-0.3, 0.3, 8)
    sign = np.repeat([1, -1], 500)  # what won in the first half loses in the second
    values = rng.normal(size=(1000, 8)) + sign[:, None] * tilt
    assert overfitting(values, blocks=2, by_ratio=False).pbo == 1.0


def test_the_row_counts_only_candidates_that_differ():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.normal(size=(60, 9)), columns=list("abcdefghi"))
    row = overfitting_row("x", table, by_ratio=True)
    assert list(row) == list(COLUMNS)
    assert (row["candidates"], row["periods"], row["blocks"], row["splits"], row["reason"]) == (9, 60, 10, 252, "")
    assert row["selected"] in table.columns
    less = table.assign(flat=0.0, copy=table["a"]).drop(columns=["b", "c"])
    row = overfitting_row("x", less, by_ratio=True)
    assert row["candidates"] == 7
    assert np.isnan(row["pbo"])
    assert "7 candidate(s) differ; 8 or more" in row["reason"]
    gone = table.copy()
    gone.loc[gone.index >= 12, "a"] = np.nan
    assert "12 common periods" in overfitting_row("x", gone, by_ratio=True)["reason"]
    assert "0 candidate(s)" in overfitting_row("x", pd.DataFrame(), by_ratio=True)["reason"]


def test_halves_need_an_even_number_of_blocks():
    with pytest.raises(ValueError, match="3 blocks"):
        overfitting(np.zeros((10, 3)), blocks=3)
