"""Every check on prices made for it, and on crashes that really happened: those are no errors of the data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from s2squant.errors import Finding, PriceError, worst
from s2squant.prices.calendars.exchanges import next_sessions
from s2squant.prices.checks.every import NAMES, NOTES_THAT_MATTER, REMEDIES, check, quarantine, reason_of
from s2squant.prices.checks.segments import last_segment
from s2squant.prices.checks.spans import without_unfinished
from s2squant.prices.universe import open_source
from s2squant.series.history import PriceHistory

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def made(prices, dates=None, ticker="T", calendar="24/7", **bars):
    days = np.datetime64("2020-01-01") + np.arange(len(prices)) if dates is None else np.asarray(dates, "datetime64[D]")
    return PriceHistory(ticker=ticker, calendar=calendar, dates=days, adj_close=prices, bars=bars)


def walk(bars=400, seed=0, sd=0.02, start=50.0):
    """A random walk with an honest open, high, low, close and volume."""
    rng = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(rng.normal(0, sd, bars)))
    opened = np.r_[close[0], close[:-1]] * np.exp(rng.normal(0, sd / 4, bars))
    top = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, sd / 4, bars)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, sd / 4, bars)))
    return {"open": opened, "high": top, "low": low, "close": close, "volume": rng.lognormal(14, 0.3, bars)}


def history_of(bars, **more):
    return made(bars["close"], **{**bars, **more})


def found(history, name=None):
    findings = {f.name: f for f in check(history, NOW)}
    return findings if name is None else findings.get(name)


def moved(bar, factor, opened=None, volume=1.0, bars=400, shares=1.0, **settings):
    """A walk whose prices are multiplied by `factor` from a bar on, opening there at `opened` times the last close.

    The volume of the bar is multiplied by `volume`, that of all from it on by `shares`.
    """
    columns = walk(bars, **settings)
    shift = np.ones(bars)
    shift[bar:] = factor * columns["close"][bar - 1] / columns["close"][bar]
    for name in ("open", "high", "low", "close"):
        columns[name] = columns[name] * shift
    columns["open"][bar] = columns["close"][bar - 1] * (factor if opened is None else opened)
    columns["high"][bar] = max(columns["open"][bar], columns["close"][bar]) * 1.01
    columns["low"][bar] = min(columns["open"][bar], columns["close"][bar]) * 0.99
    columns["volume"][bar] *= volume
    columns["volume"][bar:] *= shares
    return columns


def closes_only(columns):
    return made(columns["close"])


def suspicions(history):
    """Findings beyond a note."""
    return [f for f in check(history, NOW) if f.severity != "note"]


# what really happened


CRASHES = {
    # the move, where the day opened, how many times the usual volume
    "AAPL 2000-09-29": (0.481, 0.527, 13),
    "AIG 2008-09-15": (0.392, 0.586, 7),
    "NFLX 2013-01-24": (1.422, 1.37, 8),
    "AMD 2016-04-22": (1.523, 1.15, 7),
    "FRC 2023-03-13": (0.382, 0.20, 12),
}


def test_the_real_fall_of_apple_is_noted_as_real_and_nothing_else():
    for name in ("adj_close", "close"):
        apple = open_source("sample").history("AAPL").between("2000-07-01", "2004-12-31")
        prices = apple.adj_close if name == "adj_close" else apple.bars["close"]
        for history in (replace(apple, adj_close=prices), replace(apple, adj_close=prices, bars={})):
            (finding,) = check(history, NOW)
            assert (finding.name, finding.severity, finding.done) == ("large move", "note", "kept as real")
            assert finding.rows == ("2000-09-29",)
            assert finding.text == "1 return(s) above 40%: 2000-09-29 -51.9%"


@pytest.mark.parametrize("volume_known", [True, False])
@pytest.mark.parametrize("ohlc_known", [True, False])
@pytest.mark.parametrize("event", CRASHES)
def test_a_real_crash_or_leap_is_never_suspected(event, ohlc_known, volume_known):
    factor, opened, volume = CRASHES[event]
    for seed in range(10):
        columns = moved(200, factor, opened, volume, seed=seed)
        kept = {k: columns[k] for k in ("open", "high", "low", "close") if ohlc_known}
        kept |= {"volume": columns["volume"]} if volume_known else {}
        history = made(columns["close"], **kept)
        if not kept:  # closes alone, and a calm series: nothing gives a reason, and nobody is kept out for that
            assert worst(suspicions(history)) in (None, "warning")
            continue
        assert suspicions(history) == []
        noted = found(history, "large move")
        assert noted is None or (noted.severity, noted.done) == ("note", "kept as real")


def test_a_market_that_falls_and_swings_back_is_no_outlier():
    """Real: JPM lost 20.7 % on 2009-01-20 and won 25.1 % the next day, on twice the volume, amid swings of 8 %."""
    columns = walk(seed=3)
    calm, panic = np.diff(np.log(columns["close"])), np.random.default_rng(1).normal(0, 0.08, 399)
    returns = np.where(np.arange(399) > 150, panic, calm)
    returns[200:202] = np.log([0.793, 1.251])
    assert suspicions(made(50 * np.exp(np.cumsum(returns)))) == []


def test_clean_histories_are_clean():
    assert check(open_source("sample").history("IBM"), NOW) == ()
    for seed in range(20):
        assert check(history_of(walk(600, seed)), NOW) == ()


# what did not


def test_raw_closes_show_their_splits_but_the_crash_stays_a_crash():
    apple, microsoft = open_source("sample").history("AAPL"), open_source("sample").history("MSFT")
    raw = replace(apple, adj_close=apple.bars["close"])
    assert found(raw, "unadjusted split").rows == ("2000-06-21", "2005-02-28")
    assert found(raw, "unadjusted split").severity == "error"
    assert found(raw, "large move").rows == ("2000-09-29",)
    finding = found(replace(microsoft, adj_close=microsoft.bars["close"]), "unadjusted split")
    assert finding.text == "1 suspected split(s) not adjusted for: 2003-02-18 2:1"


@pytest.mark.parametrize("factor", [1 / 2, 1 / 3, 1 / 7, 1 / 20, 10, 4])
def test_an_unadjusted_split_is_an_error_where_the_volume_agrees_and_a_warning_without_volume(factor):
    columns = moved(200, factor, shares=1 / factor)
    finding = found(history_of(columns), "unadjusted split")
    assert (finding.severity, finding.count, finding.rows) == ("error", 1, (str(history_of(columns).dates[200]),))
    assert finding.done == "quarantined"
    assert ("1:10" if factor == 10 else f"{round(1 / factor)}:1" if factor < 1 else "1:4") in finding.text
    assert found(closes_only(columns), "unadjusted split").severity == "warning"


def test_a_price_halved_overnight_on_heavy_volume_is_news():
    assert found(history_of(moved(200, 0.5, volume=12)), "unadjusted split") is None


@pytest.mark.parametrize("bars", [1, 30, 200])
def test_pence_for_pounds(bars):
    columns = walk()
    for name in ("open", "high", "low", "close"):
        columns[name][100 : 100 + bars] *= 100
    findings = found(history_of(columns))
    assert set(findings) == {"100x unit jump"}
    assert findings["100x unit jump"].severity == "error"
    assert findings["100x unit jump"].count == 2
    first, last = history_of(columns).dates[[100, 100 + bars]]
    assert findings["100x unit jump"].text.endswith(f"{first} x100, {last} /100")


def test_a_spike_that_reverts():
    columns = walk()
    columns["close"][100] *= 1.86
    columns["high"][100] = columns["close"][100]
    finding = found(history_of(columns), "reverting outlier")
    assert (finding.severity, finding.count, finding.rows) == ("error", 1, (str(history_of(columns).dates[100]),))
    assert found(closes_only(columns), "reverting outlier").severity == "warning"
    columns["volume"][100] *= 20
    assert found(history_of(columns), "reverting outlier") is None
    assert found(history_of(columns), "large move").count == 2


def test_another_company_under_the_same_name():
    columns = moved(200, 1132)
    assert set(found(history_of(columns))) == {"recycled ticker"}
    assert found(history_of(columns), "recycled ticker").severity == "error"
    dates = np.datetime64("2020-01-01") + np.arange(400) + np.where(np.arange(400) >= 200, 300, 0)
    assert found(history_of(moved(200, 5), dates=dates), "recycled ticker").severity == "error"
    assert found(history_of(moved(200, 2.2), dates=dates), "recycled ticker") is None


@pytest.mark.parametrize(
    ("name", "where", "remedy"),
    [
        ("placeholder before listing", slice(0, 30), "universe.start=2020-01-30"),
        ("placeholder after the end", slice(370, 400), "universe.end=2021-01-05"),
    ],
)
def test_prices_filled_in_before_listing_and_after_the_end(name, where, remedy):
    columns = walk()
    columns["close"][where], columns["volume"][where] = 7.0, 0.0
    for column in ("open", "high", "low"):
        columns[column][where] = 7.0
    finding = found(history_of(columns), name)
    assert (finding.severity, finding.count) == ("error", 30)
    assert remedy in finding.text
    assert found(closes_only(columns), name).severity == "warning"
    columns["volume"][where] = 1000.0
    assert found(history_of(columns), name) is None


def test_bad_adjustment_factors():
    columns, dividends = walk(), np.ones(400)
    dividends[:200] = 0.99
    assert check(made(columns["close"] * dividends, **columns), NOW) == ()
    dividends[:200] = 0.5  # a dividend of half the price, which the price does not show
    finding = found(made(columns["close"] * dividends, **columns), "bad adjustment factor")
    assert (finding.severity, finding.count, finding.rows) == ("error", 1, ("2020-07-19",))
    dividends[:200] = 1.06  # a factor that falls, and no reverse split
    assert found(made(columns["close"] * dividends, **columns), "bad adjustment factor").count == 1
    dividends[:200] = 10  # a reverse split that the price does not show
    assert found(made(columns["close"] * dividends, **columns), "bad adjustment factor").severity == "error"
    reverse = moved(200, 10, volume=0.1)
    adjust = np.where(np.arange(400) < 200, 10.0, 1.0)
    assert check(made(reverse["close"] * adjust, **reverse), NOW) == ()


def test_factors_of_cheap_shares_are_not_blamed_for_their_rounding():
    close = np.round(walk(start=0.30, seed=5)["close"], 2)
    columns = {"close": close}
    assert found(made(np.maximum(np.round(close * 0.9, 2), 0.01), **columns), "bad adjustment factor") is None


def test_non_positive_prices():
    prices = walk()["close"]
    prices[[50, 60]] = 0.0, -3.5
    finding = found(made(prices), "non-positive price")
    assert (finding.severity, finding.count, finding.rows) == ("error", 2, ("2020-02-20", "2020-03-01"))
    assert finding.text == "price 0.0 on 2020-02-20 (2 in all); log returns need finite prices above zero"
    future = made(prices, ticker="CL=F")
    assert found(future, "non-positive price").severity == "warning"
    with pytest.raises(PriceError, match=r"price 0\.0 on 2020-02-20; log returns need finite prices above zero"):
        _ = future.log_price


@pytest.mark.parametrize("price", [1e308, 1e-300, 2e12])
def test_prices_of_an_impossible_size(price):
    prices = walk()["close"]
    prices[200] = price
    assert found(made(prices), "implausible price").rows == ("2020-07-19",)


def test_stale_runs():
    prices = walk(1000)["close"]
    prices[100:104] = prices[100]
    assert found(made(prices), "stale run") is None
    prices[100:105] = prices[100]
    finding = found(made(prices), "stale run")
    assert (finding.severity, finding.rows) == ("note", ("2020-04-10",))
    assert finding.text == "1 run(s) of 5 or more equal closes, the longest 5 bars from 2020-04-10"
    prices[200:215] = prices[200]
    assert found(made(prices), "stale run").severity == "warning"


def test_constant_and_pegged():
    assert [f.name for f in check(made(np.full(400, 3.0)), NOW)] == ["constant series"]
    pegged = 7.45 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 5e-5, 400)))
    assert found(made(pegged), "pegged series").severity == "warning"
    rounded = np.round(walk(sd=0.002, start=0.5)["close"], 2)
    assert found(made(rounded), "pegged series").severity == "warning"


def test_ohlc_and_volume():
    columns = walk()
    columns["high"][10], columns["volume"][20] = columns["low"][10] * 0.9, 0.0
    findings = found(history_of(columns))
    assert {name: f.severity for name, f in findings.items()} == {"OHLC inconsistent": "warning", "zero volume": "note"}
    assert (
        findings["OHLC inconsistent"].text == "1 bar(s) with open or close outside low..high, the first on 2020-01-11"
    )
    columns["volume"][50:100] = 0.0
    assert found(history_of(columns), "zero volume").severity == "warning"


def test_missing_and_extra_sessions():
    days = np.delete(next_sessions("XNYS", "2019-12-31", 401), [5, 6])
    history = made(walk()["close"], np.sort(np.append(days, np.datetime64("2020-07-04"))), calendar="XNYS")
    missing, extra = found(history, "missing session"), found(history, "extra session")
    assert (missing.count, missing.rows, missing.severity) == (2, ("2020-01-09", "2020-01-10"), "note")
    assert (extra.count, extra.rows, extra.severity) == (1, ("2020-07-04",), "note")
    weekends = made(walk()["close"], calendar="XNYS")
    assert found(weekends, "extra session").severity == "warning"
    assert "universe.calendars" in found(weekends, "extra session").text


def test_gaps():
    dates = np.datetime64("2020-01-01") + np.arange(400) + np.where(np.arange(400) >= 200, 10, 0)
    assert found(made(walk()["close"], dates), "gap").text == "1 gap(s) of more than 10 days: 2020-07-18 11 days"
    assert found(made(walk()["close"], dates - np.where(np.arange(400) >= 200, 1, 0)), "gap") is None


@pytest.mark.parametrize(
    ("calendar", "closure"), [("XSHG", "2024-02-09"), ("XTAI", "2023-01-19"), ("XTKS", "2019-04-29")]
)
def test_a_closure_of_the_exchange_is_no_gap(calendar, closure):
    """Real: eight and more days of New Year in Shanghai and Taipei, and Tokyo's of 2019, were warned of."""
    days = next_sessions(calendar, np.datetime64(closure) - 500, 400)
    assert np.diff(days).max() >= np.timedelta64(10, "D")
    history = made(walk()["close"], days, calendar=calendar)
    assert check(history, NOW) == ()
    holes = np.delete(np.arange(400), slice(200, 212))
    assert found(made(history.adj_close[holes], days[holes], calendar=calendar), "gap").severity == "warning"


