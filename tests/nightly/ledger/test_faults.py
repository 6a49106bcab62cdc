"""Writers beside writers, killed writers, full disks and read-only places: what was entered stands, whole."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from s2squant.errors import LedgerError
from s2squant.nightly.ledger import database
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.worlds.ledgers import AT, CUTOFF, NIGHTLY, a_run, an_issue, answer, as_another, begin, stop_within, write_it

MODELS = ("anchor", "blend", "field")
NOBODY = 65534


def hammer(place, writers, tickers):
    """Many processes enter the same forecasts and their own; returns what each said of each ticker."""
    started = [begin(write_it, place, number, tickers, MODELS) for number in range(writers)]
    for _, connection in started:
        assert connection.recv() == "ready"
    for _, connection in started:
        connection.send("go")
    return [answer(*one, seconds=240) for one in started]


def check_hammered(place, writers, tickers):
    said = hammer(place, writers, tickers)
    assert [one for one in said if isinstance(one, Exception)] == []
    ledger = Ledger(place)
    for ticker in tickers:
        assert sorted(one[ticker] for one in said) == ["issued"] + ["kept"] * (writers - 1)
    record = ledger.record(NIGHTLY, live=False)
    assert set(record["reissue"]) == {0}
    assert not record.duplicated(["unique_id", "model", "step"]).any()
    assert len(record) == (len(tickers) + writers) * len(MODELS) * 5
    for i, ticker in enumerate(tickers):
        rows = record[(record["unique_id"] == ticker) & (record["model"] == "blend")]
        np.testing.assert_array_equal(rows[list(QUANTILE_COLUMNS)].to_numpy(), an_issue(seed=i).quantiles_HQ)
        assert rows["run_id"].nunique() == 1
    due = record[(record["step"] <= 2) & record["unique_id"].isin(tickers)]
    assert due["y"].notna().all()
    assert list(ledger.gaps(NIGHTLY)["ticker"]) == sorted(tickers)
    assert sorted(ledger.events(NIGHTLY)["ticker"]) == sorted(tickers)
    assert {run.status for run in ledger.runs()} == {"done"}
    assert len(ledger.runs()) == writers


@pytest.mark.slow
def test_eight_writers_at_once(ledger_place):
    check_hammered(ledger_place, 8, [f"T{number}" for number in range(3)])


@pytest.mark.slow
def test_eight_writers_of_many_tickers(ledger_place):
    check_hammered(ledger_place, 8, [f"T{number}" for number in range(30)])


def whole(ledger):
    """The tickers of which something stands; raises where it is not all of it."""
    record = ledger.record(NIGHTLY, live=False)
    sizes = record.groupby("unique_id").size() if len(record) else {}
    assert set(dict(sizes).values()) <= {len(MODELS) * 5}
    return set(record["unique_id"])


@pytest.mark.parametrize("statements", [1, 2, 5])
def test_a_writer_killed_within_a_transaction_leaves_all_or_nothing_of_a_ticker(ledger_place, statements):
    Ledger(ledger_place)
    process, connection = begin(stop_within, ledger_place, statements, ["AAA", "BBB"])
    assert connection.recv() == "within"
    process.kill()
    process.join()
    ledger = Ledger(ledger_place)
    assert whole(ledger) == (set() if statements <= 3 else {"AAA"})
    ledger.start_run(a_run("next"))
    issues = [[an_issue(ticker, model) for model in MODELS] for ticker in ("AAA", "BBB")]
    expected = ["issued" if statements <= 3 else "kept", "issued"]
    assert [ledger.issue(NIGHTLY, "next", one, at=AT) for one in issues] == expected
    assert ledger.run("killed").status == "running"
    assert whole(ledger) == {"AAA", "BBB"}


@pytest.mark.slow
def test_writers_killed_at_any_time(ledger_place):
    rng = random.Random(0)
    tickers = [f"T{number}" for number in range(12)]
    stood: set[str] = set()
    ledger, longest = Ledger(ledger_place), 0.25
    for number in range(15):
        process, connection = begin(write_it, ledger_place, number, tickers, MODELS)
        assert connection.recv() == "ready"
        connection.send("go")
        time.sleep(rng.uniform(0.0, longest))
        process.kill()
        process.join()
        found = whole(ledger)
        assert found >= stood
        stood = found
        longest *= 1 if stood else 2  # on a busy machine nothing is entered so soon
    said = answer(*_told(ledger_place, 99, tickers))
    assert {said[ticker] for ticker in stood & set(tickers)} == {"kept"}
    assert whole(ledger) >= set(tickers)


def _told(place, number, tickers):
    process, connection = begin(write_it, place, number, tickers, MODELS)
    assert connection.recv() == "ready"
    connection.send("go")
    return process, connection


def test_a_full_disk_is_said_in_one_line_and_forgotten_once_there_is_room(tmp_path):
    place = make_sqlite_url(tmp_path / "ledger.sqlite")
    ledger = Ledger(place)
    ledger.start_run(a_run())
    ledger.issue(NIGHTLY, "run-1", [an_issue("AAA", model) for model in MODELS], at=AT)
    pages = (tmp_path / "ledger.sqlite").stat().st_size // 4096 + 8

    def fill(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(ledger.engine, "connect", fill)
    stood = {"AAA"}

    def issue_until_full():
        for number in range(100):
            ledger.issue(NIGHTLY, "run-1", [an_issue(f"T{number}", model) for model in MODELS], at=AT)
            stood.add(f"T{number}")

    with pytest.raises(LedgerError, match=r"could not be written .database or disk is full") as full:
        issue_until_full()
    assert len(str(full.value).splitlines()) == 1
    assert full.value.exit_status == 1
    assert whole(ledger) == stood
    event.remove(ledger.engine, "connect", fill)
    assert ledger.issue(NIGHTLY, "run-1", [an_issue("ZZZ", model) for model in MODELS], at=AT) == "issued"
    assert whole(ledger) == {*stood, "ZZZ"}


def limited(url, limit, connection):
    """Write in a process whose files cannot grow beyond a limit, as on a full disk."""
    ledger = Ledger(url)
    ledger.start_run(a_run("limited"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    done = []
    try:
        for number in range(200):
            ledger.issue(NIGHTLY, "limited", [an_issue(f"T{number}", model) for model in MODELS], at=AT)
            done.append(f"T{number}")
    except LedgerError as error:
        connection.send((str(error), done))
    else:
        connection.send(("never full", done))


def test_a_write_ahead_log_that_cannot_grow_loses_nothing(tmp_path):
    place = make_sqlite_url(tmp_path / "ledger.sqlite")
    size = Ledger(place) and (tmp_path / "ledger.sqlite").stat().st_size
    said, done = answer(*begin(limited, place, size + 150_000))
    assert "could not be written" in said
    ledger = Ledger(place)
    assert done
    assert whole(ledger) == set(done)
    ledger.start_run(a_run("next"))
    assert ledger.issue(NIGHTLY, "next", [an_issue("next", model) for model in MODELS], at=AT) == "issued"


@pytest.fixture
def open_folder():
    """A folder that any user may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="s2squant-ledger-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_ledger_that_may_not_be_written_says_so(open_folder, what):
    path = open_folder / "ledger.sqlite"
    ledger = Ledger(make_sqlite_url(path))
    ledger.start_run(a_run())
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    path.chmod(0o444)
    if what == "folder":
        open_folder.chmod(0o555)
    else:
        open_folder.chmod(0o777)
    user = NOBODY if os.geteuid() == 0 else None
    _, wrote = answer(*begin(as_another, make_sqlite_url(path), user))
    assert wrote.startswith(f"LedgerError: the ledger sqlite:///{path} could not be ")
    assert len(wrote.splitlines()) == 1
    open_folder.chmod(0o755)
    path.chmod(0o644)
    ledger.start_run(a_run("next"))
    assert ledger.issue(NIGHTLY, "next", [an_issue("BBB")], at=AT) == "issued"
    assert set(ledger.record(NIGHTLY)["unique_id"]) == {"AAA", "BBB"}


