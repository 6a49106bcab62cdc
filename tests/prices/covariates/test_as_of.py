"""The as-of join, against tables that were written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.config.files import make_experiment
from s2squant.errors import CallerError
from s2squant.prices.covariates.load import unread, with_covariates
from s2squant.prices.universe import load_universe

# Friday 2015-11-20 to Wednesday 2015-12-02; Thanksgiving is the 26th, the 27th a half day (until 18:00 UTC)
DAYS = ["2015-11-20", "2015-11-23", "2015-11-24", "2015-11-25", "2015-11-27", "2015-11-30", "2015-12-01", "2015-12-02"]


def write_prices(folder: Path, ticker: str = "AAA", columns: dict[str, list] | None = None, **more) -> None:
    """Prices of New York's sessions up to the last of DAYS; `columns` hold cells of the last days."""
    from s2squant.prices.calendars.exchanges import sessions_between

    days = sessions_between("XNYS", "2014-10-01", DAYS[-1])
    assert list(days[-len(DAYS) :].astype(str)) == DAYS
    close = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, len(days))))
    frame = pd.DataFrame({"Date": days.astype(str), "Close": close, "Adj Close": close})
    for name, cells in (columns or {}).items():
        frame[name] = [np.nan] * (len(days) - len(cells)) + cells
    folder.mkdir(exist_ok=True)
    frame.assign(**more).to_csv(folder / f"{ticker}.csv", index=False)


def loaded(folder: Path, *covariates: dict, **universe) -> dict:
    """The histories by ticker, as a backtest of XNYS tickers would see them."""
    calendars = {"AAA": "XNYS", "BBB": "XNYS"} | universe.pop("calendars", {})
    settings = {"source": f"csv:{folder}", "calendars": calendars, **universe}
    experiment = make_experiment({"universe": settings, "walk": {"horizon": 5}, "covariates": covariates})
    return {h.ticker: h for h in with_covariates(load_universe(experiment.universe), experiment).histories}


def last_days(history, column: int = 0) -> list:
    """The past column's values on DAYS; None where one is missing."""
    values = history.covariates.past_TP[-len(DAYS) :, column]
    return [None if np.isnan(v) else float(v) for v in values]


def table(path: Path, text: str) -> str:
    path.write_text(text.strip() + "\n")
    return f"csv:{path}"


def series(folder: Path, ticker: str, calendar: str, first: str, values: list[float]) -> None:
    """Another ticker whose last bars, from `first` on, are `values`."""
    from s2squant.prices.calendars.exchanges import sessions_between

    after = sessions_between(calendar, first, DAYS[-1])[: len(values)]
    before = sessions_between(calendar, "2015-01-01", np.datetime64(first, "D") - 1)
    close = [*np.linspace(50, 60, len(before)), *values[: len(after)]]
    days = np.concatenate([before, after]).astype(str)
    folder.mkdir(exist_ok=True)
    pd.DataFrame({"Date": days, "Close": close, "Adj Close": close}).to_csv(folder / f"{ticker}.csv", index=False)


@pytest.mark.parametrize(
    ("calendar", "ticker", "first", "known"),
    [
        # New York's own close, half day included: the same day's value
        ("XNYS", "OTHER", "2015-11-20", [61, 62, 63, 64, 65, 66, 67, 68]),
        # Tokyo has closed hours before (the 23rd is its holiday: Friday's is carried on; it trades on the 26th)
        ("XTKS", "6758.T", "2015-11-20", [61, 61, 62, 63, 65, 66, 67, 68]),
        # London closes at 16:30, before New York's 21:00 and after nobody's 18:00 of the half day: the same day
        ("XLON", "VOD.L", "2015-11-20", [61, 62, 63, 64, 66, 67, 68, 69]),
        # a day of 24/7 ends at midnight UTC, after New York's close: the day before, weekends included
        ("24/7", "BTC-USD", "2015-11-19", [61, 64, 65, 66, 68, 71, 72, 73]),
        # a weekday of currencies too: Friday's is known on Monday
        ("24/5", "EURUSD=X", "2015-11-19", [61, 62, 63, 64, 66, 67, 68, 69]),
    ],
)
def test_a_close_elsewhere_counts_once_that_exchange_had_closed(tmp_path, calendar, ticker, first, known):
    write_prices(tmp_path / "stocks")
    series(tmp_path / "others", ticker, calendar, first, [61.0 + k for k in range(16)])
    spec = {"name": "other", "ticker": ticker, "source": f"csv:{tmp_path / 'others'}"}
    history = loaded(tmp_path / "stocks", spec, calendars={ticker: calendar})["AAA"]
    assert last_days(history) == known


