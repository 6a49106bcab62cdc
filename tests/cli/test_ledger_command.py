"""s2squant ledger export: the record as a file for other programs."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest

from s2squant.cli import app as cli
from s2squant.nightly.ledger.database import make_sqlite_url
from s2squant.nightly.ledger.ledger import Ledger
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.worlds.ledgers import AT, NIGHTLY, a_run, an_issue, an_outcome


@pytest.fixture(autouse=True)
def ledger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2SQUANT_LEDGER", str(make_sqlite_url(tmp_path / "ledger.sqlite")))
    opened = Ledger()
    opened.start_run(a_run())
    for seed in range(2):
        opened.issue(NIGHTLY, "run-1", [an_issue(seed=seed)], at=AT)
    opened.score([an_outcome(1)], "run-1", at=AT)
    return opened


@pytest.mark.parametrize(("name", "read"), [("record.parquet", pd.read_parquet), ("record.csv", pd.read_csv)])
def test_the_live_record_is_written(name, read, capsys):
    assert cli.main(["ledger", "export", name]) == 0
    assert capsys.readouterr().out == f"5 rows of nightly, 1 with an outcome: {name}\n"
    table = read(name)
    assert list(table["step"]) == [1, 2, 3, 4, 5]
    issued = an_issue(seed=0)
    prices = table[list(QUANTILE_COLUMNS)].to_numpy(np.float32)
    np.testing.assert_allclose(prices, issued.close * np.exp(issued.quantiles_HQ), rtol=1e-5)
    assert list(pd.to_datetime(table["cutoff"]).dt.date.unique()) == [issued.cutoff]
    assert table["y"].notna().sum() == 1


def test_the_record_may_be_had_as_the_ledger_keeps_it():
    assert cli.main(["ledger", "export", "record.parquet", "--log-returns"]) == 0
    kept = pd.read_parquet("record.parquet")[list(QUANTILE_COLUMNS)].to_numpy(np.float32)
    np.testing.assert_allclose(kept, an_issue(seed=0).quantiles_HQ, rtol=1e-6)


def test_all_of_it_may_be_had(capsys):
    assert cli.main(["ledger", "export", "record.parquet", "--all"]) == 0
    assert list(pd.read_parquet("record.parquet")["reissue"]) == [0, 1] * 5


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["record.xlsx"], "is written to a .parquet or .csv file"),
        (["record.csv", "--nightly", "other"], "holds no forecast of 'other'"),
        (["/proc/none/record.csv"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_line(given, complaint, capsys):
    assert cli.main(["ledger", "export", *given]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.splitlines()) == 1


def test_of_several_nightlies_one_is_named(ledger, tmp_path, monkeypatch, capsys):
    ledger.start_run(a_run("run-2", nightly="other"))
    ledger.issue("other", "run-2", [an_issue()], at=AT)
    assert cli.main(["ledger", "export", "record.csv"]) == 2
    assert f"has several nightlies; add --nightly and one of {NIGHTLY}, other\n" in capsys.readouterr().err
    assert cli.main(["ledger", "export", "record.csv", "--nightly", "other"]) == 0
    assert capsys.readouterr().out == "5 rows of other, 0 with an outcome: record.csv\n"
    monkeypatch.setenv("S2SQUANT_LEDGER", str(make_sqlite_url(tmp_path / "empty.sqlite")))
    assert cli.main(["ledger", "export", "record.csv"]) == 2
    assert capsys.readouterr().err.endswith("s2squant forecast makes it with its first night\n")


def test_a_ledger_that_cannot_be_read_is_no_mistake_of_the_caller(tmp_path, monkeypatch, capsys):
    (tmp_path / "odd.sqlite").write_bytes(b"not a database, and long enough to look at" * 100)
    monkeypatch.setenv("S2SQUANT_LEDGER", str(make_sqlite_url(tmp_path / "odd.sqlite")))
    assert cli.main(["ledger", "export", "record.csv"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the ledger sqlite:///")
    assert len(said.splitlines()) == 1


def test_a_changed_ledger_is_told_and_not_exported(ledger, tmp_path, capsys):
    assert cli.main(["ledger", "verify"]) == 0
    said = capsys.readouterr().out
    assert "is what was entered: 4 entries, the last" in said
    assert cli.main(["ledger", "verify", "--noted", said.split()[-1]]) == 0
    with sqlite3.connect(tmp_path / "ledger.sqlite") as file:
        file.execute("DROP TRIGGER forecasts_no_update")
        file.execute("UPDATE forecasts SET close = 1 WHERE step = 2")
    file.close()
    capsys.readouterr()
    assert cli.main(["ledger", "verify"]) == 3
    assert "CHANGED forecasts: row 2 was changed (AAA 2024-03-01 2 anchor)" in capsys.readouterr().out
    assert cli.main(["ledger", "export", "record.csv"]) == 1
    assert "is not what was entered" in capsys.readouterr().err
    assert not (tmp_path / "record.csv").exists()
