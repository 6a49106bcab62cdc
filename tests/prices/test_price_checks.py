"""What is worth a note, and what is not: a crash is no split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s2squant.prices import open_source
from s2squant.prices.checks import suspicious
from s2squant.records import PriceHistory


def made(prices, dates=None, **bars):
    days = np.datetime64("2024-01-01") + np.arange(len(prices)) if dates is None else dates
    return PriceHistory(ticker="T", calendar="24/7", dates=days, adj_close=prices, bars=bars)


def test_a_clean_history_has_no_notes():
    assert suspicious(open_source("sample").history("IBM")) == ()


def test_raw_closes_show_their_splits_but_the_crash_stays_a_crash():
    apple, microsoft = open_source("sample").history("AAPL"), open_source("sample").history("MSFT")
    notes = suspicious(replace(apple, adj_close=apple.bars["close"]))
    assert "3 return(s) above 40%: 2000-06-21 -45.1%, 2000-09-29 -51.9%, 2005-02-28 -49.6%" in notes
    assert "2 suspected split(s) not adjusted for: 2000-06-21 2:1, 2005-02-28 2:1" in notes
    notes = suspicious(replace(microsoft, adj_close=microsoft.bars["close"]))
    assert "1 suspected split(s) not adjusted for: 2003-02-18 2:1" in notes
    closes_only = replace(apple, bars={})
    assert suspicious(closes_only) == ("1 return(s) above 40%: 2000-09-29 -51.9%",)


def test_reverse_split():
    assert "1 suspected split(s) not adjusted for: 2024-01-03 1:10" in suspicious(made([1.0, 1.01, 10.0, 10.2]))


def test_a_price_halved_overnight_on_heavy_volume_is_news():
    prices, calm = [10.0] * 3 + [10.1, 5.05, 5.0], [100.0] * 6
    split = "1 suspected split(s) not adjusted for: 2024-01-05 2:1"
    assert split in suspicious(made(prices, volume=calm))
    assert split not in suspicious(made(prices, volume=[*calm[:4], 900.0, 300.0]))


def test_stale_run():
    assert suspicious(made([1.0, 1.1, 1.1, 1.1, 1.1, 1.2])) == ()
    notes = suspicious(made([1.0, 1.1, 1.1, 1.1, 1.1, 1.1, 1.2]))
    assert notes == ("1 run(s) of 5 or more equal closes, the longest 5 bars from 2024-01-02",)


def test_inconsistent_bars_and_missing_volume():
    bars = {"open": [1.0, 2.0, 3.0], "high": [1.0, 1.5, 3.0], "low": [1.0, 1.0, np.nan], "close": [1.0, 1.2, 3.0]}
    notes = suspicious(made([1.0, 1.2, 1.3], volume=[10.0, 0.0, 10.0], **bars))
    assert notes == (
        "1 bar(s) with open or close outside low..high, the first on 2024-01-02",
        "1 bar(s) without volume, the first on 2024-01-02",
    )


def test_gaps():
    dates = np.array(["2024-01-01", "2024-01-11", "2024-01-22", "2024-01-23"], "datetime64[D]")
    assert suspicious(made([1.0, 1.1, 1.2, 1.3], dates)) == ("1 gap(s) of more than 10 days: 2024-01-11 11 days",)


@pytest.mark.parametrize("count", [6, 8])
def test_long_lists_are_cut(count):
    prices = np.cumprod(np.full(count + 1, 1.5))
    (note,) = (n for n in suspicious(made(prices)) if "above 40%" in n)
    assert note.startswith(f"{count} return(s)")
    assert note.endswith(f"and {count - 5} more")
