"""The agenda against a long ledger, in both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from s2squant.config.nightly import Nightly
from s2squant.nightly.agenda import agenda
from s2squant.nightly.ledger.ledger import Ledger
from tests.worlds.ledgers import NIGHTLY, a_run, an_issue, many_runs

FRIDAY = date(2024, 3, 1)
AT = datetime(2024, 3, 2, 1, 30, tzinfo=UTC)


def test_a_ticker_left_behind_is_missed_however_many_runs_came_since(ledger_place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    universe = {"source": "csv:prices", "tickers": ["A", "B"]}
    spec = Nightly.model_validate({"name": NIGHTLY, "experiment": {"universe": universe}})
    ledger = Ledger(ledger_place)
    ledger.start_run(replace(a_run("killed", at=AT), settings=spec.model_dump_json()))
    ledger.issue(NIGHTLY, "killed", [an_issue("A", cutoff=FRIDAY)], at=AT)
    many_runs(ledger, 1_100, after=AT + timedelta(hours=1))
    ledger.start_run(a_run("tonight", at=AT + timedelta(days=3)))
    ledger.issue(NIGHTLY, "tonight", [an_issue("A", cutoff=date(2024, 3, 4))], at=AT + timedelta(days=3))
    now = datetime(2024, 3, 5, 3, tzinfo=UTC)
    missed = [(gap.ticker, gap.cutoff) for gap in agenda(spec, ["A", "B"], ledger, scheduled=now, now=now).missed]
    assert missed == [("B", FRIDAY)]
