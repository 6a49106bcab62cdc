"""The chain shows what was changed, added or taken out past the ledger, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from s2squant.errors import LedgerError
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import META
from tests.worlds.ledgers import AT, CUTOFF, NIGHTLY, a_run, an_issue, an_outcome


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path):
    """A ledger with something in every table."""
    if request.param == "sqlite":
        url = make_sqlite_url(tmp_path / "ledger.sqlite")
    else:
        url = request.getfixturevalue("postgres_server").emptied(Ledger, META.tables)
    made = Ledger(url)
    made.start_run(a_run())
    for seed, ticker in enumerate(("AAA", "BBB")):
        made.issue(NIGHTLY, "run-1", [an_issue(ticker, "anchor", seed=seed), an_issue(ticker, "blend")], at=AT)
    (first, second) = made.unscored(NIGHTLY, CUTOFF + timedelta(days=30))["id"][:2]
    made.score([an_outcome(first), an_outcome(second)], "run-1", at=AT)
    made.correct([an_outcome(first, 0.3) | {"number": 1}], "run-1", at=AT)
    made.miss(NIGHTLY, "run-1", "CCC", "XNYS", CUTOFF, "failed", "no prices", at=AT)
    made.note(NIGHTLY, "run-1", CUTOFF, "drift", "it drifts", at=AT)
    model = {"nightly": NIGHTLY, "kind": "market", "key": "XNYS", "session": CUTOFF, "version": "v", "parent": ""}
    made.add_model(model | {"how": "trained", "run_id": "run-1", "at": AT})
    made.end_run("run-1", "done", "", at=AT)
    return made


def past_the_ledger(ledger, *statements):
    """Carry out statements that the triggers would refuse."""
    with ledger.engine.execution_options(writes=True).begin() as connection:
        if connection.dialect.name == "sqlite":
            for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            connection.execute(text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(text(statement))


def test_what_was_entered_is_found_as_it_is(ledger):
    faults, entries, sha256 = ledger.verify()
    assert faults == ()
    assert ledger.verify(newest=3)[0] == ()
    assert ledger.verify(noted=sha256) == ((), entries, sha256)
    ledger.note(NIGHTLY, "run-1", CUTOFF, "stale", "old prices", at=AT)
    assert ledger.verify(noted=sha256)[:2] == ((), entries + 1)
    assert "no entry has the noted" in ledger.verify(noted="ab" * 32)[0][0]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE forecasts SET close = close * 2 WHERE ticker = 'AAA' AND step = 3",
            "forecasts: row 3 was changed (AAA",
        ),
        ("UPDATE forecasts SET ticker = 'ZZZ' WHERE id = 1", "forecasts: row 1 was changed (ZZZ"),
        ("UPDATE outcomes SET crps = 0.1", "outcomes: row"),
        ("UPDATE corrections SET y = 0", "corrections: row"),
        ("UPDATE events SET text = 'it does not'", "events: row"),
        ("UPDATE models SET version = 'w'", "models: row"),
        ("UPDATE runs SET status = 'failed'", "runs: run-1 was changed"),
        ("DELETE FROM gaps", "gaps: row 1 is missing"),
        ("DELETE FROM chain WHERE number = 3", "the chain: entries 3 to 3 are missing"),
        ("DELETE FROM chain WHERE number = (SELECT max(number) FROM chain WHERE table_name <> 'runs')", "the chain"),
        ("UPDATE chain SET subject = 'x' WHERE number = 2", "the chain: entry 2 was changed"),
        (
            "INSERT INTO events (nightly, session, kind, ticker, text, at, run_id) "
            "SELECT nightly, session, 'other', ticker, text, at, run_id FROM events",
            "events: 1 row(s) were added past the ledger",
        ),
    ],
)
def test_what_is_done_past_the_ledger_is_named(ledger, statement, says):
    past_the_ledger(ledger, statement)
    assert any(says in fault for fault in ledger.verify()[0]), ledger.verify()[0]


def test_an_end_that_was_cut_off_is_known_by_who_noted_it(ledger):
    _, entries, sha256 = ledger.verify()
    past_the_ledger(
        ledger, "DELETE FROM models", f"DELETE FROM chain WHERE number >= {entries - 1}",
        "UPDATE runs SET status = 'running', ended_at = NULL, message = ''",
    )  # fmt: skip
    assert ledger.verify()[0] == ()
    assert "its end was cut off" in ledger.verify(noted=sha256)[0][0]


def test_a_write_that_fails_leaves_neither_rows_nor_an_entry(ledger):
    before = ledger.verify()
    with pytest.raises(LedgerError):
        ledger.score([an_outcome(10**6)], "run-1", at=AT)
    assert ledger.verify() == before
