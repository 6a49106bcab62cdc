"""A settings file is read in one way by every command that takes one: what works for one works for all."""

import importlib
from pathlib import Path

import pytest

from s2squant.cli.app import main

COMMANDS = {
    "backtest": ["backtest"],
    "config": ["config"],
    "audit": ["audit"],
    "tune": ["tune"],
    "tune --tuning": ["tune", "--tuning"],
    "forecast": ["forecast"],
    "maintain": ["maintain", "--dry-run"],
    "up": ["up", "--nightly"],
    "flows/tune.py": [],
    "flows/tune.py --tuning": ["--tuning"],
    "flows/maintain.py": [],
    "flows/serve.py": ["--nightly"],
}
"""Every command that takes a settings file, up to the file."""

LEAVE_OUT = "or leave it out and the defaults hold"
BAD = {
    "absent.toml": (None, f"absent.toml does not exist; name a .toml or .json file, {LEAVE_OUT}"),
    "absent": (None, f"absent does not exist; name a .toml or .json file, {LEAVE_OUT}"),
    "file/below.toml": (None, f"file/below.toml does not exist; name a .toml or .json file, {LEAVE_OUT}"),
    "folder": (None, "folder is a folder; name the .toml or .json file in it"),
    "folder.toml": (None, "folder.toml is a folder; name the .toml or .json file in it"),
    "notes.txt": (b"seed = 1", f"notes.txt is no .toml or .json file; name a .toml or .json file, {LEAVE_OUT}"),
    "empty.toml": (b"", f"empty.toml is empty; write settings into it, {LEAVE_OUT}"),
    "mark.json": (b"\xef\xbb\xbf \n", f"mark.json is empty; write settings into it, {LEAVE_OUT}"),
    "utf16.toml": ("seed = 1".encode("utf-16"), "utf16.toml cannot be read as text; save it as UTF-8"),
    "utf16be.json": ('{"seed": 1}'.encode("utf-16-be"), "utf16be.json cannot be read as text; save it as UTF-8"),
    "rubbish.toml": (bytes(range(256)), "rubbish.toml cannot be read as text; save it as UTF-8"),
    "broken.toml": (b"seed = ", "broken.toml: not valid TOML (Invalid value (at end of document))"),
    "deep.json": (b"[" * 100_000, "deep.json: not valid JSON"),
    "list.json": (b"[1, 2]", "list.json: settings are a table of keys and values, not a list"),
    "marked.toml": (b"\xef\xbb\xbfunheard_of = 1", "marked.toml: unknown key 'unheard_of'; "),
    "marked.json": (b'\xef\xbb\xbf{"unheard_of": 1}', "marked.json: unknown key 'unheard_of'; "),
    "typo.toml": (b"unheard_of = 1", "typo.toml: unknown key 'unheard_of'; "),
    "line\nend.toml": (b"x = 1", "line end.toml: unknown key 'x'; "),
}


"""What a file of this name holds, and how the complaint starts; a marked file is read, as its unknown key shows."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with these files, in which nothing listens and nobody serves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "folder.toml"):
        (tmp_path / name).mkdir()
    for name, (content, _) in BAD.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)


def run(command: str, file: str) -> int:
    """The command on a file; a flow's own command where it is one."""
    flow, argv = command.partition(" ")[0], [*COMMANDS[command], file]
    if not flow.startswith("flows/"):
        return main(argv)
    by_hand = importlib.import_module(flow.removesuffix(".py").replace("/", ".")).main
    status: int = by_hand(argv)
    return status


@pytest.mark.parametrize("command", COMMANDS)
def test_a_settings_file_is_read_alike_by_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for file, (_, complaint) in BAD.items():
        assert run(command, file) == 2, file
        said, error = capsys.readouterr()
        assert said == "", file
        assert error.startswith(f"error: {complaint}"), file
        assert error.count("\n") == 1, file


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("universe.source=bogus", "unknown source 'bogus'"),
        ("universe.source=csv:nowhere", "nowhere"),
        ("universe.tickers=AAPLL", "did you mean AAPL"),
        ("universe.accept=stale runs", "did you mean 'stale run'?"),
        ('universe.calendars={AAPL = "XNYZ"}', "no calendar is called"),
    ],
)
def test_config_refuses_the_names_that_a_backtest_would(setting, says, capsys):
    assert main(["config", "--set", setting]) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert told.out == ""