def test_a_folder_where_none_can_be_made_says_so(open_folder):
    open_folder.chmod(0o555)
    user = NOBODY if os.geteuid() == 0 else None
    said = answer(*begin(as_another, make_sqlite_url(open_folder / "data" / "ledger.sqlite"), user))
    assert all(line.startswith("LedgerError: ") and "could not be opened" in line for line in said)
    assert list(open_folder.iterdir()) == []


def test_a_ledger_opened_for_reading_reads_and_refuses_to_write(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(make_sqlite_url(path))
    ledger.start_run(a_run())
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    only = Ledger(make_url(f"sqlite:///file:{path}?mode=ro&uri=true"))
    assert len(only.record(NIGHTLY)) == 5
    with pytest.raises(LedgerError, match="readonly database"):
        only.issue(NIGHTLY, "run-1", [an_issue("BBB")], at=AT)


def test_a_damaged_file_says_so(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is no database, and it is longer than a header" * 100)
    with pytest.raises(LedgerError, match=r"could not be opened .file is not a database"):
        Ledger(make_sqlite_url(path))


def test_a_server_that_dies_says_so_and_nothing_is_lost():
    from tests.worlds import postgres

    with postgres.running() as server:
        place = server.url()
        ledger = Ledger(place)
        ledger.start_run(a_run())
        ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
        server.process.kill()
        server.process.wait()
        with pytest.raises(LedgerError, match="could not be written"):
            ledger.issue(NIGHTLY, "run-1", [an_issue("BBB", cutoff=CUTOFF)], at=AT)
        server.start()
        assert ledger.issue(NIGHTLY, "run-1", [an_issue("BBB", cutoff=CUTOFF)], at=AT) == "issued"
        restarts = []

        def restart_within(_connection, _cursor, statement, *_):
            if statement.startswith("INSERT INTO forecasts") and not restarts:
                restarts.append(statement)
                server.stop()  # throws its clients out
                server.start()

        event.listen(ledger.engine, "after_cursor_execute", restart_within)
        models = [an_issue("CCC", model) for model in MODELS]
        with pytest.raises(LedgerError, match="could not be written"):
            ledger.issue(NIGHTLY, "run-1", models, at=AT)
        assert restarts
        assert set(ledger.record(NIGHTLY)["unique_id"]) == {"AAA", "BBB"}
        assert ledger.issue(NIGHTLY, "run-1", models, at=AT) == "issued"
        assert len(ledger.record(NIGHTLY)) == 5 * (2 + len(MODELS))
        assert ledger.verify()[0] == ()


def hold_file(path, connection):
    """Hold the write lock of an SQLite file until told to let go."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connection.send("held")
    connection.recv()
    other.execute("ROLLBACK")
    connection.send("let go")


def test_a_file_that_another_process_locks_is_waited_for_and_then_named(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(make_sqlite_url(path))
    ledger.start_run(a_run())
    ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.2)
    hasty = Ledger(make_sqlite_url(path))
    process, connection = begin(hold_file, path)
    assert connection.recv() == "held"
    assert len(ledger.record(NIGHTLY)) == 5, "who reads does not wait"
    with pytest.raises(
        LedgerError, match=r"could not be written .database is locked.; see to it and run again"
    ) as told:
        hasty.issue(NIGHTLY, "run-1", [an_issue("BBB")], at=AT)
    assert len(str(told.value).splitlines()) == 1
    monkeypatch.setattr(database, "WAIT_SECONDS", 60)
    Timer(0.3, connection.send, ["let go"]).start()
    assert ledger.issue(NIGHTLY, "run-1", [an_issue("BBB")], at=AT) == "issued"
    assert answer(process, connection) == "let go"
    assert len(ledger.record(NIGHTLY)) == 10
    assert ledger.verify()[0] == ()
