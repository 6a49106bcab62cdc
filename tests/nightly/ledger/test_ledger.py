"""The ledger's promises, on SQLite and on PostgreSQL: each forecast once, nothing changed, every bit as it was."""

from __future__ import annotations

import copy
import dataclasses
import logging
import shutil
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from s2squant.errors import ConfigError, LedgerError
from s2squant.nightly.ledger import database as ledger_database
from s2squant.nightly.ledger.database import ledger_url, make_sqlite_url
from s2squant.nightly.ledger.entries import RunEntry
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import META, Key
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.worlds.ledgers import AT, CUTOFF, NIGHTLY, a_run, an_issue, an_outcome, many_runs
from tests.worlds.postgres import GUARDED, PASSWORD

ODD = [
    "^GSPC",
    "BRK.B",
    "EUR=X",
    "../../etc/passwd",
    "O'Brien\"; DROP TABLE forecasts; --",
    "日本 取引",
    "%s",
    "😀",
    "",
]


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path, templates):
    """A ledger with one run, of a database that was migrated before, as that takes a while."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.sqlite"
        if not (template := templates / "ledger.sqlite").exists():
            Ledger(make_sqlite_url(template))
        shutil.copy(template, path)
        url = make_sqlite_url(path)
    else:
        url = request.getfixturevalue("postgres_server").emptied(Ledger, META.tables)
    opened = Ledger(url)
    opened.start_run(a_run())
    return opened


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    return tmp_path_factory.mktemp("templates")


def count(ledger, table="forecasts"):
    with ledger.engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()


def test_keys_of_bars_within_the_day_are_moments_in_order_with_days(ledger):
    noon, night = datetime(2024, 3, 1, 17, 30), datetime(2024, 3, 2, 0, 0)
    for cutoff in (night, noon):
        issue = dataclasses.replace(
            an_issue(cutoff=cutoff, steps=2), sessions=[cutoff + timedelta(hours=h) for h in (1, 2)]
        )
        assert ledger.issue("hours", "run-1", [issue], at=AT) == "issued"
    assert set(ledger.live_cutoffs("hours")) == {("AAA", noon), ("AAA", night)}, "midnight is a moment too"
    record = ledger.record("hours", since=CUTOFF)
    assert list(record["cutoff"].unique().astype(str)) == ["2024-03-01 17:30:00", "2024-03-02 00:00:00"]
    assert ledger.record("hours", since=night)["cutoff"].nunique() == 1
    assert len(ledger.unscored("hours", noon + timedelta(hours=1))) == 1
    assert ledger.miss("hours", "run-1", "AAA", "1h:XNYS", noon, "late", "late", at=AT) is False
    assert ledger.verify()[0] == ()
    with pytest.raises(ValueError, match="UTC without a zone"):
        Key().process_bind_param(AT, ledger.engine.dialect)


def test_what_is_issued_comes_back_bit_for_bit(ledger):
    issues = [an_issue("AAA", model, seed=seed) for seed, model in enumerate(("anchor", "blend"))]
    issues[0].quantiles_HQ[0, :3] = np.float32([-np.pi, -1e-30, np.nextafter(np.float32(0), np.float32(1))])
    assert ledger.issue(NIGHTLY, "run-1", issues, at=AT) == "issued"
    record = ledger.record(NIGHTLY)
    assert list(record["model"]) == ["anchor"] * 5 + ["blend"] * 5
    for issue in issues:
        rows = record[record["model"] == issue.model]
        stored = rows[list(QUANTILE_COLUMNS)].to_numpy()
        assert stored.dtype == np.float32
        assert stored.tobytes() == np.ascontiguousarray(issue.quantiles_HQ, np.float32).tobytes()
        np.testing.assert_array_equal(rows["mean"], issue.mean_H.astype(np.float32))
        assert set(rows["close"]) == {issue.close}
        assert set(rows["factor"]) == {issue.factor}
        assert list(rows["ds"].dt.date) == list(issue.sessions)
        assert set(rows["cutoff"].dt.date) == {CUTOFF}
        assert list(rows["step"]) == [1, 2, 3, 4, 5]
    assert set(record["issued_at"]) == {pd.Timestamp(AT)}
    assert record["scored_at"].isna().all()
    assert record["y"].dtype == np.float64


def test_the_very_same_again_is_kept(ledger):
    issues = [an_issue("AAA", model) for model in ("anchor", "blend")]
    ledger.issue(NIGHTLY, "run-1", issues, at=AT)
    ledger.start_run(a_run("run-2"))
    assert ledger.issue(NIGHTLY, "run-2", issues, at=AT + timedelta(hours=1)) == "kept"
    assert count(ledger) == 10
    assert set(ledger.record(NIGHTLY)["run_id"]) == {"run-1"}
    assert ledger.live_cutoffs(NIGHTLY) == {("AAA", CUTOFF): "run-1"}


def test_another_forecast_of_the_same_is_numbered_and_never_enters_the_record(ledger):
    first, second, third = (an_issue(seed=seed) for seed in range(3))
    assert [ledger.issue(NIGHTLY, "run-1", [i], at=AT) for i in (first, second, third, second, first)] == [
        "issued",
        "reissued",
        "reissued",
        "kept",
        "kept",
    ]
    live = ledger.record(NIGHTLY)
    np.testing.assert_array_equal(live[list(QUANTILE_COLUMNS)].to_numpy(), first.quantiles_HQ)
    assert list(ledger.record(NIGHTLY, live=False)["reissue"]) == [0, 1, 2] * 5
    assert set(ledger.unscored(NIGHTLY, date.max)["id"]) == set(range(1, 6))


def test_a_longer_forecast_adds_no_step_to_the_one_that_stands(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue(steps=3)], at=AT)
    assert ledger.issue(NIGHTLY, "run-1", [an_issue(steps=6, seed=1)], at=AT) == "reissued"
    assert list(ledger.record(NIGHTLY)["step"]) == [1, 2, 3]


def test_the_price_version_decides_whether_it_is_the_same(ledger):
    issue = an_issue()
    ledger.issue(NIGHTLY, "run-1", [issue], at=AT)
    read_later = dataclasses.replace(issue, prices_at="2024-03-02T09:00:00.000000+00:00")
    revised = dataclasses.replace(issue, prices_sha256="ef" * 32)
    assert ledger.issue(NIGHTLY, "run-1", [read_later], at=AT) == "kept"
    assert ledger.issue(NIGHTLY, "run-1", [revised], at=AT) == "reissued"


def test_one_nightly_knows_nothing_of_another(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    assert ledger.issue("other", "run-1", [an_issue(seed=1)], at=AT) == "issued"
    assert len(ledger.record("other")) == 5


@pytest.mark.parametrize("spoilt", ["quantile", "mean", "close", "shape"])
def test_one_bad_forecast_keeps_all_of_the_ticker_out(ledger, spoilt):
    good, bad = an_issue(model="anchor"), an_issue(model="blend")
    match spoilt:
        case "quantile":
            bad.quantiles_HQ[2, 7] = np.nan
        case "mean":
            bad.mean_H[1] = np.inf
        case "close":
            bad = dataclasses.replace(bad, close=float("nan"))
        case "shape":
            bad = dataclasses.replace(bad, quantiles_HQ=bad.quantiles_HQ[:, 1:])
    with pytest.raises(ValueError, match="blend of AAA"):
        ledger.issue(NIGHTLY, "run-1", [good, bad], at=AT)
    assert count(ledger) == 0


def test_what_the_database_refuses_leaves_nothing(ledger):
    with pytest.raises(LedgerError, match=r"could not be written .*(?i:foreign key)"):
        ledger.issue(NIGHTLY, "no such run", [an_issue()], at=AT)
    assert count(ledger) == 0


def test_a_gap_is_entered_once(ledger):
    def miss(reason="no bar"):
        return ledger.miss(NIGHTLY, "run-1", "AAA", "XNYS", CUTOFF, "stale", reason, at=AT)

    assert [miss(), miss(), miss("another")] == [True, False, False]
    gaps = ledger.gaps(NIGHTLY)
    assert gaps[["ticker", "cutoff", "kind", "reason"]].to_numpy().tolist() == [["AAA", CUTOFF, "stale", "no bar"]]


def test_there_is_no_gap_where_a_live_forecast_stands(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    assert not ledger.miss(NIGHTLY, "run-1", "AAA", "XNYS", CUTOFF, "late", "too late", at=AT)
    assert ledger.gaps().empty


def test_a_gap_that_was_filled_in_time_is_none(ledger):
    for ticker in ("AAA", "BBB"):
        assert ledger.miss(NIGHTLY, "run-1", ticker, "XNYS", CUTOFF, "failed", "no answer", at=AT)
    ledger.issue(NIGHTLY, "run-1", [an_issue("AAA")], at=AT)
    assert list(ledger.gaps(NIGHTLY)["ticker"]) == ["BBB"]
    assert list(ledger.gaps(NIGHTLY, filled=True)["ticker"]) == ["AAA", "BBB"]


def test_a_forecast_is_scored_once(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue(), an_issue("BBB")], at=AT)
    due = ledger.unscored(NIGHTLY, CUTOFF + timedelta(days=2))
    assert list(due["ticker"]) == ["AAA", "AAA", "BBB", "BBB"]
    assert list(due["step"]) == [1, 2, 1, 2]
    ids = due["id"].tolist()
    assert ledger.score([an_outcome(ids[0], 0.1), an_outcome(ids[1], 0.2)], "run-1", at=AT) == 2
    assert ledger.score([an_outcome(i, 0.9) for i in reversed(ids)], "run-1", at=AT) == 2
    assert ledger.score([], "run-1", at=AT) == 0
    assert ledger.unscored(NIGHTLY, CUTOFF + timedelta(days=2)).empty
    scored = ledger.record(NIGHTLY).dropna(subset="y")
    assert list(zip(scored["unique_id"], scored["step"], scored["y"], strict=True)) == [
        ("AAA", 1, 0.1),
        ("AAA", 2, 0.2),
        ("BBB", 1, 0.9),
        ("BBB", 2, 0.9),
    ]
    with pytest.raises(ValueError, match="not finite"):
        ledger.score([an_outcome(5, float("nan"))], "run-1", at=AT)


def test_a_correction_stands_beside_the_outcome_and_the_newest_is_read(ledger):
    def known(at=None):
        record = ledger.record(NIGHTLY, known_by=at)
        return list(zip(record["y"].fillna(9), record["correction"], strict=True))[:3]

    hours = [AT + timedelta(hours=hour) for hour in range(4)]
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    ledger.score([an_outcome(1, 0.1), an_outcome(2, 0.2)], "run-1", at=hours[1])
    first, second = (an_outcome(1, y) | {"number": number} for number, y in enumerate((0.3, 0.4), start=1))
    assert ledger.correct([first], "run-1", at=hours[2]) == 1
    assert ledger.correct([first], "run-1", at=hours[3]) == 0, "another writer was first"
    assert ledger.correct([second], "run-1", at=hours[3]) == 1
    assert known() == known(hours[3]) == [(0.4, 2), (0.2, 0), (9, 0)]
    assert known(hours[2]) == known(hours[3] - timedelta(microseconds=1)) == [(0.3, 1), (0.2, 0), (9, 0)]
    assert known(hours[1]) == [(0.1, 0), (0.2, 0), (9, 0)]
    assert known(hours[0]) == [(9, 0)] * 3, "what was entered later was not known yet"
    record = ledger.record(NIGHTLY)
    assert list(record["scored_at"][:2]) == [pd.Timestamp(hours[3]), pd.Timestamp(hours[1])]
    assert record["scored_at"][2:].isna().all()
    assert [count(ledger, table) for table in ("outcomes", "corrections")] == [2, 2]
    with pytest.raises(ValueError, match="not finite"):
        ledger.correct([an_outcome(2, float("inf")) | {"number": 1}], "run-1", at=AT)
    with pytest.raises(LedgerError, match=r"(?i:foreign key)"):
        ledger.correct([an_outcome(3) | {"number": 1}], "run-1", at=AT)


def test_what_may_have_to_be_corrected(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue(), an_issue("BBB")], at=AT)
    ledger.issue(NIGHTLY, "run-1", [an_issue(seed=1)], at=AT)  # re-issued: never in the record
    ledger.score([an_outcome(i, i / 10) for i in (1, 2, 6, 11)], "run-1", at=AT)
    ledger.correct([an_outcome(2, 0.7) | {"number": 1, "prices_at": "2024-03-12"}], "run-1", at=AT)
    days = [CUTOFF + timedelta(days=day) for day in (1, 2)]

    def found(since, before):
        rows = ledger.scored(NIGHTLY, "AAA", since, before)
        return list(zip(rows["id"], rows["ds"], rows["y"], rows["correction"], strict=True))

    assert found(days[0], "2024-03-13") == [(1, days[0], 0.1, 0), (2, days[1], 0.7, 1)]
    assert found(days[0], "2024-03-12") == [(1, days[0], 0.1, 0)], "the newest of the other rests on these prices"
    assert found(days[1], "2024-03-13") == [(2, days[1], 0.7, 1)]
    assert found(days[0], "2024-03-08") == []
    quantiles = ledger.scored(NIGHTLY, "AAA", days[0], "2024-03-12")[list(QUANTILE_COLUMNS)]
    np.testing.assert_array_equal(quantiles.to_numpy(), an_issue().quantiles_HQ[:1])


def test_nothing_is_ever_changed_or_removed(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    ledger.score([an_outcome(1)], "run-1", at=AT)
    ledger.correct([an_outcome(1) | {"number": 1}], "run-1", at=AT)
    ledger.miss(NIGHTLY, "run-1", "BBB", "XNYS", CUTOFF, "late", "too late", at=AT)
    ledger.note(NIGHTLY, "run-1", CUTOFF, "drift", "it drifts", at=AT)
    ledger.add_model(a_model("v1"))
    statements = [f"DELETE FROM {table}" for table in (*TABLES, "runs")]
    statements += [f"UPDATE {table} SET run_id = 'run-1'" for table in TABLES]
    if ledger.engine.dialect.name == "postgresql":
        statements += [f"TRUNCATE {table} CASCADE" for table in (*TABLES, "runs")]
    else:
        statements += ["INSERT OR REPLACE INTO forecasts SELECT * FROM forecasts WHERE step = 1"]
    before = {table: count(ledger, table) for table in (*TABLES, "runs")}
    for statement in statements:
        with pytest.raises(DBAPIError, match="of the ledger are never changed"), ledger.engine.begin() as connection:
            connection.execute(text(statement))
    assert {table: count(ledger, table) for table in (*TABLES, "runs")} == before


TABLES = ("forecasts", "outcomes", "corrections", "gaps", "models", "events")


def a_model(version, *, key="XNYS", session=CUTOFF, parent=""):
    kind = {"nightly": NIGHTLY, "kind": "market", "key": key, "session": session}
    return {**kind, "version": version, "parent": parent, "how": "adapted", "run_id": "run-1", "at": AT}


def test_a_run_begins_ends_goes_on_and_dies(ledger):
    ledger.end_run("run-1", "partial", "one ticker\nfailed \x1b[31m", at=AT, facts='{"seconds": 3}')
    ended = ledger.run("run-1")
    assert (ended.status, ended.message, ended.ended_at) == ("partial", "one ticker failed \\x1b[31m", AT)
    assert ended.facts == '{"seconds": 3}'
    assert not ledger.reap("run-1", "no sign of life", at=AT)
    ledger.start_run(a_run(at=AT + timedelta(days=1)))
    again = ledger.run("run-1")
    assert (again.status, again.ended_at, again.started_at) == ("running", None, AT)
    ledger.start_run(a_run("run-2", at=AT + timedelta(days=1)))
    assert [run.run_id for run in ledger.runs(NIGHTLY)] == ["run-2", "run-1"]
    assert ledger.reap("run-1", "no sign of life", at=AT)
    assert [run.run_id for run in ledger.runs(status="running")] == ["run-2"]
    assert ledger.runs("other") == ()
    assert ledger.run("run-3") is None


def test_no_number_of_runs_hides_one(ledger):
    """The newest run of each nightly, and every run under way, behind thousands of others."""
    ledger.start_run(a_run("paused-1", nightly="paused", at=AT + timedelta(minutes=1)))
    ledger.start_run(a_run("paused-2", nightly="paused", at=AT + timedelta(minutes=2)))
    many_runs(ledger, 2_100, after=AT + timedelta(days=1))
    assert [run.run_id for run in ledger.last_runs()] == ["many-2099", "paused-2"]
    assert [run.run_id for run in ledger.runs(status="running")] == ["paused-2", "paused-1", "run-1"]
    assert len(ledger.runs(NIGHTLY)) == 2_101
    assert [run.run_id for run in ledger.runs(NIGHTLY, newest=2)] == ["many-2099", "many-2098"]


def test_instants_keep_their_moment_whatever_the_zone(ledger):
    new_york = ZoneInfo("America/New_York")
    twice = [datetime(2024, 11, 3, 1, 30, tzinfo=new_york, fold=fold) for fold in (0, 1)]  # the clock goes back
    skipped = datetime(2024, 3, 10, 2, 30, tzinfo=new_york)
    for number, at in enumerate((*twice, skipped)):
        run = a_run(f"dst-{number}", at=at)
        ledger.start_run(run)
        ledger.issue(NIGHTLY, run.run_id, [an_issue(f"T{number}")], at=at)
        stored = ledger.run(run.run_id).started_at
        assert stored == at.astimezone(UTC)
        assert stored.utcoffset() == timedelta(0)
    issued = ledger.record(NIGHTLY).drop_duplicates("unique_id").set_index("unique_id")["issued_at"]
    assert issued["T1"] - issued["T0"] == timedelta(hours=1)
    assert issued["T2"] == pd.Timestamp("2024-03-10T07:30Z")
    naive = datetime(2024, 3, 1, 12)
    with pytest.raises(ValueError, match="without a time zone"):
        ledger.issue(NIGHTLY, "run-1", [an_issue()], at=naive)
    with pytest.raises(Exception, match="no time zone"):
        ledger.start_run(a_run("naive", at=naive))


def test_a_cutoff_on_the_day_the_clock_changes_stays_that_day(ledger):
    days = [date(2024, 3, 10), date(2024, 3, 31), date(2024, 10, 27), date(2024, 11, 3), date(2024, 2, 29)]
    for day in days:
        ledger.issue(NIGHTLY, "run-1", [an_issue(cutoff=day)], at=AT)
    assert sorted(day for _, day in ledger.live_cutoffs(NIGHTLY)) == sorted(days)
    assert {stamp.date() for stamp in ledger.record(NIGHTLY)["cutoff"]} == set(days)


def test_odd_tickers_are_text_like_any_other(ledger):
    for ticker in ODD:
        ledger.issue(NIGHTLY, "run-1", [an_issue(ticker)], at=AT)
        ledger.note(NIGHTLY, "run-1", CUTOFF, "stale", f"{ticker} is \ud800 stale", ticker=ticker, at=AT)
    assert set(ledger.record(NIGHTLY)["unique_id"]) == set(ODD)
    assert {ticker for ticker, _ in ledger.live_cutoffs(NIGHTLY)} == set(ODD)
    assert set(ledger.events(NIGHTLY)["ticker"]) == set(ODD)


def test_events_and_models_are_entered_once(ledger):
    assert ledger.note(NIGHTLY, "run-1", CUTOFF, "drift", "first", at=AT)
    assert not ledger.note(NIGHTLY, "run-1", CUTOFF, "drift", "second", at=AT)
    assert list(ledger.events(NIGHTLY)["text"]) == ["first"]
    for _ in range(2):
        ledger.add_model(a_model("v1"))
    ledger.add_model(a_model("v2", session=CUTOFF + timedelta(days=1), parent="v1"))
    assert list(ledger.models(NIGHTLY)["version"]) == ["v1", "v2"]
    assert list(ledger.models(NIGHTLY, upto=CUTOFF)["version"]) == ["v1"]


def test_the_versions_that_may_still_be_asked_for(ledger):
    def day(number):
        return CUTOFF + timedelta(days=number)

    for number, version in enumerate("abcdef"):
        parent = "abcdef"[number - 1] if number else ""
        ledger.add_model(a_model(version, session=day(number), parent=parent))
    ledger.add_model(a_model("old but the newest", key="ZZZ", session=day(0)))
    ledger.issue(NIGHTLY, "run-1", [an_issue("AAA", cutoff=day(4)), an_issue("BBB", "blend", cutoff=day(0))], at=AT)
    assert ledger.versions() == {*"abcdef", "old but the newest"}
    assert ledger.versions(day(4)) - {""} == {"d", "e", "f", "old but the newest", "weights-anchor"}
    assert ledger.price_moments(day(4)) == {"2024-03-02T01:00:00.000000+00:00"}
    assert ledger.price_moments(day(5)) == frozenset()


def test_the_record_is_cut_as_asked(ledger, monkeypatch):
    monkeypatch.setattr(ledger_database, "ROWS", 7)  # several parts
    ledger.start_run(a_run("run-2"))
    for number in range(4):
        cutoff = CUTOFF + timedelta(days=number)
        issues = [an_issue("AAA", model, cutoff=cutoff, seed=number) for model in ("anchor", "blend", "field")]
        ledger.issue(NIGHTLY, "run-1" if number < 3 else "run-2", issues, at=AT)
    ledger.score([an_outcome(3)], "run-1", at=AT)
    record = ledger.record(NIGHTLY)
    assert len(record) == 60
    assert record["y"].notna().sum() == 1
    assert str(record["scored_at"].dtype).startswith("datetime64")
    assert record.equals(record.sort_values(["model", "unique_id", "cutoff", "step"], kind="stable"))
    for seed in range(4):
        chosen = record[(record["cutoff"] == np.datetime64(CUTOFF) + seed) & (record["model"] == "blend")]
        np.testing.assert_array_equal(chosen[list(QUANTILE_COLUMNS)], an_issue(seed=seed).quantiles_HQ)
    assert len(ledger.record(NIGHTLY, models=["anchor"], since=CUTOFF + timedelta(days=1))) == 15
    assert set(ledger.record(NIGHTLY, run_id="run-2")["cutoff"].dt.date) == {CUTOFF + timedelta(days=3)}
    assert ledger.record(NIGHTLY, models=[]).empty


def test_an_empty_ledger_has_all_its_columns(ledger):
    empty = ledger.record(NIGHTLY)
    assert ledger.live_cutoffs(NIGHTLY) == {}
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    record = ledger.record(NIGHTLY)
    assert list(empty.columns) == list(record.columns)
    assert (empty[["y", *QUANTILE_COLUMNS]].dtypes == record[["y", *QUANTILE_COLUMNS]].dtypes).all()
    assert empty["cutoff"].dtype == record["cutoff"].dtype
    assert list(ledger.gaps().columns)[:4] == ["nightly", "ticker", "market", "cutoff"]
    assert ledger.events().empty
    assert ledger.models(NIGHTLY).empty


def test_a_reader_does_not_wait_for_a_writer(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    with ledger_database.transaction(ledger.engine, writes=True) as connection:
        connection.execute(text("INSERT INTO runs SELECT 'x', nightly, flow, scheduled_at, started_at, ended_at, "
                                "status, message, folder, settings, facts FROM runs"))  # fmt: skip
        assert len(ledger.record(NIGHTLY)) == 5
        assert len(Ledger(ledger.url).runs()) == 1
    assert len(ledger.runs()) == 2


def test_a_ledger_travels_to_another_process_by_its_address(ledger):
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    assert len(copy.copy(ledger).record(NIGHTLY)) == 5


# -- where it is -------------------------------------------------------------------------------------------------------


def test_without_a_word_it_is_a_file_below_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("S2SQUANT_LEDGER", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Ledger().name == "sqlite:///data/ledger.sqlite"
    assert (tmp_path / "data" / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("secret-and-no-url", "is no database URL; write postgresql"),
        ("postgresql://u:secret@host:port/db", "is no database URL; write postgresql"),
        ("mysql://u:secret@host/db", "neither SQLite nor PostgreSQL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_place_that_is_none_is_refused_without_repeating_it(monkeypatch, place, complaint):
    monkeypatch.setenv("S2SQUANT_LEDGER", place)
    with pytest.raises(ConfigError, match=complaint) as refused:
        ledger_url()
    assert "secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_any_postgresql_url_is_read_through_psycopg(monkeypatch, scheme):
    monkeypatch.setenv("S2SQUANT_LEDGER", f"{scheme}://u@host/db")
    assert ledger_url().drivername == "postgresql+psycopg"


@pytest.mark.parametrize("place", ["postgresql://u:{}@127.0.0.1:1/db", "postgresql://u@127.0.0.1:1/db?password={}"])
def test_no_password_is_shown_where_nobody_answers(monkeypatch, caplog, place):
    monkeypatch.setenv("S2SQUANT_LEDGER", place.format(PASSWORD))
    with caplog.at_level(logging.DEBUG), pytest.raises(LedgerError, match="could not be opened") as refused:
        Ledger()
    url = ledger_url()
    said = [str(refused.value), repr(refused.value), str(url), repr(url), caplog.text, str(refused.getrepr())]
    assert not [line for line in said if PASSWORD in line]
    assert refused.value.__cause__ is None
    assert refused.value.exit_status == 1
    assert len(str(refused.value).splitlines()) == 1


def test_a_password_opens_the_ledger_and_is_never_shown(postgres_server, caplog):
    database = postgres_server.url().database
    postgres_server.run(f"ALTER DATABASE {database} OWNER TO {GUARDED}")
    wrong = postgres_server.address(database, GUARDED, "not-" + PASSWORD)
    with caplog.at_level(logging.DEBUG), pytest.raises(LedgerError, match="authentication failed") as refused:
        Ledger(wrong)
    right = postgres_server.address(database, GUARDED, PASSWORD)
    with caplog.at_level(logging.DEBUG):
        ledger = Ledger(right)
        ledger.start_run(a_run())
        ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
        with pytest.raises(LedgerError) as failed:
            ledger.issue(NIGHTLY, "none", [an_issue("BBB")], at=AT)
    said = [str(refused.value), str(failed.value), caplog.text, ledger.name, repr(ledger), repr(ledger.engine)]
    said += [str(ledger.url), str(vars(ledger)), str(refused.getrepr()), str(failed.getrepr())]
    assert not [line for line in said if PASSWORD in line]


def test_a_password_that_an_error_repeats_is_taken_out():
    database = ledger_database.Database(make_url(f"postgresql://u:{PASSWORD}@host/db"))
    with pytest.raises(LedgerError) as failed, database.spoken("read"):
        raise OSError(f"cannot reach host with {PASSWORD}\nand more")
    assert str(failed.value) == (
        "the ledger postgresql+psycopg://u:***@host/db could not be read (cannot reach host with *** and more); "
        "see to it and run again"
    )


def test_run_entries_are_plain(ledger):
    entry = RunEntry("r", NIGHTLY, "forecast", AT, AT, "running", settings="{}", facts="{}", folder="reports/x")
    ledger.start_run(entry)
    assert ledger.run("r") == entry