def test_new_york_as_seen_from_tokyo_is_of_the_day_before(tmp_path):
    series(tmp_path / "tokyo", "7203.T", "XTKS", "2015-11-20", [61.0 + k for k in range(8)])
    series(tmp_path / "others", "SPX", "XNYS", "2015-11-19", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    spec = {"name": "spx", "ticker": "SPX", "source": f"csv:{tmp_path / 'others'}"}
    history = loaded(tmp_path / "tokyo", spec, calendars={"7203.T": "XTKS", "SPX": "XNYS"})["7203.T"]
    # Tokyo: 20, 24, 25, 26, 27, 30 November, 1 and 2 December; New York 19, 20, 23, 24, 25, 27, 30
    assert last_days(history) == [1, 3, 4, 5, 5, 6, 7, 7]


def test_a_table_without_a_moment_counts_a_session_later_unless_its_lag_says_otherwise(tmp_path):
    write_prices(tmp_path / "stocks")
    path = table(tmp_path / "macro.csv", "date,rate\n2015-11-20,1\n2015-11-24,2\n2015-11-26,3\n2015-11-28,4")
    spec = {"name": "rate", "file": path}
    # Thanksgiving's value is first known on the 27th, Saturday's on Monday the 30th; then a session later
    assert last_days(loaded(tmp_path / "stocks", spec)["AAA"]) == [None, 1, 1, 2, 2, 3, 4, 4]
    assert last_days(loaded(tmp_path / "stocks", spec | {"lag": 0})["AAA"]) == [1, 1, 2, 2, 3, 4, 4, 4]
    assert last_days(loaded(tmp_path / "stocks", spec | {"lag": 2})["AAA"]) == [None, None, 1, 1, 2, 2, 3, 4]


def test_a_late_publication_counts_from_its_moment_and_an_older_one_replaces_nothing(tmp_path):
    write_prices(tmp_path / "stocks")
    path = table(
        tmp_path / "gdp.csv",
        """
date,gdp,published
2015-09-30,1.0,2015-11-20 15:59 -05:00
2015-09-30,1.5,2015-11-24 16:01 -05:00
2015-06-30,9.0,2015-11-25 09:00 -05:00
2015-10-31,2.0,2015-11-27 13:30 -05:00
2015-11-30,3.0,2015-11-30 21:00 +00:00
""",
    )
    spec = {"name": "gdp", "file": path, "known": "published", "carry": 10}
    # 16:01 is after the close of the 24th, 13:30 after the half day's close at 13:00, 21:00 UTC is the close itself
    assert last_days(loaded(tmp_path / "stocks", spec)["AAA"]) == [1, 1, 1, 1.5, 1.5, 3, 3, 3]


def test_a_publication_without_a_zone_is_of_the_exchange_s_clock_and_a_date_alone_the_end_of_its_day(tmp_path):
    write_prices(tmp_path / "stocks")
    text = "date,x,known\n2015-11-01,1,2015-11-20 15:00\n2015-11-02,2,2015-11-23 16:30\n2015-11-03,3,2015-11-25 00:00"
    spec = {"name": "x", "file": table(tmp_path / "x.csv", text), "known": "known", "carry": 10}
    assert last_days(loaded(tmp_path / "stocks", spec)["AAA"]) == [1, 1, 2, 2, 3, 3, 3, 3]


def test_a_covariate_that_ends_early_is_carried_then_missing_and_told(tmp_path):
    write_prices(tmp_path / "stocks")
    cells = ["2015-11-18,7", "2015-11-19,8", "2015-11-20,9"]
    spec = {"name": "x", "file": table(tmp_path / "x.csv", "date,x\n" + "\n".join(cells)), "lag": 0, "carry": 3}
    history = loaded(tmp_path / "stocks", spec)["AAA"]
    assert last_days(history) == [9, 9, 9, 9, None, None, None, None]
    told = {f.name: f for f in history.findings if f.name.startswith("covariate")}
    assert told["covariate missing"].severity == "warning"
    assert told["covariate missing"].rows[-1] == "2015-11-27"
    bars = len(history)
    assert (
        told["covariate carried on"].text
        == f"x is carried on over 3 of {bars} ({300 / bars:.1f} %), at most 3 in a row, from 2015-11-23"
    )


def test_carry_zero_uses_a_value_on_its_session_alone(tmp_path):
    write_prices(tmp_path / "stocks")
    path = table(tmp_path / "x.csv", "date,x\n2015-11-20,9\n2015-11-24,8")
    spec = {"name": "x", "file": path, "lag": 0, "carry": 0}
    assert last_days(loaded(tmp_path / "stocks", spec)["AAA"]) == [9, None, 8, None, None, None, None, None]


def test_tickers_have_their_own_rows_and_one_s_hole_takes_nothing_from_the_other(tmp_path):
    write_prices(tmp_path / "stocks")
    write_prices(tmp_path / "stocks", "BBB")
    text = "date,ticker,x\n2015-11-20,AAA,1\n2015-11-23,AAA,2\n2015-11-20,CCC,5"
    history = loaded(tmp_path / "stocks", {"name": "x", "file": table(tmp_path / "x.csv", text), "lag": 0})
    assert last_days(history["AAA"])[:3] == [1, 2, 2]
    assert np.isnan(history["BBB"].covariates.past_TP).all()


def test_for_whom(tmp_path):
    write_prices(tmp_path / "stocks", columns={"mood": [1.0] * 8})
    write_prices(tmp_path / "stocks", "BBB", columns={"mood": [2.0] * 8})
    history = loaded(tmp_path / "stocks", {"name": "m", "column": "mood", "tickers": ["BBB"]})
    assert last_days(history["AAA"]) == [None] * 8
    assert last_days(history["BBB"]) == [2.0] * 8


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        ("level", [1, 2, 4, 4, 8, -1, 3, 3]),
        ("difference", [None, 1, 2, 2, 4, -9, 4, 4]),
        ("variance", [1, 4, 16, 16, 64, 1, 9, 9]),
        ("log", [0, np.log(2), np.log(4), np.log(4), np.log(8), None, np.log(3), np.log(3)]),
        ("return", [None, np.log(2), np.log(2), np.log(2), np.log(2), None, None, None]),
    ],
)
def test_transforms_are_of_what_was_seen_and_missing_cells_are_none(tmp_path, transform, wanted):
    write_prices(tmp_path / "stocks", columns={"m": [1, 2, 4, None, 8, -1, 3, None]})
    history = loaded(tmp_path / "stocks", {"name": "m", "column": "m", "transform": transform})["AAA"]
    assert last_days(history) == pytest.approx(wanted)


