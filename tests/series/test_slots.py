"""Slots of bars within sessions, and of the bars to come."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.slots import Slots

SLOT_V = np.array([0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2])
"""Friday, a half day on Monday, Tuesday, Wednesday."""
WEEKDAY_V = np.array([4, 4, 4, 0, 0, 1, 1, 1, 2, 2, 2])
PLACE_T = np.array([0, 1, 2, 4, 5, 6])
"""Monday's opening bar is missing."""


def slots() -> Slots:
    return Slots.on_grid(3, SLOT_V, WEEKDAY_V, SLOT_V == 0, PLACE_T)


def history(ticker: str = "A") -> PriceHistory:
    dates = np.datetime64("2024-01-01") + np.arange(6)
    return PriceHistory(ticker, "X", dates, 100.0 + np.arange(6), slots=slots())


def test_a_return_spans_the_night_though_the_opening_is_missing() -> None:
    bars = slots().bars
    assert bars.slot.tolist() == [0, 1, 2, 1, 0, 1]
    assert bars.first.tolist() == [True, False, False, True, True, False]
    assert bars.phase == pytest.approx([1 / 3, 2 / 3, 1, 1, 1 / 3, 2 / 3])


def test_the_bars_ahead_are_those_of_the_grid() -> None:
    ahead = slots().ahead(np.array([2, 5]), 4)
    assert ahead.slot.tolist() == [[0, 1, 0, 1], [2, 0, 1, 2]]
    assert ahead.weekday.tolist() == [[0, 0, 1, 1], [1, 2, 2, 2]]
    assert ahead.first.tolist() == [[True, False, True, False], [False, True, False, False]]
    with pytest.raises(ValueError, match="ends 4 bars after a bar, before the horizon of 5"):
        slots().ahead(np.array([5]), 5)


def test_a_panel_lays_grids_end_to_end_and_keeps_them_when_cut() -> None:
    panel = Panel((history("A"), history("B")))
    assert panel.slots is not None
    rows = np.array([2, 8])
    assert panel.slots.ahead(rows, 4).slot.tolist() == [[0, 1, 0, 1]] * 2
    cut = panel.until("2024-01-03").slots
    assert cut is not None
    assert len(cut) == 6
    assert cut.ahead(np.array([2, 5]), 4).slot.tolist() == [[0, 1, 0, 1]] * 2


def test_slots_are_part_of_the_data() -> None:
    plain = PriceHistory("A", "X", history().dates, history().adj_close)
    assert history().sha256 != plain.sha256
    assert Panel((plain,)).slots is None
    with pytest.raises(ValueError, match="one interval"):
        _ = Panel((history(), PriceHistory("B", "X", plain.dates, plain.adj_close))).slots
