"""Large moves: splits of any ratio, wrong units and breaks are told, and what the market did is kept, however bad."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from benchmarks.price_checks import REAL, Stock, invented, kinds, ratios, real, split
from s2squant.errors import worst
from s2squant.prices.checks.every import check
from s2squant.prices.checks.evidence import figure, local_scale, volume_of
from s2squant.prices.checks.marks import own_scale
from s2squant.prices.checks.repair import history_from_columns
from s2squant.prices.universe import open_source
from tests.prices.checks.test_checks import closes_only, found, history_of, made, moved, walk

RATIOS = ("6:1", "9:1", "12:1", "5:2", "3:2", "1:6", "1:9", "1:12", "2:3", "2:5", "20:1", "1:8", "77:100", "13:10")
STOCKS = [invented(seed, 1200) for seed in range(3)]


def told(history):
    """The gravest severity of what is said about moves."""
    return worst(tuple(f for f in check(history) if f.name not in ("missing session", "gap", "short history")))


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_raw_split_of_any_ratio_is_an_error_that_names_it(ratio):
    """Real: 6:1, 9:1 and 12:1 were kept as real, 3:2 was not even noted."""
    new, old = map(int, ratio.split(":"))
    shares = new / old
    finding = found(history_of(moved(200, 1 / shares, shares=shares, sd=0.008)), "unadjusted split")
    assert (finding.severity, finding.rows) == ("error", ("2020-07-19",))
    if shares > 1.3 or shares < 0.7:
        assert finding.text == f"1 suspected split(s) not adjusted for: 2020-07-19 {ratio}"
    assert "deviations of its own" in finding.why[0]
    assert "ever after" in finding.why[0]
    if abs(np.log(shares)) > np.log(1.45):
        assert found(closes_only(moved(200, 1 / shares, sd=0.008)), "unadjusted split").severity == "warning"


def test_nearly_every_ratio_to_twenty_is_told_in_invented_stocks():
    some = [ratio for ratio in ratios() if max(Fraction(*map(int, ratio.split(":"))), 1) != 1][::5]
    outcomes = [told(split(ratio, share_count=True)(Stock(s), 500)) for ratio in some for s in STOCKS]
    assert np.mean([outcome in ("error", "warning") for outcome in outcomes]) >= 0.95
    assert [told(stock) for stock in STOCKS] == [None, None, None]


@pytest.mark.parametrize("event", REAL)
def test_what_really_happened_is_noted_and_kept(event):
    for stock in STOCKS:
        assert told(real(stock, 600, event)) in (None, "note")


def test_a_coin_that_collapses_within_a_week_is_noted_and_kept():
    """Real: LUNA in May 2022, from 64 to .0001 on up to ten thousand times the volume, quarantined as recycled."""
    columns = moved(0, 1.0, bars=900, sd=0.03)
    fall = np.ones(900)
    fall[487:493] = 0.484, 0.565, 0.063, 0.0045, 0.02, 3.0
    busy = np.ones(900)
    busy[487:493] = 5, 20, 200, 5000, 50_000, 80_000
    busy[493:] = 25_000
    opened = np.r_[1.0, columns["close"][:-1]] * np.cumprod(np.r_[1.0, fall[:-1]])
    for name in ("open", "high", "low", "close"):
        columns[name] *= np.cumprod(fall)
    columns["open"], columns["volume"] = opened, columns["volume"] * busy
    columns["high"] = np.maximum(columns["high"], opened)
    columns["low"] = np.minimum(columns["low"], opened)
    history = made(columns["close"], ticker="LUNA-USD", **columns)
    assert {f.name: f.severity for f in check(history)} == {"large move": "note"}


def test_a_loss_on_heavy_volume_is_never_a_split_or_another_company():
    for factor, volume in ((0.03, 60), (0.09, 60), (0.0038, 40), (0.33, 25), (0.5, 12)):
        assert told(history_of(moved(200, factor, volume=volume, sd=0.012))) == "note"


def test_the_same_loss_on_ordinary_volume_needs_a_reason():
    """Real: a demerger that no event tells, -65 %, on ordinary volume."""
    finding = found(history_of(moved(200, 0.3461)), None)
    assert worst(tuple(finding.values())) in ("warning", "error")
    assert found(history_of(moved(200, 1.31, sd=0.01))) != {}  # the level a third up for good


def test_a_last_bar_is_judged_without_what_comes_after():
    columns = {name: values[:201] for name, values in moved(200, 1 / 6, shares=6.0).items()}
    assert found(history_of(columns), "unadjusted split").severity == "error"
    columns = {name: values[:201] for name, values in moved(200, 0.09, opened=0.15, volume=30.0).items()}
    assert told(history_of(columns)) in (None, "note", "warning")


def test_currencies_and_futures_are_not_split():
    """Real: EUR/CHF lost 15 % on 2015-01-15, from a peg; gas rose by 319 % in a week; both are closes alone."""
    peg = np.r_[1.2 * np.exp(np.random.default_rng(0).normal(0, 3e-4, 300)), walk(100, start=1.02, sd=0.008)["close"]]
    assert not {"unadjusted split", "unexplained jump"} & set(found(made(peg, ticker="EURCHF", calendar="ECB")))
    assert {f.severity for f in check(open_source("sample").history("EURCHF"))} == {"note"}
    gas = walk(sd=0.04)["close"]
    gas[200] *= 4.19
    finding = found(made(gas, ticker="NG=F"), "reverting outlier")
    assert (finding.severity, finding.done) == ("warning", "kept")


def test_a_price_below_zero_has_one_word():
    """Real: WTI closed at -36.98 on 2020-04-20 and was both set aside and quarantined."""
    columns = walk()
    for name in ("low", "close"):
        columns[name][200] = -36.98
    days = np.datetime64("2020-01-01") + np.arange(400)
    history = history_from_columns(days, {"adj_close": columns["close"], **columns}, "WTI", source="x", calendar="24/7")
    said = [(f.name, f.severity) for f in (*history.findings, *check(history)) if f.name != "OHLC inconsistent"]
    assert said == [("non-positive price", "error")]


def test_monthly_bars_are_judged_on_their_own_spacing():
    months = np.arange("1990-01", "2010-01", dtype="datetime64[M]").astype("datetime64[D]")
    prices = walk(240, sd=0.04)["close"]
    prices[:120] *= 6
    finding = found(made(prices, months, "M", "monthly:XNYS"), "unadjusted split")
    assert (finding.rows, "6:1" in finding.text) == (("2000-01-01",), True)


@pytest.mark.parametrize("factor", [1.2, 0.8])
def test_a_small_spike_on_ordinary_volume_is_told(factor):
    columns = walk(sd=0.01)
    columns["close"][200] *= factor
    columns["high"][200], columns["low"][200] = columns["close"][200] * 1.01, columns["close"][200] * 0.99
    assert found(history_of(columns), "reverting outlier").severity == "warning"
    assert found(closes_only(columns), "reverting outlier").severity == "note"


def test_the_closes_of_real_stocks_raise_no_alarm():
    for ticker in ("AAPL", "GOOG", "IBM", "MSFT"):
        history = open_source("sample").history(ticker)
        for bars in ({}, dict(history.bars)):
            assert {f.severity for f in check(made(history.adj_close, history.dates, ticker, "XNYS", **bars))} <= {
                "note"
            }


def test_scales_and_volumes_are_robust():
    returns = np.random.default_rng(1).normal(0, 0.01, 500)
    returns[100], returns[101] = 0.6, -0.6
    assert own_scale(returns) == pytest.approx(0.01, rel=0.15)
    assert local_scale(returns, 100, 0.01) < 0.02  # what takes a move back is the same fault, and no unrest
    wild = np.where(np.arange(500) > 100, 5 * returns, returns)
    assert local_scale(wild, 100, 0.01) > 0.03
    columns = walk()
    columns["volume"][:] = 100.0
    columns["volume"][200:] = 300.0
    assert volume_of(history_of(columns), 200) == (3.0, 3.0)
    columns["volume"][200] = np.nan
    assert volume_of(history_of(columns), 200) == (None, None)


def test_sixty_kinds():
    assert len(kinds()) == 60


def test_figures_are_for_people():
    told = [figure(value) for value in (0.0876, 1.24, 10.4, 162.3, 48_120.0)]
    assert told == ["0.088", "1.2", "10", "162", "48,120"]