def test_rank_is_among_the_tickers_that_have_a_value(tmp_path):
    write_prices(tmp_path / "stocks", columns={"m": [1, 1, 4, 9, 9, 9, 9, 9]})
    write_prices(tmp_path / "stocks", "BBB", columns={"m": [2, None, 3, 9, 9, 9, 9, 9]})
    history = loaded(tmp_path / "stocks", {"name": "m", "column": "m", "transform": "rank", "carry": 0})
    assert last_days(history["AAA"])[:4] == [-0.25, 0, 0.25, 0]
    assert last_days(history["BBB"])[:4] == [0.25, None, -0.25, 0]


def test_future_values_stand_on_their_own_sessions(tmp_path):
    write_prices(tmp_path / "stocks")
    path = table(tmp_path / "f.csv", "date,load\n2015-12-01,5\n2015-12-02,6\n2015-12-03,7\n2015-12-05,8\n2015-12-07,9")
    history = loaded(tmp_path / "stocks", {"name": "load", "kind": "future", "file": path})["AAA"]
    covariates = history.covariates
    at = np.searchsorted(covariates.days_S, np.datetime64("2015-12-01"))
    assert covariates.days_S[at:].astype(str).tolist() == [
        *("2015-12-01", "2015-12-02", "2015-12-03", "2015-12-04", "2015-12-07", "2015-12-08", "2015-12-09")
    ]
    assert np.array_equal(covariates.future_SF[at:, 0], [5, 6, 7, np.nan, 9, np.nan, np.nan], equal_nan=True)


