"""Adjustment against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2squant.prices.adjust import (
    adjusted_close,
    adjustment_factor,
    as_traded,
    dividend_factor,
    split_factor,
)

# Seven bars. Ex-dates: bar 2 pays 1.50 on a close of 60; bar 4 splits 3:1 and pays 0.20 a new share on a close of 66;
# bar 6 is a 1:4 reverse split. Worked out by hand, as exact fractions:
#   bar 2 multiplies the bars before it by 1 - 1.50/60 = 39/40
#   bar 4 multiplies the bars before it by 1/3 x (1 - 0.20 x 3/66) = 1/3 x 109/110 = 109/330
#   bar 6 multiplies the bars before it by 4
CLOSE = [58.0, 60.0, 59.0, 66.0, 22.5, 21.0, 86.0]
DIVIDENDS = [0, 0, 1.5, 0, 0.2, 0, 0]
SPLITS = [0, 0, 0, 0, 3, 0, 0.25]
FACTOR = [4 * 109 / 330 * 39 / 40] * 2 + [4 * 109 / 330] * 2 + [4.0] * 2 + [1.0]


def test_splits_and_dividends_by_hand():
    np.testing.assert_allclose(adjustment_factor(CLOSE, DIVIDENDS, SPLITS), FACTOR, rtol=1e-12, atol=0)
    by_hand = [58 * FACTOR[0], 60 * FACTOR[1], 59 * FACTOR[2], 66 * FACTOR[3], 90.0, 84.0, 86.0]
    np.testing.assert_allclose(adjusted_close(CLOSE, DIVIDENDS, SPLITS), by_hand, rtol=1e-12, atol=0)


def test_the_parts_multiply_to_the_whole():
    whole = split_factor(SPLITS) * dividend_factor(CLOSE, DIVIDENDS, SPLITS)
    np.testing.assert_allclose(whole, FACTOR, rtol=1e-12)
    np.testing.assert_allclose(split_factor(SPLITS), [4 / 3] * 4 + [4, 4, 1], rtol=1e-15)


def test_the_return_over_an_ex_date_is_what_a_holder_earned():
    adjusted = adjusted_close(CLOSE, DIVIDENDS, SPLITS)
    # 60 in shares lose 1.50, which buys more shares at 58.50: 59 / 58.50
    assert adjusted[2] / adjusted[1] == pytest.approx(59 / 58.5, rel=1e-12)
    assert adjusted[6] / adjusted[5] == pytest.approx(86 / (21 * 4), rel=1e-12)


def test_split_adjusted_prices_turn_back_into_traded_ones():
    np.testing.assert_allclose(as_traded(np.array(CLOSE) * split_factor(SPLITS), SPLITS), CLOSE, rtol=1e-15)


@pytest.mark.parametrize("none", [0.0, 1.0, np.nan])
def test_nothing_happened_is_written_in_three_ways(none):
    splits = np.where(np.array(SPLITS) == 0, none, SPLITS)
    np.testing.assert_allclose(adjustment_factor(CLOSE, DIVIDENDS, splits), FACTOR, rtol=1e-12)


def test_a_bar_without_a_close_takes_the_last_known_one():
    close = np.array(CLOSE)
    close[1] = np.nan
    factor = adjustment_factor(close, DIVIDENDS, SPLITS)
    assert factor[0] == pytest.approx(4 * 109 / 330 * (1 - 1.5 / 58), rel=1e-12)
    assert np.isnan(adjusted_close(close, DIVIDENDS, SPLITS)[1])


def test_an_event_on_the_first_bar_changes_nothing():
    np.testing.assert_array_equal(adjustment_factor([5.0, 6.0], [1.0, 0.0], [2.0, 0.0]), [1.0, 1.0])


@pytest.mark.parametrize(
    ("close", "dividends", "splits", "says"),
    [
        ([1.0, 2.0], [0, 5], [0, 0], "dividend 5 on bar 1 is not below the close before it"),
        ([1.0, 2.0], [0, -1], [0, 0], "dividend -1 on bar 1 is negative"),
        ([1.0, 2.0], [0, 0], [0, -2], "split -2 on bar 1"),
        ([1.0, 2.0], [0, 0], [0, np.inf], "split inf on bar 1"),
        ([1.0, 2.0], [0], [0, 0], "differ in length"),
        ([[1.0]], [0], [0], "axes"),
    ],
)
def test_refuses_what_cannot_have_happened(close, dividends, splits, says):
    with pytest.raises(ValueError, match=says):
        adjusted_close(close, dividends, splits)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), bars=st.integers(2, 60))
def test_any_history_ends_at_its_own_close_and_recovers_its_returns(data, bars):
    floats = st.floats(0.5, 500, allow_nan=False)
    close = np.array(data.draw(st.lists(floats, min_size=bars, max_size=bars)))
    yields = np.array(data.draw(st.lists(st.sampled_from([0, 0, 0, 0.01, 0.2]), min_size=bars, max_size=bars)))
    splits = np.array(data.draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 0.1]), min_size=bars, max_size=bars)))
    ratio = np.where(splits == 0, 1.0, splits)
    dividends = np.r_[0.0, yields[1:] * close[:-1] / ratio[1:]]
    adjusted = adjusted_close(close, dividends, splits)
    assert adjusted[-1] == close[-1]
    held = ratio[1:] * close[1:] / (close[:-1] - dividends[1:] * ratio[1:])
    np.testing.assert_allclose(adjusted[1:] / adjusted[:-1], held, rtol=1e-12)
