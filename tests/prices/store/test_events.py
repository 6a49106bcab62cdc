"""Yahoo's events of every kind, fetched, stored and checked: splits of any ratio, spin-offs, events told late."""

from __future__ import annotations

import numpy as np
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import PriceError
from s2squant.prices.sources.from_store import StoreSource
from s2squant.prices.universe import inspect_ticker, load_ticker


def updated(desk, ticker):
    """The store as a source, the ticker brought up to date."""
    update = desk.refresher().update(ticker)
    assert update.error is None, update.error
    return StoreSource(desk.folder)


def moves(history):
    return {f.name: f for f in history.findings if f.name not in ("missing session", "short history", "stale run")}


@pytest.mark.parametrize(
    ("ticker", "ratios"), [("RATIO", [1.5, 0.77, 8 / 9]), ("SPINOFF", [1.281]), ("SPLIT", [4, 0.125])]
)
def test_splits_of_any_ratio_are_stored_and_adjusted_for(desk, ticker, ratios):
    desk.on("2024-03-01")
    history = load_ticker(updated(desk, ticker), ticker, Universe(), desk.now)
    splits = history.events["splits"]
    np.testing.assert_allclose(splits[splits > 0], ratios, rtol=1e-6)
    assert np.abs(np.diff(history.log_price)).max() < 0.12
    assert moves(history) == {}


def test_a_spin_off_that_nobody_tells_is_warned_of(desk):
    history = inspect_ticker(updated(desk, "SPUN"), "SPUN", Universe(), desk.now)
    told = {**moves(history)}
    (name,) = {"unadjusted split", "unexplained jump"} & set(told)
    stock = desk.yahoo.stock("SPUN")
    past = stock.days[stock.days <= desk.yahoo.today]
    assert told[name].rows == (str(past[-40]),)
    assert told[name].severity in ("warning", "error")


def test_events_told_late_are_missed_that_night_and_mended_when_they_come(desk):
    stock = desk.yahoo.stock("LATE")
    past = stock.days[stock.days <= desk.yahoo.today]
    split, told = str(past[-10]), str(past[-7])
    desk.on(split)
    with pytest.raises(PriceError, match=f"suspected split.* {split} 6:1") as caught:
        load_ticker(updated(desk, "LATE"), "LATE", Universe(), desk.now)
    assert [f.severity for f in caught.value.findings if f.name == "unadjusted split"] == ["error"]
    desk.on(told)
    update = desk.refresher().update("LATE")
    assert [(change.reason, change.what) for change in update.changes] == [("split", f"6 on {split}")]
    history = load_ticker(updated(desk, "LATE"), "LATE", Universe(), desk.now)
    assert moves(history) == {}
    assert history.events["splits"][-4] == 6
