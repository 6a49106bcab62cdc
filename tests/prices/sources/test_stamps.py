"""Stamps of bars: whatever zone they are written in, a bar has the date of its exchange's session."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2squant.config.experiment import Universe
from s2squant.errors import PriceError
from s2squant.prices.calendars.exchanges import sessions_between
from s2squant.prices.sources.table import from_frame
from s2squant.prices.universe import load_universe, open_source

SPAN = ("2022-01-03", "2023-06-30")
ZONES = {"XETR": "Europe/Berlin", "XTKS": "Asia/Tokyo", "XASX": "Australia/Sydney", "XNYS": "America/New_York"}
NAMES = {"XETR": "SAP.DE", "XTKS": "7203.T", "XASX": "BHP.AX", "XNYS": "AAPL", "24/5": "AUDUSD=X"}


def sessions(calendar):
    return sessions_between(calendar, *SPAN)


def moments(calendar, hour):
    """Each session's moment at an hour of the exchange's own clock."""
    days = pd.DatetimeIndex(sessions(calendar)).tz_localize(ZONES[calendar])
    return days.map(lambda day: day.replace(hour=hour))


def read(stamps, calendar="", ticker=""):
    close = 50 + np.arange(len(stamps)) % 7
    frame = pd.DataFrame({"Date": stamps, "Close": close.astype(float)})
    return from_frame(frame, ticker or NAMES[calendar], source="test")


FORMS = {
    "text in UTC": lambda stamps: stamps.tz_convert("UTC").astype(str),
    "text with Z": lambda stamps: stamps.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
    "text with its own offset": lambda stamps: stamps.astype(str),
    "zone of pandas": lambda stamps: stamps,
    "UTC of pandas": lambda stamps: stamps.tz_convert("UTC"),
    "zone of arrow": lambda stamps: pd.Series(stamps).astype(pd.ArrowDtype(pa.timestamp("us", str(stamps.tz)))),
    "UTC of arrow": lambda stamps: pd.Series(stamps.tz_convert("UTC")).astype(pd.ArrowDtype(pa.timestamp("us", "UTC"))),
    "objects": lambda stamps: pd.Series(stamps.to_pydatetime(), dtype=object),
    "without a zone, in UTC": lambda stamps: stamps.tz_convert("UTC").tz_localize(None),
    "milliseconds": lambda stamps: stamps.tz_convert("UTC").tz_localize(None).astype("datetime64[ms]").astype(int),
}


@pytest.mark.parametrize("calendar", ZONES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hour", [0, 10, 15])
def test_a_bar_has_the_date_of_its_session(calendar, form, hour):
    history = read(FORMS[form](moments(calendar, hour)), calendar)
    np.testing.assert_array_equal(history.dates, sessions(calendar))
    assert history.calendar == calendar


@pytest.mark.parametrize("calendar", ["XETR", "XTKS", "XNYS"])
@pytest.mark.parametrize("clock", ["00:00", "04:00", "12:00", "15:00", "16:00", "23:00"])
def test_a_clock_that_never_changes_is_of_the_day_that_is_written(calendar, clock):
    """Vendors that write a session's own date in UTC, whatever the hour."""
    texts = [f"{day} {clock}:00+00:00" for day in sessions(calendar)]
    np.testing.assert_array_equal(read(texts, calendar).dates, sessions(calendar))


@pytest.mark.parametrize("clock", ["21:00", "22:00"])
def test_a_currency_s_evening_in_new_york_begins_the_next_day(clock):
    days = sessions("24/5")
    for ticker in ("AUDUSD=X", "AUDUSD"):
        history = read([f"{day - 1}T{clock}:00Z" for day in days], ticker=ticker)
        np.testing.assert_array_equal(history.dates, days)
        assert history.calendar == "24/5"


def test_without_a_name_that_tells_the_exchange_the_days_of_the_week_do():
    stamps = FORMS["text in UTC"](moments("XETR", 0))
    history = read(stamps, ticker="SAP")
    np.testing.assert_array_equal(history.dates, sessions("XETR"))
    assert [f.name for f in history.findings] == ["time of day"]
    assert "stamps of 23:00, 22:00 are moments" in history.findings[0].text


def test_a_coin_keeps_the_days_of_its_stamps():
    days = np.arange("2022-01-01", "2023-01-01", dtype="datetime64[D]")
    history = read([f"{day} 23:00:00+00:00" for day in days], ticker="BTC-USD")
    np.testing.assert_array_equal(history.dates, days)


def test_too_few_stamps_without_a_zone_are_refused_with_both_readings():
    with pytest.raises(
        PriceError, match="2023-03-06 22:30 may be of 2023-03-06 or 2023-03-07; write the sessions' dates"
    ):
        read(["2023-03-06 22:30", "2023-03-07 22:30", "2023-03-08 22:30"], ticker="7203.T")
    history = read(["2023-03-06 22:30Z", "2023-03-07 22:30Z"], ticker="7203.T")
    assert [str(day) for day in history.dates] == ["2023-03-07", "2023-03-08"]


def test_two_hours_a_day_are_neither_days_nor_a_session_of_hours():
    stamps = [stamp for day in sessions("XNYS")[:40] for stamp in (f"{day} 10:30", f"{day} 11:30")]
    with pytest.raises(PriceError, match="do not fit the trading hours of XNYS"):
        read(stamps, "XNYS")


@pytest.mark.parametrize("writer", ["int96", "us", "zone"])
def test_what_parquet_s_writers_make_of_a_stamp(writer, tmp_path):
    stamps = moments("XETR", 0)
    column = stamps if writer == "zone" else stamps.tz_convert("UTC").tz_localize(None)
    table = pa.Table.from_pandas(pd.DataFrame({"Date": column, "Close": np.arange(len(stamps)) + 50.0}))
    pq.write_table(table, tmp_path / "SAP.DE.parquet", use_deprecated_int96_timestamps=writer == "int96")
    history = open_source(f"parquet:{tmp_path}").history("SAP.DE")
    np.testing.assert_array_equal(history.dates, sessions("XETR"))


def test_one_file_in_utc_among_others_has_the_same_sessions(tmp_path):
    stamps = moments("XETR", 0)
    for ticker, form in (
        ("SAP.DE", "text in UTC"),
        ("SIE.DE", "text with its own offset"),
        ("ALV.DE", "zone of pandas"),
    ):
        rows = zip(FORMS[form](stamps), 50 + np.arange(len(stamps)) % 7, strict=True)
        (tmp_path / f"{ticker}.csv").write_text("Date,Close\n" + "".join(f"{stamp},{c}\n" for stamp, c in rows))
    first, *others = load_universe(Universe(source=f"csv:{tmp_path}")).histories
    for other in others:
        np.testing.assert_array_equal(first.dates, other.dates)


def test_months_and_early_years_that_begin_at_midnight_in_frankfurt():
    months = pd.date_range("1975-01-01", "2023-06-01", freq="MS", tz="Europe/Berlin")
    for form in ("text in UTC", "UTC of pandas", "without a zone, in UTC"):
        history = read(FORMS[form](months), "XETR")
        np.testing.assert_array_equal(history.dates, np.arange("1975-01", "2023-07", dtype="datetime64[M]"))
    days = pd.bdate_range("1975-01-02", "2023-06-30", tz="Europe/Berlin")
    history = read(FORMS["text in UTC"](days), "XETR")
    np.testing.assert_array_equal(history.dates, days.tz_localize(None).to_numpy().astype("datetime64[D]"))