def test_a_return_over_a_hole_is_no_move():
    """Real: nine years without a bar became a large move of -56.9 %."""
    dates = np.datetime64("2010-01-01") + np.arange(400) + np.where(np.arange(400) >= 200, 3285, 0)
    assert set(found(made(moved(200, 0.43)["close"], dates))) == {"gap", "missing session"}
    stale = moved(200, 1.859)["close"]
    stale[100:200] = stale[199]  # and +85.9 % after 111 equal closes
    assert set(found(made(stale))) == {"stale run", "pegged series"}


def test_bars_before_a_hole_of_years_are_set_aside_where_enough_follow():
    dates = np.datetime64("2010-01-01") + np.arange(1000) + np.where(np.arange(1000) >= 200, 3285, 0)
    whole = made(walk(1000)["close"], dates)
    history = last_segment(whole)
    assert (len(history), history.dates[0]) == (800, dates[200])
    (finding,) = history.findings
    assert (finding.name, finding.done, finding.rows) == ("gap", "set aside", (str(dates[199]),))
    assert finding.text == "200 bar(s) to 2010-07-19 set aside: 3286 days without any follow"
    assert "gap" not in found(history)
    short = whole.between(None, dates[600])
    assert last_segment(short) is short


def test_copied_bars():
    columns = walk(seed=4)
    for values in columns.values():
        values[260:320] = values[200:260]
    finding = found(history_of(columns), "copied bars")
    assert (finding.severity, finding.count) == ("warning", 1)
    day, other = (history_of(columns).dates[i] for i in (260, 200))
    assert finding.text == f"1 stretch(es) of closes that stand there twice, 60 bars: {day} as on {other}"
    flat = np.round(walk(sd=0.0005, start=7.0)["close"], 2)
    assert found(made(flat), "copied bars") is None


