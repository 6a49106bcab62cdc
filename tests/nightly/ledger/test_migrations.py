"""A ledger is built once, by migrations that come to the tables the code knows, whoever else is at it."""

from __future__ import annotations

import logging
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Date, event, inspect, text
from sqlalchemy.exc import DBAPIError

from s2squant.errors import LedgerError
from s2squant.nightly.ledger import chain, migrations
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.nightly.ledger.tables import META, Key
from tests.worlds.ledgers import AT, CUTOFF, NIGHTLY, a_run, an_issue, an_outcome, answer, begin, open_it


def test_the_migrations_come_to_the_tables_that_the_code_knows(ledger_place):
    ledger = Ledger(ledger_place)
    with ledger.engine.connect() as connection:
        options = {"version_table": migrations.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, META) == []
        indexes = {(t, i["name"]) for t in META.tables for i in inspect(connection).get_indexes(t)}
        uniques = {u["name"] for t in META.tables for u in inspect(connection).get_unique_constraints(t)}
        foreign = {f["name"] for t in META.tables for f in inspect(connection).get_foreign_keys(t)}
    assert {("runs", "ix_runs_nightly_started_at"), ("forecasts", "ix_forecasts_run_id")} <= indexes
    assert uniques >= {"uq_forecasts", "uq_gaps", "uq_models", "uq_events"}
    assert foreign >= {"fk_outcomes_forecast_id", "fk_forecasts_run_id"}


def test_the_newest_revision_is_the_one_that_the_code_names():
    script = ScriptDirectory.from_config(migrations.configuration())
    assert script.get_heads() == [migrations.HEAD]


def test_opened_again_it_asks_one_question(ledger_place):
    engine = Ledger(ledger_place).engine
    asked = []
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    migrations.upgrade(engine)
    assert [statement for statement in asked if not statement.startswith("BEGIN")] == [
        "SELECT version_num FROM ledger_version"
    ]


def test_alembic_is_not_even_imported_for_a_ledger_that_stands(tmp_path, monkeypatch):
    url = make_sqlite_url(tmp_path / "ledger.sqlite")
    Ledger(url)
    for name in [name for name in sys.modules if name.partition(".")[0] == "alembic"]:
        monkeypatch.delitem(sys.modules, name)
    Ledger(url)
    assert "alembic" not in sys.modules


def test_a_later_ledger_is_refused(ledger_place):
    ledger = Ledger(ledger_place)
    with ledger.engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("UPDATE ledger_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match=r"written by a later s2squant \(its revision is 9999, the newest known here"):
        Ledger(ledger_place)


def test_tables_of_another_program_are_left_alone(ledger_place):
    first = Ledger(ledger_place)
    with first.engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("DROP TABLE ledger_version"))
    with pytest.raises(
        LedgerError, match=r"tables of another program \(chain, corrections, events, forecasts, .*; give the ledger one"
    ):
        Ledger(ledger_place)


def test_another_program_s_alembic_may_share_the_database(ledger_place):
    other = Ledger(ledger_place.set(database=ledger_place.database)).engine
    with other.execution_options(writes=True).begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('abc')"))
    assert Ledger(ledger_place).runs() == ()


def test_a_migration_that_fails_leaves_nothing(ledger_place, monkeypatch):
    def fail(connection):
        real(connection)
        raise LedgerError("in the middle")

    real = migrations._migrate
    monkeypatch.setattr(migrations, "_migrate", fail)
    with pytest.raises(LedgerError, match="in the middle"):
        Ledger(ledger_place)
    monkeypatch.undo()
    ledger = Ledger(ledger_place)
    ledger.start_run(a_run())
    assert ledger.issue(NIGHTLY, "run-1", [an_issue()], at=AT) == "issued"


def test_a_ledger_of_the_first_revision_is_upgraded_as_it_stands(ledger_place, monkeypatch):
    with monkeypatch.context() as old:
        old.setattr(migrations, "HEAD", "0001")
        old.setattr(migrations, "_migrate", _to_the_first)
        for name in ("seal", "seal_run"):  # which that version did not know
            old.setattr(chain, name, lambda *given: None)
        if ledger_place.get_backend_name() == "postgresql":  # where keys were dates
            old.setattr(Key, "load_dialect_impl", lambda _, dialect: dialect.type_descriptor(Date()))
            old.setattr(Key, "process_bind_param", lambda _, value, dialect: value)
        before = Ledger(ledger_place)
        assert "corrections" not in inspect(before.engine).get_table_names()
        before.start_run(a_run())
        before.issue(NIGHTLY, "run-1", [an_issue()], at=AT)
        before.score([an_outcome(1, 0.1), an_outcome(2, 0.2)], "run-1", at=AT)
    ledger = Ledger(ledger_place)
    assert ledger.verify()[:2] == ((), 3)  # forecasts, outcomes and the run, entered as they stood
    assert list(ledger.record(NIGHTLY)["y"].dropna()) == [0.1, 0.2]
    assert ledger.live_cutoffs(NIGHTLY) == {("AAA", CUTOFF): "run-1"}, "a day is a day"
    assert ledger.correct([an_outcome(2, 0.3) | {"number": 1}], "run-1", at=AT) == 1
    assert list(ledger.record(NIGHTLY)["y"].dropna()) == [0.1, 0.3]
    with pytest.raises(DBAPIError, match="never changed"), ledger.engine.begin() as connection:
        connection.execute(text("UPDATE corrections SET y = 0"))


def _to_the_first(connection):
    config = migrations.configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


def test_several_processes_make_it_at_once(ledger_place):
    started = [begin(open_it, ledger_place) for _ in range(4)]
    for _, connection in started:
        assert connection.recv() == "ready"
    for _, connection in started:
        connection.send("go")
    assert [answer(*one) for one in started] == ["opened"] * 4
    assert Ledger(ledger_place).runs() == ()


def test_logging_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n[loggers]\nkeys = root\n")
    root, ours = logging.getLogger(), logging.getLogger("s2squant.some")
    before = (root.level, list(root.handlers), ours.disabled, logging.getLogger("alembic").level)
    Ledger(make_sqlite_url(tmp_path / "100% new" / "ledger.sqlite"))
    assert (root.level, list(root.handlers), ours.disabled, logging.getLogger("alembic").level) == before
