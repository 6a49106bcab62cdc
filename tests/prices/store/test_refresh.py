"""Nightly updates of a store from the local Yahoo: what is asked, what is found revised and why, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from s2squant.errors import BadPricesError, DelistedError, PriceError, SourceError, TemporaryPriceError
from s2squant.prices.fetch import WholeHistories
from s2squant.prices.sources.from_store import LiveSource, StoreSource, as_history
from s2squant.prices.sources.sample import SampleSource
from s2squant.prices.store.refresh import Refresher
from s2squant.prices.universe import open_source
from tests.prices.conftest import QUICK


def day(text):
    return np.datetime64(text, "D")


def closes(desk, ticker, days):
    stock = desk.yahoo.stock(ticker)
    return stock.close[np.isin(stock.days, days)]


def check_as_traded(desk, kept, ticker):
    """Every stored close is the one of the day."""
    days = kept.bars.times.astype("datetime64[D]")
    np.testing.assert_allclose(kept.bars.close, closes(desk, ticker, days), rtol=5e-7)


def test_the_first_fetch_takes_all_the_next_only_what_is_missing(desk):
    first = desk.refresher().update("GOOD")
    assert (first.status, first.added, first.stored.version.version) == ("new", len(first.stored.bars), 1)
    desk.on("2024-03-05")
    second = desk.refresher().update("GOOD")
    assert (second.status, second.added, second.changes) == ("updated", 2, ())
    assert [str(d) for d in second.stored.bars.times[-2:].astype("datetime64[D]")] == ["2024-03-04", "2024-03-05"]
    *_, (_, _, since, _) = desk.yahoo.spans
    asked = np.datetime64(since, "s").astype("datetime64[D]")
    assert asked == first.stored.bars.times[-QUICK.overlap].astype("datetime64[D]")
    assert desk.yahoo.answered["GOOD"] == 2
    check_as_traded(desk, desk.store.read("GOOD"), "GOOD")


def test_nothing_is_asked_while_nothing_can_be_missing(desk):
    desk.refresher().update("GOOD")
    asked = desk.yahoo.asked["GOOD"]
    for moment in ("2024-03-01T23:30", "2024-03-03T12:00", "2024-03-04T20:00"):  # a weekend, then before Monday's close
        desk.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        assert desk.refresher().update("GOOD").status == "fresh"
    assert desk.yahoo.asked["GOOD"] == asked
    desk.on("2024-03-04")
    assert desk.refresher().update("GOOD").status == "updated"


def test_a_missing_bar_is_asked_for_again_after_an_hour(desk):
    desk.yahoo.stock("GOOD").hidden = {day("2024-03-01")}
    desk.refresher().update("GOOD")
    assert desk.refresher().update("GOOD").status == "fresh"
    desk.now += timedelta(hours=2)
    assert desk.refresher().update("GOOD").status == "unchanged"
    desk.yahoo.stock("GOOD").hidden = set()
    desk.now += timedelta(hours=2)
    assert desk.refresher().update("GOOD").added == 1


def test_a_session_missing_one_day_and_told_the_next(desk):
    stock = desk.yahoo.stock("GOOD")
    stock.hidden = {day("2024-03-04")}
    desk.refresher().update("GOOD")
    desk.on("2024-03-05")
    assert desk.refresher().update("GOOD").added == 1
    stock.hidden = set()
    desk.on("2024-03-06")
    update = desk.refresher().update("GOOD")
    assert (update.added, [(c.reason, c.what) for c in update.changes]) == (1, [("late session", "2024-03-04")])
    check_as_traded(desk, desk.store.read("GOOD"), "GOOD")


def test_a_last_row_without_price_is_filled_the_next_day(desk):
    stock = desk.yahoo.stock("GOOD")
    stock.unpriced = {day("2024-03-01")}
    assert desk.refresher().update("GOOD").stored.bars.times[-1] == day("2024-02-29")
    stock.unpriced = set()
    desk.on("2024-03-04")
    assert desk.refresher().update("GOOD").added == 2


def test_a_dividend_changes_the_adjusted_close_of_all_bars_before(desk):
    before = desk.refresher().update("GOOD").stored
    stock = desk.yahoo.stock("GOOD")
    stock.dividends = {day("2024-03-04"): 0.75}
    desk.on("2024-03-04")
    update = desk.refresher().update("GOOD")
    change = update.changes[0]
    assert (change.reason, change.rows, change.last) == ("dividend", len(before.bars), "2024-03-01")
    assert change.what == "0.75 on 2024-03-04"
    assert update.changed == len(before.bars)
    old, new = as_history(before), as_history(desk.store.read("GOOD"))
    factor = 1 - 0.75 / before.bars.close[-1]
    np.testing.assert_allclose(new.adj_close[:-1], old.adj_close * factor, rtol=1e-9)
    assert (old.events.get("dividends", np.zeros(1))[-1], new.events["dividends"][-1]) == (0.0, 0.75)


def test_a_split_leaves_the_stored_bars_and_changes_the_adjusted_close(desk):
    before = desk.refresher().update("GOOD").stored
    desk.yahoo.stock("GOOD").split(day("2024-03-04"), 4.0)
    desk.yahoo.stock("GOOD").close[: len(before.bars)] = before.bars.close  # as they traded
    desk.on("2024-03-04")
    update = desk.refresher().update("GOOD")
    assert [(c.reason, c.what, c.rows) for c in update.changes] == [("split", "4 on 2024-03-04", len(before.bars))]
    after = desk.store.read("GOOD")
    np.testing.assert_array_equal(after.bars.close[:-1], before.bars.close)
    np.testing.assert_allclose(as_history(after).adj_close[:-1], before.bars.close / 4, rtol=1e-12)


def test_a_revised_bar_is_named_and_the_old_one_can_be_read_again(desk):
    before = desk.refresher().update("GOOD").stored
    stock = desk.yahoo.stock("GOOD")
    at = int(np.flatnonzero(stock.days == day("2024-02-28"))[0])
    stock.close = stock.close.copy()
    stock.close[at] += 0.05
    desk.on("2024-03-04")
    update = desk.refresher().update("GOOD")
    (change,) = update.changes
    assert (change.reason, change.rows, change.first) == ("vendor revision", 1, "2024-02-28")
    assert "close" in change.what
    assert desk.yahoo.answered["GOOD"] == 2  # the overlap's older half agrees: no need to ask for all
    check_as_traded(desk, desk.store.read("GOOD"), "GOOD")
    again = desk.store.read("GOOD", as_of=datetime.fromisoformat(before.version.fetched_at))
    assert again.version == before.version
    assert again.bars.sha256 == before.bars.sha256
    source = StoreSource(desk.folder, as_of=desk.now - timedelta(days=2))
    assert source.history("GOOD").sha256 == as_history(before).sha256


def test_history_revised_far_back_is_found_from_the_overlap(desk):
    """Where the oldest bars of the overlap differ, the whole history is asked for."""
    desk.refresher().update("GOOD")
    stock = desk.yahoo.stock("GOOD")
    stock.close = stock.close * (1 + 0.001 * np.sin(np.arange(len(stock.close))))
    desk.on("2024-03-04")
    update = desk.refresher().update("GOOD")
    assert update.changes[0].reason == "vendor revision"
    assert update.changes[0].rows > 400
    check_as_traded(desk, desk.store.read("GOOD"), "GOOD")


@pytest.mark.parametrize("unit", [100.0, 0.01])
def test_pence_for_pounds_is_refused_and_the_store_left(desk, unit):
    desk.yahoo.stock("POUNDS.L")  # London's calendar takes a second, the first time
    kept = desk.refresher().update("POUNDS.L").stored
    desk.yahoo.stock("POUNDS.L").unit = unit
    desk.on("2024-03-04")
    update = desk.refresher().update("POUNDS.L")
    assert isinstance(update.error, BadPricesError)
    assert f"{'100' if unit > 1 else '1/100'} times as large" in update.error.reason
    assert desk.store.read("POUNDS.L").bars.sha256 == kept.bars.sha256
    anew = desk.refresher().update("POUNDS.L", anew=True)
    assert anew.status == "updated"
    np.testing.assert_allclose(anew.stored.bars.close[:-1], kept.bars.close * unit, rtol=1e-6)


def test_another_currency_is_refused(desk):
    desk.yahoo.stock("PENCE.L")
    desk.refresher().update("PENCE.L")
    stock = desk.yahoo.stock("PENCE.L")
    stock.currency = "GBP"
    desk.on("2024-03-04")
    error = desk.refresher().update("PENCE.L").error
    assert "stored in GBp, it now comes in GBP" in error.reason


def test_a_split_told_but_not_applied_is_refused_until_it_is(desk):
    kept = desk.refresher().update("GOOD").stored
    stock = desk.yahoo.stock("GOOD")
    stock.split(day("2024-03-04"), 4.0)
    stock.close[: len(kept.bars)] = kept.bars.close
    stock.forgotten = {day("2024-03-04")}
    desk.on("2024-03-04")
    update = desk.refresher().update("GOOD")
    assert isinstance(update.error, BadPricesError)
    assert "no split says so" in update.error.reason
    stock.forgotten = set()
    assert desk.refresher().update("GOOD").changes[0].reason == "split"


def test_a_ticker_that_is_gone_keeps_its_bars(desk):
    kept = desk.refresher().update("GOOD").stored
    desk.yahoo.gone.add("GOOD")
    desk.on("2024-03-04")
    update = desk.refresher().update("GOOD")
    assert isinstance(update.error, DelistedError)
    assert update.stored.bars.sha256 == kept.bars.sha256


def test_bars_the_source_no_longer_gives_are_kept_with_a_note(desk):
    desk.refresher().update("GOOD")
    desk.yahoo.stock("GOOD").hidden = {day("2024-02-27")}
    desk.on("2024-03-04")
    update = desk.refresher().update("GOOD")
    assert update.notes == ("1 stored bar(s) that the source no longer gives were kept",)
    assert day("2024-02-27") in update.stored.bars.times


def test_a_start_and_an_earlier_one(desk):
    first = desk.refresher().update("GOOD", start=date(2024, 1, 1))
    assert (str(first.stored.bars.times[0])[:10], first.stored.manifest.start) == ("2024-01-02", "2024-01-01")
    assert desk.refresher().update("GOOD", start=date(2024, 2, 1)).status == "fresh"
    second = desk.refresher().update("GOOD", start=date(2023, 6, 1))
    assert [c.reason for c in second.changes] == ["earlier history"]
    third = desk.refresher().update("GOOD")
    assert (third.status, third.stored.manifest.start) == ("updated", "")
    check_as_traded(desk, third.stored, "GOOD")


def test_after_failures_in_a_row_nothing_more_is_asked(desk):
    tickers = [f"BROKEN{n}" for n in range(12)]
    updates = list(desk.refresher().update_all(tickers))
    assert all(isinstance(update.error, TemporaryPriceError) for update in updates)
    assert sum(desk.yahoo.asked[t] > 0 for t in tickers) <= QUICK.give_up_after + QUICK.together
    assert any("not asked for, as" in update.error.reason for update in updates)


def test_all_kinds_of_failure_side_by_side(desk):
    good = [f"GOOD{n}" for n in range(6)]
    bad = ["MISSING", "HTML", "RESET", "ODD"]
    tickers = [name for pair in zip(good, [*bad, "TWICE", "CRUMB"], strict=True) for name in pair]
    found = {update.ticker: update for update in desk.refresher().update_all(tickers)}
    assert set(found) == set(tickers)
    assert {t for t, update in found.items() if update.error} == set(bad)
    assert desk.store.tickers() == tuple(sorted({*good, "TWICE", "CRUMB"}))


def test_bad_tickers_are_refused_before_anything_is_asked(desk):
    with pytest.raises(SourceError, match="no Yahoo ticker"):
        list(desk.refresher().update_all(["GOOD", "../../x"]))
    assert desk.yahoo.arrivals == []
    assert not desk.folder.exists()


def test_bars_within_the_day_are_kept_beside_the_daily_ones(desk):
    desk.yahoo.fixed_today, desk.now = "", datetime.now(UTC)
    desk.refresher().update("GOOD")
    update = desk.refresher().update("GOOD", "1h", (desk.now - timedelta(days=30)).date())
    assert update.status == "new"
    assert desk.store.tickers("1h") == ("GOOD",)
    again = desk.refresher().update("GOOD", "1h", (desk.now - timedelta(days=30)).date(), anew=True)
    assert again.stored.bars.sha256 == update.stored.bars.sha256
    assert desk.store.read("GOOD").about.interval == "1d"


def test_a_bar_that_has_ended_is_asked_for_and_none_before(desk):
    desk.yahoo.fixed_today = "2026-11-24"
    told = []
    for clock in ("16:27:00", "16:29:50", "16:33:00", "16:33:30"):
        desk.now = datetime.fromisoformat(f"2026-11-24T{clock}+00:00")
        update = desk.refresher().update("GOOD", "1h", date(2026, 11, 2))
        told.append((update.status, str(update.stored.bars.times[-1])[11:16]))
    assert told == [("new", "14:30"), ("fresh", "14:30"), ("updated", "15:30"), ("fresh", "15:30")]


def test_a_source_that_hands_over_whole_histories(tmp_path, desk):
    refresher = Refresher(desk.store, WholeHistories(SampleSource()), QUICK)
    update = refresher.update("AAPL")
    assert update.status == "new"
    mine, theirs = as_history(update.stored), SampleSource().history("AAPL")
    assert mine.sha256 == theirs.sha256
    assert refresher.update("AAPL").status == "unchanged"
    assert (
        "its bars are 1d, not 1h; fetch --interval 1d, or universe.interval=1d"
        in refresher.update("AAPL", "1h").error.reason
    )
    with pytest.raises(SourceError, match="longer bars are made of 1d"):
        list(refresher.update_all(["AAPL"], "1wk"))


def test_hours_of_a_source_are_stored_and_read_back(desk):
    refresher = Refresher(desk.store, WholeHistories(SampleSource("hourly")), QUICK)
    update = refresher.update("EURUSD", "1h")
    mine, theirs = as_history(update.stored), SampleSource("hourly").history("EURUSD")
    assert (mine.calendar, len(mine), mine.slots.count) == ("1h:24/5", len(theirs), 24)
    np.testing.assert_array_equal(mine.dates, theirs.dates)


def test_one_ticker_comes_from_one_source(desk):
    desk.refresher().update("AAPL")
    update = Refresher(desk.store, WholeHistories(SampleSource()), QUICK).update("AAPL")
    assert update.error.reason.endswith("holds it from yfinance, not from sample; choose another --store")


def test_the_live_source_reads_through_the_store(desk):
    source = LiveSource(desk.folder, spec=QUICK, yahoo=desk.client())
    history = source.history("DIVIDEND")
    kept = desk.store.read("DIVIDEND")
    assert (history.source, history.fetched_at) == ("yfinance", kept.version.fetched_at)
    assert history.sha256 == as_history(kept).sha256
    desk.yahoo.gone.add("DIVIDEND")
    later = LiveSource(desk.folder, as_of=datetime.now(UTC), spec=QUICK, yahoo=desk.client())
    assert later.history("DIVIDEND").sha256 == history.sha256
    with pytest.raises(PriceError, match="not stored yet as of"):
        LiveSource(desk.folder, as_of=datetime(2020, 1, 1, tzinfo=UTC)).history("DIVIDEND")


def test_the_live_source_falls_back_on_the_store_and_says_so(desk, monkeypatch):
    monkeypatch.setattr("s2squant.prices.store.refresh.Refresher.is_fresh", lambda self, kept: False)
    source = LiveSource(desk.folder, spec=QUICK, yahoo=desk.client())
    sha = source.history("GOOD").sha256
    monkeypatch.setattr(type(desk.yahoo), "answer", lambda self, path, query: (500, "oops"))
    history = source.history("GOOD")
    assert history.sha256 == sha
    assert history.notes[0].startswith("not updated, read as stored: no proper answer from Yahoo (HTTP 500")
    with pytest.raises(TemporaryPriceError):
        source.history("OTHER")


def from_folder(desk, folder, closes, *, anew=False):
    """Fetch A from a folder that holds these closes, by day."""
    folder.mkdir(exist_ok=True)
    rows = "".join(f"{day},{close}\n" for day, close in closes.items())
    (folder / "A.csv").write_text("Date,Close\n" + rows)
    return Refresher(desk.store, WholeHistories(open_source(f"csv:{folder}")), QUICK).update("A", anew=anew)


def ramp(count):
    return {str(d): 50.0 + n for n, d in enumerate(np.busday_offset("2023-01-02", np.arange(count), roll="forward"))}


def test_a_folder_s_correction_of_an_old_row_is_taken(desk, tmp_path):
    """A file is whole, so the overlap that spares a live source requests says nothing here."""
    days = list(closes_by_day := ramp(200))
    from_folder(desk, tmp_path / "files", closes_by_day)
    update = from_folder(desk, tmp_path / "files", closes_by_day | {days[3]: 60.5})
    assert (update.status, update.changed) == ("updated", 1)
    assert [(c.reason, c.first) for c in update.changes] == [("vendor revision", days[3])]
    assert desk.store.read("A").bars.close[3] == 60.5
    assert from_folder(desk, tmp_path / "files", closes_by_day | {days[3]: 60.5}).status == "unchanged"


def test_rows_that_a_folder_lost_are_kept_unless_all_is_taken_anew(desk, tmp_path):
    days = list(closes_by_day := ramp(200))
    fewer = {day: close for day, close in closes_by_day.items() if day not in (days[0], days[7])}
    from_folder(desk, tmp_path / "files", closes_by_day)
    kept = from_folder(desk, tmp_path / "files", fewer)
    assert (kept.status, len(kept.stored.bars)) == ("unchanged", 200)
    assert kept.notes[1:] == ("2 stored bar(s) that the source no longer gives were kept",)
    anew = from_folder(desk, tmp_path / "files", fewer, anew=True)
    assert (anew.status, len(anew.stored.bars)) == ("updated", 198)
    assert anew.notes[1:] == ("2 stored bar(s) that the source no longer gives were dropped",)


def test_what_was_repaired_in_a_folder_s_file_is_told(desk, tmp_path):
    days = list(closes_by_day := ramp(200))
    update = from_folder(desk, tmp_path / "files", closes_by_day | {days[9]: ""})
    assert f"1 row(s) without a price dropped, the first on {days[9]}" in update.notes


def test_events_of_a_file_are_stored_and_come_back(desk, tmp_path):
    rows = [f"2024-02-{d:02},{d},{d},{0.5 if d == 8 else 0},{2 if d == 9 else 0}" for d in (5, 6, 7, 8, 9)]
    text = "\n".join(["Date,Close,Adj Close,Dividends,Stock Splits", *rows]) + "\n"
    (tmp_path / "A.csv").write_text(text)
    source = open_source(f"csv:{tmp_path}")
    update = Refresher(desk.store, WholeHistories(source), QUICK).update("A")
    back, given = as_history(update.stored), source.history("A")
    assert (back.events["dividends"][3], back.events["splits"][4]) == (0.5, 2.0)
    assert back.sha256 == given.sha256