def test_a_move_without_volume():
    columns = moved(200, 1.2)
    columns["volume"][200] = 0.0
    finding = found(history_of(columns), "move without volume")
    assert (finding.severity, finding.rows) == ("warning", ("2020-07-19",))


def test_too_short_and_the_future():
    assert found(made(walk(249)["close"]), "short history").severity == "warning"
    assert found(made(walk(250)["close"]), "short history") is None
    ahead = made(walk()["close"], np.datetime64("2026-01-01") + np.arange(400))
    assert found(ahead, "date in the future").severity == "error"
    assert found(ahead, "date in the future").rows[0] == "2026-11-22"  # the 21st has begun in the Pacific
    old = made(walk()["close"], np.datetime64("1791-12-30") + np.arange(400))
    assert found(old, "date long ago").severity == "error"
    assert found(old, "date long ago").rows == ("1791-12-30", "1791-12-31")


def test_the_unfinished_bar_is_dropped_and_said_so():
    history = made(walk()["close"], next_sessions("XNYS", "2025-04-16", 400), calendar="XNYS")
    assert str(history.dates[-1]) == "2026-11-18"
    during = without_unfinished(history, datetime(2026, 11, 18, 21, 29, tzinfo=UTC))
    assert (len(during), str(during.dates[-1])) == (399, "2026-11-17")
    (finding,) = during.findings
    assert (finding.name, finding.severity, finding.done, finding.rows) == (
        "unfinished bar",
        "note",
        "dropped",
        ("2026-11-18",),
    )
    assert without_unfinished(history, datetime(2026, 11, 18, 21, 30, tzinfo=UTC)) is history


