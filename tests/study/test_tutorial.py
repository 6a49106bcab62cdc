"""docs/extending.md, word by word: its files in a fresh folder outside the repository, its commands one by one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from s2squant.cli.app import forecast_main
from s2squant.cli.commands.forecast import NightRequest
from s2squant.cli.progress import Watcher
from s2squant.nightly.night import NightRun, open_night
from s2squant.nightly.results import Night
from tests.worlds.nightly_sim import HASTY, Clock, at_close, at_yahoo
from tests.worlds.runs import COMMAND, environment

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (s2squant .*|python .*)$", PAGE, flags=re.MULTILINE)


def blocks() -> dict[str, str]:
    """The page's files by name, from the line before each block; what is to be added to one is added."""
    files: dict[str, str] = {}
    for name, text in re.findall(r"`([a-z]+\.(?:py|toml))`:\n\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL):
        files[name] = files.get(name, "") + ("\n\n" if name in files else "") + text
    return files


@pytest.fixture
def folder(tmp_path):
    for name, text in blocks().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(line)
    command = [*COMMAND, *words[1:]] if words[0] == "s2squant" else [COMMAND[0], *words[1:]]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


def test_the_page_is_short_and_has_its_files():
    files = blocks()
    assert set(files) == {"mine.py", "experiment.toml", "nightly.toml", "use.py"}
    model, feature = files["mine.py"].split("def momentum")
    assert len([line for line in model.partition("@dataclass")[2].splitlines() if line.strip()]) <= 20
    assert len(feature.strip().splitlines()) <= 10
    assert len(COMMANDS) == 4


@pytest.mark.slow
def test_the_audit_of_the_page_s_model_is_sound(folder):
    done = run(folder, COMMANDS[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed   contract") == 7
    assert "audit: sound" in done.stdout


@pytest.mark.slow
def test_the_backtest_of_the_page(folder):
    done = run(folder, COMMANDS[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine:Steady" in done.stdout
    audit = pd.read_parquet(folder / "run" / "tables" / "audit.parquet").set_index("model")["outcome"]
    assert audit[["mine:Steady", "ridge", "mine:momentum.sum 5", "mine:momentum.sum 60"]].tolist() == ["passed"] * 4
    assert json.loads((folder / "run" / "manifest.json").read_text())["status"] == "done"


def that_evening(request: NightRequest, watcher: Watcher[NightRun, Night]) -> None:
    """Carry a night out as the command does, on an evening of the past, in a worker process."""
    when = at_close("2025-11-25")
    with open_night(request.nightly, scheduled=when, clock=Clock(when), workers=1, fetching=HASTY) as night:
        watcher.opened(night)
        for result in night.execute_stages():
            watcher.finished(result)
        watcher.written(night.folder, night.finish())


@pytest.mark.slow
def test_the_nightly_of_the_page(folder, monkeypatch, capsys):
    text = (folder / "nightly.toml").read_text().replace('"EURUSD"', '"MSFT"')  # which the local Yahoo knows
    (folder / "nightly.toml").write_text(text)
    words = shlex.split(COMMANDS[2])
    with at_yahoo(folder, monkeypatch, today="2025-11-25"):
        assert forecast_main([*words[2:], "--json"], nights=that_evening, program="s2squant forecast") == 0
        night = json.loads(capsys.readouterr().out)
        done = run(folder, f"s2squant replay {night['run_id']}")
    assert "identical, bit by bit" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_the_script_of_the_page(folder):
    done = run(folder, COMMANDS[3])
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("True")
    assert "mine:Steady-lo-80" in done.stdout
