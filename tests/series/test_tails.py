"""Tail levels: exact on the levels, monotone between, never inside the even grid."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

from s2squant.series.forecast import Forecast
from s2squant.series.tails import (
    ALL_COLUMNS,
    ALL_LEVELS,
    EVEN,
    LEVELS,
    QUANTILE_COLUMNS,
    TAIL_LEVELS,
    all_quantiles,
    at_level,
    exponential_tails,
    put_together,
    stretched_tails,
    taken_apart,
)


def test_levels_and_columns_are_in_order_and_even_ones_are_the_same_floats():
    assert (np.diff(ALL_LEVELS) > 0).all()
    np.testing.assert_array_equal(ALL_LEVELS[EVEN], LEVELS)
    assert [f"q{level:.3f}" for level in ALL_LEVELS] == list(ALL_COLUMNS)


def test_taken_apart_is_put_together():
    whole = np.sort(np.random.default_rng(0).normal(size=(3, 2, len(ALL_LEVELS))), axis=-1)
    np.testing.assert_array_equal(put_together(*taken_apart(whole)), whole)
    inside = put_together(norm.ppf(LEVELS), np.zeros(4))
    assert (np.diff(inside) >= 0).all()


@pytest.mark.parametrize("law", [norm(), t(4)])
def test_exponential_tails_are_near_those_of_usual_laws(law):
    near = exponential_tails(law.ppf(LEVELS))
    assert near == pytest.approx(law.ppf(TAIL_LEVELS), rel=0.08)
    assert near == pytest.approx(-near[::-1])


def test_stretched_tails_are_those_of_the_like_law_moved_and_scaled():
    law = t(5)
    own = stretched_tails(0.3 + 2 * law.ppf(LEVELS), law.ppf(LEVELS), law.ppf(TAIL_LEVELS))
    assert own == pytest.approx(0.3 + 2 * law.ppf(TAIL_LEVELS))
    assert stretched_tails(np.zeros(39), np.zeros(39), np.zeros(4)) == pytest.approx(np.zeros(4))


def test_any_level_between_is_monotone_and_exact_for_a_gaussian():
    asked = np.linspace(0.005, 0.995, 397)
    gauss, heavy = (np.array([at_level(law.ppf(ALL_LEVELS), p) for p in asked]) for law in (norm(), t(3)))
    assert gauss == pytest.approx(norm.ppf(asked), abs=1e-9)
    assert heavy == pytest.approx(t(3).ppf(asked), abs=0.02)
    assert (np.diff(heavy) > 0).all()
    assert at_level(ALL_LEVELS, 0.01) == 0.01
    with pytest.raises(ValueError, match=r"level 0\.001 is beyond the outermost levels"):
        at_level(ALL_LEVELS, 0.001)


def test_tables_without_tails_and_rows_without_have_exponential_ones():
    even = pd.DataFrame([norm.ppf(LEVELS), 2 * norm.ppf(LEVELS)], columns=list(QUANTILE_COLUMNS))
    known = all_quantiles(even)
    np.testing.assert_array_equal(known[:, EVEN], even)
    whole = even.assign(**{"q0.005": [-9.0, np.nan], "q0.010": [-8.0, np.nan], "q0.990": 8.0, "q0.995": 9.0})
    mixed = all_quantiles(whole)
    assert mixed[0, :2].tolist() == [-9, -8]
    np.testing.assert_array_equal(mixed[1, :2], known[1, :2])


def test_a_forecast_without_tails_has_some_and_bad_ones_are_refused():
    even, mean = norm.ppf(LEVELS)[None, None], np.zeros((1, 1))
    assert Forecast("a", np.array([1]), even, mean).levels_NHA[0, 0, 0] == pytest.approx(norm.ppf(0.005), rel=0.05)
    own = Forecast.of_levels("a", np.array([1]), norm.ppf(ALL_LEVELS)[None, None], mean)
    np.testing.assert_array_equal(own.levels_NHA[0, 0], norm.ppf(ALL_LEVELS))
    with pytest.raises(ValueError, match=r"tails \(1, 1, 3\)"):
        Forecast("a", np.array([1]), even, mean, tails_NHT=np.zeros((1, 1, 3)))
