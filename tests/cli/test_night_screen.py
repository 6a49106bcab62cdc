"""What a terminal shows of a night."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from s2squant.cli.night_screen import tonight
from tests.worlds.nights import TONIGHT, make_night


@pytest.mark.parametrize(("close", "shown"), [(6432.1, "6,432.10"), (68.0, "68.00"), (1.0765, "1.0765")])
def test_prices_keep_the_decimals_that_their_size_asks_for(close: float, shown: str) -> None:
    night = make_night(drift=False)
    said = io.StringIO()
    console = Console(width=120, file=said)
    console.print(tonight(replace(night, today=night.today.assign(close=close))))
    cells = [line.rsplit(maxsplit=7) for line in said.getvalue().splitlines() if TONIGHT in line]
    assert len(cells) == 2 * night.today["unique_id"].nunique()
    assert {row[2] for row in cells} == {shown}
    decimals = len(shown.partition(".")[2])
    assert {len(price.partition(".")[2]) for row in cells for price in row[4:]} == {decimals}
