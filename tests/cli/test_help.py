"""Every command has a place and an example that can be typed; what only looks leaves nothing behind."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from s2squant.cli import examination
from s2squant.cli.app import GROUPS, app, main

GROUP = typer.main.get_group(app)
COMMANDS = {
    **{name: command for name, command in GROUP.commands.items() if not hasattr(command, "commands")},
    **{f"prices {name}": command for name, command in GROUP.commands["prices"].commands.items()},
    **{f"ledger {name}": command for name, command in GROUP.commands["ledger"].commands.items()},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_has_an_example_that_it_reads(name):
    found = re.findall(r"Example: (s2squant .*)", COMMANDS[name].help)
    assert len(found) == 1
    words = shlex.split(found[0])
    called = ["s2squant", *name.split()]
    assert words[: len(called)] == called
    made = COMMANDS[name].make_context(name, words[len(called) :])
    assert made.params


def test_every_command_stands_in_one_group(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert [said.index(f" {group} ─") for group in GROUPS] == sorted(said.index(f" {group} ─") for group in GROUPS)
    assert {command.rich_help_panel for command in GROUP.commands.values()} == set(GROUPS)
    assert "s2squant predict AAPL MSFT" in said


@pytest.mark.parametrize(("name", "told"), [("prices", "data/prices, not made yet"), ("ledger", "data/ledger.sqlite")])
def test_a_group_alone_is_a_screen_that_helps(name, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2SQUANT_LEDGER", raising=False)
    assert main([name]) == 0
    said = capsys.readouterr()
    assert f"Example: s2squant {name}" in said.out
    assert told in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (["ledger", "export", "record.csv"], 2),
        (["replay", "20260101T000000Z-aaaaaa"], 2),
        (["maintain", "--dry-run"], 0),
        (["runs"], 0),
        (["open"], 2),
        (["doctor", "--offline"], 0),
        (["predict", "AAPL", "--source", "sample"], 0),
    ],
)
def test_what_only_reads_leaves_nothing_behind(given, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2SQUANT_LEDGER", raising=False)
    assert main(given) == status
    assert list(tmp_path.iterdir()) == []


def test_the_shell_completes_commands(monkeypatch, capsys):
    for name, value in {"COMPLETE": "complete_bash", "WORDS": "s2squant pr", "CWORD": "1"}.items():
        monkeypatch.setenv(f"_S2SQUANT_{name}" if name == "COMPLETE" else f"COMP_{name}", value)
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == ["predict", "pretrain", "prices"]


def test_the_doctor_names_what_is_wrong_and_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2SQUANT_LEDGER", raising=False)
    Path("data").write_text("a file")
    monkeypatch.setattr(examination, "PACKAGES", ("numpy", "no-such-package"))
    assert main(["doctor", "--offline"]) == 3
    said = capsys.readouterr().out
    assert "no-such-package missing: install s2squant again" in said
    assert "folder data: " in said
    assert "is a file: move it" in said
    assert said.endswith("2 of 8 wrong\n")


def test_the_doctor_says_who_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(examination, "YAHOO", "http://127.0.0.1:9/")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    found = {one.what: one for one in examination.examine(offline=False)}
    assert found["Yahoo"].state == found["Prefect server"].state == "optional"
    assert "csv:DIR" in found["Yahoo"].remedy
    assert "s2squant up" in found["Prefect server"].remedy
    assert list(tmp_path.iterdir()) == []
