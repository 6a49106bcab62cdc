"""s2squant reproduce: where files go, what is refused, and what is printed; the experiment itself is a stand-in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s2squant.cli import app as cli
from s2squant.errors import RunError
from s2squant.experiments import copy_task
from s2squant.experiments.result import Goal, Result
from s2squant.report.sections import Section

FIGURES = {
    "loss": np.float64(0.00012),
    "examples": np.int64(300100),
    "missing": None,
    "nowhere": float("nan"),
    "by_length": {9: 0.5},
    "members": [{"name": "plain"}],
    "a figure whose name takes more than the eighty columns of a terminal, as names of goals do": 1.302e-24,
}
GOALS = (
    Goal("fast", 2.0, "at most", 3.0, "a wish"),
    Goal("right", np.float64(0.5), "at least", 0.9, "the literature"),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Replaces the copy experiment; holds how it was asked."""
    calls: list[tuple[bool, int]] = []

    def stand_in(progress, *, quick=False, seed=0):
        calls.append((quick, seed))
        progress("half way", 0.5)
        return Result("Title", "Does it work?", "It works.", {"own": 1}, GOALS, (Section("One"),), FIGURES)

    monkeypatch.setattr(copy_task, "run", stand_in)
    return calls


def test_it_writes_a_page_and_its_figures_last(asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page"
    assert cli.main(["reproduce", "copy", "--out", str(out), "--quick", "--seed", "5"]) == 0
    assert asked == [(True, 5)]
    said, news = capsys.readouterr()
    assert "[ 50 %] half way" in news
    assert said.endswith(f"It works.\npage: {(out / 'index.html').absolute().as_uri()}\n")
    rows = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in said.splitlines() if "  " in line.strip()}
    assert rows["loss"] == "0.00012"
    assert "1.302e-24" in said
    assert rows["examples"] == "300,100"
    assert rows["goals met: fast"] == "yes"
    assert rows["goals met: right"] == "no"
    assert rows["by length: 9"] == "0.5"
    assert "members" not in rows
    held = json.loads((out / "result.json").read_text())
    assert held["figures"]["loss"] == 0.00012
    assert held["figures"]["nowhere"] is None
    assert held["figures"]["by_length"] == {"9": 0.5}
    assert (held["experiment"], held["seed"], held["quick"]) == ("copy", 5, True)
    assert {"torch", "python", "s2squant"} <= set(held["versions"])
    assert held["seconds"] >= 0
    assert held["command"] == f"s2squant reproduce copy --out {out} --quick --seed 5"
    text = (out / "index.html").read_text()
    assert "reproduce copy" in text
    assert "own" in text
    assert "Does it work?" in text
    assert "1 of 2 goals met; missed: right." in text
    assert (out / "assets" / "report.js").exists()
    newest = max(out.rglob("*"), key=lambda path: path.stat().st_mtime_ns if path.is_file() else 0)
    assert newest == out / "result.json"


def test_its_own_folder_is_written_again_and_is_unfinished_meanwhile(
    asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page"
    assert cli.main(["reproduce", "copy", "--out", str(out)]) == 0
    assert cli.main(["reproduce", "copy", "--out", str(out)]) == 0

    def stopped(progress, *, quick=False, seed=0):
        raise KeyboardInterrupt

    monkeypatch.setattr(copy_task, "run", stopped)
    assert cli.main(["reproduce", "copy", "--out", str(out)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (out / "result.json").exists()


def test_a_refused_run_leaves_what_is_finished(
    asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a zoo in the folder of one with other settings."""
    out = tmp_path / "page"
    assert cli.main(["reproduce", "copy", "--out", str(out)]) == 0
    held = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def refused(progress, *, quick=False, seed=0):
        raise RunError("parts of a different run; choose another --out")

    monkeypatch.setattr(copy_task, "run", refused)
    assert cli.main(["reproduce", "copy", "--out", str(out), "--seed", "3"]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert held == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_without_out_it_goes_below_reports(asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["reproduce", "copy"]) == 0
    assert (tmp_path / "reports" / "reproduce" / "copy" / "result.json").exists()


@pytest.mark.parametrize(
    ("inside", "complaint"),
    [
        ({"notes.txt": "mine"}, "no experiment of ours"),
        ({"reproduce.json": "{"}, "no experiment of ours"),
        ({"reproduce.json": "[]"}, "no experiment of ours"),
        ({"reproduce.json": '{"experiment": "waves"}'}, "holds the experiment waves"),
    ],
)
def test_a_folder_of_something_else_is_left_alone(
    asked, tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: dict[str, str], complaint: str
) -> None:
    for name, text in inside.items():
        (tmp_path / name).write_text(text)
    assert cli.main(["reproduce", "copy", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert "choose another --out" in err
    assert err.count("\n") == 1
    assert not asked
    assert {path.name for path in tmp_path.iterdir()} == set(inside)


def test_a_file_is_no_folder(asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("")
    assert cli.main(["reproduce", "copy", "--out", str(tmp_path / "x")]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert cli.main(["reproduce", "copy", "--out", str(tmp_path / "x" / "y")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_unknown_experiment_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reproduce", "sort"]) == 2
    assert "sort" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    program = "import sys; from s2squant import cli; cli.main(['reproduce', '--help']); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"}
    )
    assert done.stdout.strip().endswith("False")
    assert "sine" in done.stdout
