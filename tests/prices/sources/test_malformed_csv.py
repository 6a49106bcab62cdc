"""CSV files as they should not be: each has one clear outcome, in one line, and nothing ends in a traceback."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2squant.config.experiment import Universe
from s2squant.errors import PriceError, S2squantError, SourceError
from s2squant.prices.universe import inspect_ticker, load_ticker, load_universe, open_source

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAYS = [str(day) for day in np.busday_offset("2023-01-02", np.arange(300), roll="forward")]
PRICES = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 300)))


def table(days=DAYS, prices=PRICES, heading="Date,Close", end="\n"):
    return heading + end + "".join(f"{day},{price}{end}" for day, price in zip(days, prices, strict=True))


def with_row(row):
    """The table with the row of its 151st day replaced."""
    at = 151
    assert DAYS[at - 1] == "2023-07-31"
    lines = table().splitlines()
    return "\n".join([*lines[:at], row, *lines[at + 1 :]]) + "\n"


def loaded(folder, text, ticker="T", form="bytes"):
    (folder / f"{ticker}.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return load_ticker(open_source(f"csv:{folder}"), ticker, Universe(), NOW)


REFUSED = {
    "empty file": ("", "T.csv is empty"),
    "blank lines only": ("\n\n\n", "T.csv is empty"),
    "heading only": ("Date,Close\n", "the table holds no rows"),
    "no heading": (table(heading=f"{DAYS[0]},99.5"), "line 1 holds a row already, and no line names the columns"),
    "unknown headings": (
        table(heading="Date,Remark,Note", end=",\n"),
        "no price column among Date, Remark, Note, ; name one Adj Close or Close",
    ),
    "heading twice": (
        table(heading="Date,Close,Close", prices=[f"{p},{p}" for p in PRICES]),
        "two columns are called close; keep one",
    ),
    "day first": (table(["02/01/2023", *DAYS[1:]]), "row 1: '02/01/2023' is no date; write dates as YYYY-MM-DD"),
    "mixed dates": (with_row("Jan 5 2023,100"), "'Jan 5 2023' is no date; write dates as YYYY-MM-DD"),
    "excel dates": (table([str(44900 + k) for k in range(300)]), "'44900' is no date"),
    "no such day": (with_row("2023-02-30,100"), "'2023-02-30' is no date"),
    "decimal commas, quoted": (with_row('2023-07-31,"100,5"'), "price is '100,5' on 2023-07-31; write plain numbers"),
    "decimal commas, bare": (table().replace(".", ","), "line 2 has 3, the heading 2; quote cells"),
    "both decimal signs": (with_row('2023-07-31,"1.234,50"'), "price is '1.234,50' on 2023-07-31; write plain numbers"),
    "all NaN": (table(prices=["NaN"] * 300), "no row holds a price"),
    "1e308": (with_row("2023-07-31,1e308"), "1 price(s) of an impossible size, the first 1e+308 on 2023-07-31"),
    "1e999": (with_row("2023-07-31,1e999"), "price inf on 2023-07-31; log returns need finite prices above zero"),
    "zero": (with_row("2023-07-31,0"), "price 0.0 on 2023-07-31; log returns need finite prices above zero"),
    "negative": (with_row("2023-07-31,-5"), "price -5.0 on 2023-07-31; log returns need finite prices above zero"),
    "the future": (
        table(days=[d.replace("2023", "2123").replace("2024", "2124") for d in DAYS]),
        "dated in the future",
    ),
    "contradicting": (table() + f"{DAYS[5]},999\n", f"{DAYS[5]} stands twice with different values"),
    "constant": (table(prices=[5.0] * 300), "every price is 5; a constant series has nothing to forecast"),
    "nul bytes": (b"Date,Close\n2023-01-02,1\x00\n2023-01-03,2\n", "price is '1\\x00' on 2023-01-02"),
    "an html page": ("<!doctype html>\n<html><body>Sign in, please</body></html>\n", "it is a web page, not a table"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(60), "T.csv: it is a spreadsheet or a zip file; save it as CSV"),
    "json": ('{"chart": {"result": null}}\n', "the table holds no rows; give it one row a day"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, tmp_path):
    text, says = REFUSED[case]
    with pytest.raises(PriceError) as caught:
        loaded(tmp_path, text)
    message = str(caught.value)
    assert says in message or says in str(caught.value.reason)
    assert message.isprintable()
    assert len(message) < 400


READ = {
    "plain": (table(), []),
    "headings of another language": (table(heading="Datum,Schluss"), []),
    "decimal commas": (table(heading="Date,Close").replace(",", ";").replace(".", ","), []),
    "tabs": (table(heading="Date\tClose").replace(",", "\t"), []),
    "currency signs": (table(prices=[f"${price}" for price in PRICES]), []),
    "quoted thousands": (table(prices=[f'"{price:,.9f}"' for price in 20 * PRICES]), []),
    "utf-16": (table().encode("utf-16"), []),
    "byte order mark": ("\ufeff" + table(), []),
    "Windows line ends": (table(end="\r\n"), []),
    "old Mac line ends": (table(end="\r"), []),
    "no last line end": (table().rstrip("\n"), []),
    "spaces": (table(heading=" Date , Close ").replace(",", " , "), []),
    "slashes": (table([day.replace("-", "/") for day in DAYS]), []),
    "mixed ISO": (table([d.replace("-", "" if k % 2 else "/") for k, d in enumerate(DAYS)]), []),
    "tz-aware": (table([f"{day} 00:00:00-05:00" for day in DAYS]), []),
    "tz-aware, changing": (table([f"{d}T00:00:00{'-04:00' if k > 60 else '-05:00'}" for k, d in enumerate(DAYS)]), []),
    "in UTC": (table([f"{day}T23:00:00Z" for day in DAYS]), []),
    "newest first": (table(DAYS[::-1], PRICES[::-1]), ["order"]),
    "NaN tail": (table(prices=[*PRICES[:-3], "", "NaN", "n/a"]), ["missing price"]),
    "empty rows at the end": (table() + ",\n,\n\n", []),
    "a row twice": (table() + table().splitlines()[7] + "\n", ["duplicate", "order"]),
    "many columns": (table(heading="Date,Close,Remark").replace("\n2", ",\n2"), []),
}


@pytest.mark.parametrize("case", READ)
def test_read_and_said_what_was_done(case, tmp_path):
    text, repaired = READ[case]
    history = loaded(tmp_path, text)
    known = 297 if case == "NaN tail" else 300
    assert [str(day) for day in history.dates] == DAYS[:known]
    scale = 20 if case == "quoted thousands" else 1
    np.testing.assert_allclose(history.adj_close, scale * PRICES[:known], rtol=1e-11)
    names = [f.name for f in history.findings if f.done != "kept"]
    assert names == repaired


def test_dates_in_1800_are_dates(tmp_path):
    history = loaded(tmp_path, table(np.busday_offset("1800-01-01", np.arange(300), roll="forward")))
    assert (str(history.dates[0]), history.calendar, history.findings) == ("1800-01-01", "XNYS", ())


def test_one_row_in_1800_is_a_gap_to_be_seen(tmp_path):
    history = loaded(tmp_path, table(["1800-01-01", *DAYS[1:]]))
    assert "gap" in {f.name for f in history.findings if f.severity == "warning"}


def test_a_bar_of_today_is_unfinished(tmp_path):
    (tmp_path / "T.csv").write_text(table())
    day = datetime.fromisoformat(DAYS[-1])
    during = day.replace(hour=18, tzinfo=UTC)
    history = load_ticker(open_source(f"csv:{tmp_path}"), "T", Universe(), during)
    assert str(history.dates[-1]) == DAYS[-2]
    assert "unfinished bar" in {f.name for f in history.findings}


def test_what_stands_in_the_place_of_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "A.csv").write_text(table())
    (tmp_path / "B.csv").mkdir()
    (tmp_path / "C.csv").symlink_to(tmp_path / "gone.csv")
    (tmp_path / "D.csv").symlink_to(tmp_path / "D.csv")
    os.mkfifo(tmp_path / "E.csv")
    (tmp_path / "F.csv").symlink_to(tmp_path / "A.csv")
    with pytest.raises(SourceError, match=r"B\.csv is a folder, not a file"):
        load_universe(Universe(source=f"csv:{tmp_path}", tickers=("B",)))
    loaded = load_universe(Universe(source=f"csv:{tmp_path}"))
    assert [h.ticker for h in loaded.histories] == ["A", "F"]
    assert dict(loaded.refused) == {
        "B": "B.csv is a folder, not a file; put the file in its place",
        "C": f"C.csv is a link to {tmp_path / 'gone.csv'}, which does not exist; mend or remove it",
        "D": "D.csv cannot be read (Too many levels of symbolic links); mend or remove it",
        "E": "E.csv is no regular file; put one in its place",
    }


def test_a_file_that_goes_away_after_the_listing(tmp_path):
    (tmp_path / "A.csv").write_text(table())
    source = open_source(f"csv:{tmp_path}")
    (tmp_path / "A.csv").unlink()
    with pytest.raises(PriceError, match=r"A\.csv cannot be read as csv"):
        source.history("A")


@pytest.mark.parametrize(
    "ticker", ["<script>", "CON", "BRK-B", "^GSPC", "EURUSD=X", "ÅÄÖ", "a b", "%s", "-rf", "'", "$x"]
)
def test_an_odd_name_is_a_name(ticker, tmp_path):
    history = loaded(tmp_path, table(), ticker=ticker)
    assert history.ticker == ticker
    assert load_universe(Universe(source=f"csv:{tmp_path}")).histories[0].ticker == ticker


@pytest.mark.parametrize("ticker", ["../../x", "..", "/etc/passwd", "A/../A", "A\0", "", "A.csv", "con", "*", "?"])
def test_a_name_that_is_no_file_of_the_folder_is_unknown(ticker, tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "x.csv").write_text(table())
    (folder / "A.csv").write_text(table())
    with pytest.raises(SourceError, match="has no ticker"):
        open_source(f"csv:{folder}").check((ticker,))


CELLS = st.one_of(
    st.sampled_from(
        ["", "NaN", "1e308", "-1e308", "1e999", "0", "-0.0", "1,5", '"1,234.5"', "$5", "True", "1_000", "٣", "\x00"]
    ),
    st.floats(width=64).map(str),
    st.integers(-(10**25), 10**25).map(str),
    st.text(max_size=6),
)
STAMPS = st.one_of(
    st.dates(date(1700, 1, 1), date(9999, 12, 31)).map(str),
    st.datetimes(timezones=st.timezones() | st.none()).map(str),
    st.integers(0, 99999999).map(str),
    st.sampled_from(["2024-02-30", "", "NaT", "today", "0000-01-01", "2024-13-01", "1800-01-01"]),
    st.text(max_size=8),
)
HEADINGS = st.lists(
    st.sampled_from(
        ["Date", "Close", "Adj Close", "Open", "High", "Low", "Volume", "ds", "y", "", "date ", "Unnamed: 0", '"']
    ),
    min_size=1,
    max_size=7,
)


@st.composite
def files(draw):
    heading = draw(HEADINGS)
    width = len(heading) + draw(st.sampled_from([0, 0, 0, 1, -1]))
    stamp = draw(st.sampled_from([STAMPS, st.dates(date(2020, 1, 1), date(2024, 1, 1)).map(str)]))
    rows = [[draw(stamp), *(draw(CELLS) for _ in range(max(0, width - 1)))] for _ in range(draw(st.integers(0, 12)))]
    sign, end = draw(st.sampled_from([",", ",", ",", ";", "\t"])), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return end.join(sign.join(row) for row in [heading, *rows]).encode("utf-8", "surrogatepass")


def outcome(data):
    """What a file comes to: its findings' texts, or one line of refusal."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "T.csv").write_bytes(data)
        source = open_source(f"csv:{folder}")
        try:
            return " ".join(f.text for f in inspect_ticker(source, "T", Universe(), NOW).findings)
        except PriceError as error:
            return str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.one_of(files(), st.binary(max_size=200)))
def test_no_file_ends_in_a_traceback(data):
    assert outcome(data).isprintable()


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.dates(date(1990, 1, 1), date(2024, 1, 1)),
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(min_value=-1) | st.just(float("nan")),
        ),
        min_size=2,
        max_size=40,
    )
)
def test_no_table_of_numbers_ends_in_a_traceback(rows):
    text = "Date,Adj Close,Close,Volume\n" + "".join(f"{d},{a!r},{c!r},{v!r}\n" for d, a, c, v in rows)
    assert outcome(text.encode()).isprintable()


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=12))
def test_no_name_reaches_another_file(name):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "T.csv").write_text(table())
        if name == "T":
            return
        with pytest.raises(S2squantError):
            open_source(f"csv:{folder}").check((name,))
        with pytest.raises(S2squantError):
            open_source(f"csv:{folder}").history(name)
