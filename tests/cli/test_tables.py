"""Tables at the terminal: dates and numbers stay whole, whatever a ticker is called."""

import pytest

from s2squant.cli.tables import plain_console, plain_table


@pytest.mark.parametrize("ticker", ["YFGROUPTICKER", "A" * 200])
def test_a_long_name_takes_lines_not_the_other_columns(ticker, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    table = plain_table("ticker", "calendar", "first", "last", ">bars", ">notes", ">warnings", ">errors")
    table.add_row(ticker, "XNYS", "2022-09-14", "2025-06-30", "12,700", "1", "2", "3")
    plain_console().print(table)
    said = capsys.readouterr().out
    for whole in ("XNYS", "2022-09-14", "2025-06-30", "12,700", "warnings", "errors"):
        assert whole in said
    assert "…" not in said
    assert said.count("A" if ticker[0] == "A" else "YF") == (200 if ticker[0] == "A" else 1)
    assert all(len(line) <= 80 for line in said.splitlines())