def test_events_mark_their_sessions_and_are_unknown_outside_their_span(tmp_path):
    write_prices(tmp_path / "stocks")
    text = "ticker,date\nAAA,2015-11-23\nAAA,2015-11-26\nAAA,2015-12-04\nBBB,2015-11-24"
    spec = {"name": "earnings", "event": True, "file": table(tmp_path / "e.csv", text)}
    covariates = loaded(tmp_path / "stocks", spec)["AAA"].covariates
    at = np.searchsorted(covariates.days_S, np.datetime64("2015-11-20"))
    wanted = [np.nan, 1, 0, 0, 1, 0, 0, 0, 0, 1, np.nan, np.nan, np.nan]
    assert np.array_equal(covariates.future_SF[at:, 0], wanted, equal_nan=True)


def test_static_numbers_and_categories(tmp_path):
    write_prices(tmp_path / "stocks")
    write_prices(tmp_path / "stocks", "BBB")
    path = table(tmp_path / "s.csv", "ticker,sector,size\nAAA,tech,2.5\nBBB,banks,1")
    history = loaded(
        tmp_path / "stocks",
        {"name": "sector", "kind": "static", "file": path, "column": "sector"},
        {"name": "size", "kind": "static", "file": path, "column": "size"},
        {"name": "beta", "values": {"BBB": 1.5}},
    )
    static = history["AAA"].covariates.static
    assert [c.categories for c in static] == [("banks", "tech"), (), ()]
    assert np.array_equal(history["AAA"].covariates.static_C, [1, 2.5, np.nan], equal_nan=True)
    assert history["BBB"].covariates.static_C.tolist() == [0, 1, 1.5]


def test_built_in_calendars(tmp_path):
    write_prices(tmp_path / "stocks")
    names = ("weekday", "month_end", "quarter_turn", "holiday", "half_day", "expiry")
    covariates = loaded(tmp_path / "stocks", *({"name": n, "calendar": n} for n in names))["AAA"].covariates
    at = np.searchsorted(covariates.days_S, np.datetime64(DAYS[0]))
    values = covariates.future_SF[at : at + len(DAYS)]
    assert values[:, 0].tolist() == [4, 0, 1, 2, 4, 0, 1, 2]
    assert values[:, 1].tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert values[:, 3].tolist() == [3, 2, 1, 0, 10, 10, 10, 10]  # Thanksgiving, then Christmas
    assert values[:, 4].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert values[:, 5].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    turn = covariates.days_S[covariates.future_SF[:, 2] == 1].astype(str)
    assert turn[-2:].tolist() == ["2015-09-30", "2015-10-01"]