# what follows


def test_an_error_quarantines_and_tells_the_way_out():
    history = history_of(moved(200, 0.5))
    checked = replace(history, findings=check(history, NOW))
    with pytest.raises(PriceError) as caught:
        quarantine(checked)
    assert caught.value.findings == checked.findings
    assert caught.value.reason == (
        "1 suspected split(s) not adjusted for: 2020-07-19 2:1; "
        'correct them, or take them as they are with universe.accept=["unadjusted split"]'
    )
    accepted = quarantine(checked, accept=["unadjusted split"])
    assert [(f.severity, f.done) for f in accepted.findings] == [("warning", "accepted")]
    assert worst(accepted.findings) == "warning"


def test_nobody_can_wave_through_what_has_no_logarithm():
    history = made([*walk()["close"][:-1], -1.0])
    checked = replace(history, findings=check(history, NOW))
    with pytest.raises(PriceError, match="above zero"):
        quarantine(checked, accept=["non-positive price"])
    assert "universe.accept" not in reason_of(checked.findings)


def test_a_finding_says_everything():
    with pytest.raises(ValueError, match="severity 'grave'"):
        Finding("x", "grave", 1, (), "kept", "x")
    with pytest.raises(ValueError, match="at least one"):
        Finding("x", "note", 0, (), "kept", "x")
    assert worst(()) is None


@pytest.mark.parametrize("count", [6, 8])
def test_long_lists_are_cut_in_the_text_and_whole_in_the_rows(count):
    finding = found(made(np.cumprod(np.full(count + 1, 1.5))), "large move")
    assert finding.count == len(finding.rows) == count
    assert finding.text.endswith(f"and {count - 5} more")


def test_every_finding_has_its_line_in_the_page_and_remedies_name_findings():
    page = (Path(__file__).parents[3] / "docs" / "prices.md").read_text(encoding="utf-8")
    listed = {
        name for line in page.splitlines() if line.startswith("| ") for name in line.split("|")[1].strip().split(", ")
    }
    assert set(NAMES) <= listed
    assert set(REMEDIES) | set(NOTES_THAT_MATTER) <= set(NAMES)
