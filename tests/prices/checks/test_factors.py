"""The adjusted close against the source's own dividends and splits, of any ratio, and without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from s2squant.prices.adjust import adjusted_close, split_factor
from s2squant.prices.checks.every import check
from tests.prices.checks.test_checks import NOW, made, walk

EX = 200
"""The bar of the event."""


def paying(share=0.008, ratio=1.0, seed=0, sd=0.01):
    """Close as traded, dividends each quarter and a split on EX, each (400,)."""
    growth = walk(seed=seed, sd=sd, start=100)["close"]
    splits, cash = np.zeros(400), np.zeros(400)
    splits[EX] = 0.0 if ratio == 1 else ratio
    count = np.where(np.arange(400) >= EX, ratio, 1.0)
    shown = np.zeros(400)
    shown[30::63] = share
    close = growth * np.cumprod(1 - shown) / count
    cash[30::63] = share * close[29::63][: len(cash[30::63])]
    return close, cash, splits


def told(close, adjusted, **events):
    return {f.name: f for f in check(replace(made(adjusted, close=close), events=events), NOW)}


@pytest.mark.parametrize("ratio", [2 / 3, 8 / 9, 77 / 100, 3 / 10, 1 / 190, 2, 3 / 2, 1281 / 1000])
def test_an_adjustment_that_takes_the_move_out_is_right_whatever_its_ratio(ratio):
    """Real: ASML's 77:100 of 2007, 8:9 and 2:3 were refused as bad factors though the adjusted series is clean."""
    close, cash, splits = paying(ratio=ratio)
    adjusted = adjusted_close(close, cash, splits)
    assert told(close, adjusted) == {}
    assert told(close, adjusted, dividends=cash, splits=splits) == {}
    yahoo = close * split_factor(splits)  # its Close is adjusted for splits already, its dividends with it
    assert told(yahoo, adjusted, dividends=cash * split_factor(splits), splits=splits) == {}
    special = cash.copy()
    special[EX] = 0.02 * close[EX]
    raw = np.where(np.arange(400) >= EX, close * 0.98, close)
    assert told(raw, adjusted_close(raw, special, splits)) == {}


@pytest.mark.parametrize("ratio", [2, 3 / 2, 1 / 8, 6])
def test_a_split_that_the_source_tells_and_does_not_adjust_for(ratio):
    close, _, splits = paying(share=0.0, ratio=ratio)
    finding = told(close, close, splits=splits)["unadjusted split"]
    assert (finding.severity, finding.rows) == ("error", ("2020-07-19",))
    assert finding.text.startswith("1 split(s) of the source not adjusted for: 2020-07-19 ")
    twice = close * split_factor(splits) ** 2
    finding = told(close * split_factor(splits), twice, splits=splits)["bad adjustment factor"]
    assert (finding.severity, finding.rows) == ("error", ("2020-07-19",))


def test_dividends_left_out_counted_twice_and_above_the_close():
    close, cash, none = paying()
    adjusted = adjusted_close(close, cash, none)
    assert told(close, adjusted, dividends=cash) == {}
    assert told(np.round(close, 2), np.round(adjusted, 2), dividends=cash) == {}
    never, twice = cash.copy(), cash.copy()
    never[30], twice[30] = 0.0, 2 * cash[30]
    for wrong, what in ((never, "never adjusted for"), (twice, "adjusted for twice")):
        finding = told(close, adjusted_close(close, wrong, none), dividends=cash)["dividend mismatch"]
        assert (finding.severity, finding.rows) == ("warning", ("2020-01-31",))
        assert finding.text == f"1 dividend(s) {what}: 2020-01-31 {cash[30]:.6g}"
    above = cash.copy()
    above[100] = 2 * close[99]
    finding = told(close, adjusted, dividends=above)["dividend mismatch"]
    assert finding.text.startswith("1 dividend(s) above the close before: 2020-04-10")
    late = np.roll(cash, 1)  # told a day after the step
    findings = check(replace(made(adjusted, close=close), events={"dividends": late}), NOW)
    assert {f.severity for f in findings} == {"warning", "note"}
    assert any("without a dividend on the day" in f.text for f in findings)


def test_one_close_with_dividends_may_be_adjusted_already():
    close, cash, none = paying(share=0.03)
    assert told(adjusted_close(close, cash, none), adjusted_close(close, cash, none), dividends=cash) == {}
    assert "that the one close shows" in told(close, close, dividends=cash)["dividend mismatch"].text


def test_a_step_that_puts_a_move_in_is_wrong():
    close = walk(sd=0.01)["close"]
    for factor in (0.5, 1.06, 10):
        adjusted = close * np.where(np.arange(400) < EX, factor, 1.0)
        assert told(close, adjusted)["bad adjustment factor"].severity == "error"