MISTAKES = [
    ({"name": "x", "file": "csv:nowhere.csv"}, "covariate x: csv:nowhere.csv is no file; name one"),
    ({"name": "x", "file": "RATE", "column": "rat"}, "has no column 'rat'; did you mean 'rate'?"),
    ({"name": "x", "file": "RATE", "known": "publishd"}, "has no column 'publishd'; it has"),
    ({"name": "x", "column": "Mod"}, "covariate x: no table has a column 'Mod'; did you mean 'mood'?"),
    ({"name": "x", "file": "TWICE"}, "has two values on 2015-11-20, 1 and 2; keep one"),
    ({"name": "x", "file": "TEXT"}, "x is 'high' on 2015-11-23; write plain numbers such as 1234.50"),
    ({"name": "x", "file": "OLD"}, "covariate x: it has no value of any ticker between"),
    ({"name": "x", "file": "BOTH"}, "has 2 columns of values (a, b); name one with column"),
    ({"name": "x", "file": "DATES"}, "row 2: 'soon' is no date"),
    ({"name": "x", "ticker": "AAB"}, "covariate x: csv:stocks has no ticker 'AAB'; did you mean AAA?"),
    ({"name": "x", "ticker": "AAA", "field": "volume"}, "covariate x: AAA has no volume; field is one of"),
    ({"name": "x", "column": "mood", "tickers": "AAX"}, "tickers names 'AAX', which is not there; did you mean 'AAA'?"),
    ({"name": "x", "column": "mood", "markets": "XNAS"}, "markets names 'XNAS', which is not there; did you mean"),
    ({"name": "x", "kind": "static", "file": "RATE"}, "has no ticker among date, rate; call its column Ticker"),
]
FILES = {
    "RATE": "date,rate\n2015-11-20,1",
    "TWICE": "date,rate\n2015-11-20,1\n2015-11-20,2",
    "TEXT": "date,rate\n2015-11-20,1\n2015-11-23,high",
    "OLD": "date,rate\n1995-11-20,1\n1995-11-21,3",
    "BOTH": "date,a,b\n2015-11-20,1,2",
    "DATES": "date,rate\n2015-11-20,1\nsoon,3",
}


@pytest.mark.parametrize(("spec", "said"), MISTAKES, ids=[str(k) for k in range(len(MISTAKES))])
def test_mistakes_are_one_line(tmp_path, monkeypatch, spec, said):
    monkeypatch.chdir(tmp_path)
    write_prices(Path("stocks"), columns={"mood": [1.0] * 8})
    if spec.get("file") in FILES:
        spec = spec | {"file": table(Path(f"{spec['file']}.csv"), FILES[spec["file"]])}
    with pytest.raises(CallerError) as caught:
        loaded(Path("stocks"), spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_a_ticker_whose_own_column_holds_text_is_refused_by_name(tmp_path):
    write_prices(tmp_path, columns={"mood": [1.0] * 8})
    write_prices(tmp_path, "BBB", columns={"mood": ["fine", *[1.0] * 7]})
    experiment = make_experiment(
        {"universe": {"source": f"csv:{tmp_path}"}, "covariates": [{"name": "m", "column": "mood"}]}
    )
    result = with_covariates(load_universe(experiment.universe), experiment)
    assert [h.ticker for h in result.histories] == ["AAA"]
    assert result.refused["BBB"] == "mood is 'fine' on 2015-11-20; write plain numbers such as 1234.50"


def test_exact_duplicates_are_one_row(tmp_path):
    write_prices(tmp_path / "stocks")
    path = table(tmp_path / "x.csv", "date,x\n2015-11-20,9\n2015-11-20,9")
    assert last_days(loaded(tmp_path / "stocks", {"name": "x", "file": path, "lag": 0})["AAA"])[0] == 9


def test_columns_that_nobody_declared_are_named_once(tmp_path):
    write_prices(tmp_path, columns={"mood": [1.0] * 8, "pe": [2.0] * 8})
    write_prices(tmp_path, "BBB", columns={"mood": [1.0] * 8})
    experiment = make_experiment(
        {"universe": {"source": f"csv:{tmp_path}"}, "covariates": [{"name": "m", "column": "mood"}]}
    )
    histories = load_universe(experiment.universe).histories
    assert unread(histories, experiment.covariates) == ("pe",)
    assert unread(histories, ()) == ("mood", "pe")
