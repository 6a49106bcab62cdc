"""Five per cent means five per cent: every shipped test on equally good forecasts."""

import numpy as np
import pytest

from benchmarks.sizes import CELLS, TESTS, cells_of, share_rejected

REFUSED = {("fluctuation", 250, 20)}
"""Cells that the test refuses: its windows would hold fewer than four overlaps."""
NAMES = [test.name for test in TESTS]


@pytest.mark.parametrize("test", TESTS, ids=NAMES)
def test_the_size_is_roughly_right(test):
    """A short look at one cell; the slow test holds all of them."""
    draws = 60 if test.dear else 250
    found = share_rejected(test, *cells_of(test)[min(1, len(cells_of(test)) - 1)], draws, False)
    assert found <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / draws)


@pytest.mark.slow
@pytest.mark.parametrize("test", TESTS, ids=NAMES)
def test_the_size_is_right_in_every_cell(test):
    """3 to 7 % of 2000 draws (1000 of the slow ones), and 1.2 standard errors of the simulation on each side."""
    for n, h in cells_of(test):
        draws = 1000 if test.dear else 2000
        found = share_rejected(test, n, h, draws, False)
        if (test.name, n, h) in REFUSED:
            assert np.isnan(found)
        else:
            noise = 1.2 * np.sqrt(0.05 * 0.95 / draws)
            assert 0.03 - noise <= found <= 0.07 + noise, (test.name, n, h, found)


def test_every_cell_of_the_promise_is_looked_at():
    assert {(n, h) for n in (250, 1000) for h in (1, 5, 20)} == set(CELLS)
