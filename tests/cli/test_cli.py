"""The command line with a stand-in for the work: exit statuses, where each line goes, and what reaches the runner."""

import json
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from s2squant import cli
from s2squant.cli.progress import Watcher
from s2squant.cli.screen import leaderboard
from s2squant.config import models
from s2squant.config.experiment import Experiment
from s2squant.errors import SourceError
from s2squant.evaluation.results import Study, TickerReport

REPORT = (Path.cwd() / "runs/r1/index.html").as_uri()


def study(*tickers: TickerReport) -> Study:
    row = {
        "model": "blend",
        "kind": "blend",
        "crps": 1.5,
        "skill": 0.012,
        "effect": 0.012,
        "effect_low": -0.01,
        "effect_high": 0.034,
    }
    row |= {"won": 0.5, "coverage_50": 0.5, "coverage_80": 0.8, "coverage_95": float("nan"), "dm_t": 1.0, "dm_p": 0.25}
    empty = pd.DataFrame()
    return Study(
        experiment=Experiment(),
        run_id="r1",
        created_at="2026-01-01T00:00:00Z",
        status="done" if all(t.status == "ok" for t in tickers) else "partial",
        sentence="No evidence of skill.",
        word="no evidence",
        rule="",
        tickers=tickers,
        folds=(),
        histories={},
        forecasts=empty,
        scores=empty,
        verdicts=empty,
        leaderboard=pd.DataFrame([row | {"n": 10, "n_eff": 4.0}]),
        by_step=empty,
        by_ticker=empty,
        by_ticker_step=empty,
        over_time=empty,
        training=empty,
        weights=empty,
        equity=empty,
        provenance={},
    )


class Stub:
    """A Runner that tells the watcher a short story, or stops in the middle of it."""

    def __init__(self, *, fails: bool = False, error: BaseException | None = None, early: bool = False) -> None:
        self.fails, self.error, self.early = fails, error, early
        self.request: cli.Request | None = None

    def __call__(self, request: cli.Request, watcher: Watcher) -> None:
        self.request = request
        if self.error and self.early:
            raise self.error
        stages = ((SimpleNamespace(key="anchor:X", label="anchor of X"),), (SimpleNamespace(key="t:A", label="A"),))
        skipped = {"C": "too short"} if self.fails else {}
        watcher.opened(
            SimpleNamespace(
                folder=Path("runs/r1"),
                stages=stages,
                skipped=skipped,
                fold_table="the folds\n",
                unread=("mood",) if self.fails else (),
            )
        )
        watcher.finished(SimpleNamespace(key="anchor:X", status="kept", reason="", seconds=0.0))
        if self.error:
            raise self.error
        outcome = ("failed", "no convergence") if self.fails else ("done", "")
        watcher.finished(SimpleNamespace(key="t:A", status=outcome[0], reason=outcome[1], seconds=2.0))
        failed = [TickerReport("A", "failed", "no convergence"), TickerReport("C", "skipped", "too short")]
        watcher.written(Path("runs/r1"), study(TickerReport("B", "ok"), *(failed if self.fails else [])))


def test_a_finished_run_shows_folds_leaderboard_verdict_and_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backtest"], runner=Stub()) == 0
    out, err = capsys.readouterr()
    assert out.startswith("the folds\n")
    assert "+1.2 [-1.0, +3.4]" in out
    assert out.endswith(f"No evidence of skill.\nreport: {REPORT}\n")
    assert err.splitlines() == ["[1/2] anchor of X: kept, 0.0 s", "[2/2] A: done, 2.0 s"]


def test_the_leaderboard_calls_models_by_their_names_in_80_columns() -> None:
    every = study()
    rows = [every.leaderboard.assign(model=name) for name in models.MODELS]
    console = Console(width=80, record=True, file=StringIO())
    console.print(leaderboard(replace(every, leaderboard=pd.concat(rows))))
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert not [line for line in lines if "…" in line]
    assert [line for line in lines if line.endswith("0.250")] == [
        f"{models.label(name):21}  1.5000    +1.20  +1.2 [-1.0, +3.4]     50   80.0  0.250" for name in models.MODELS
    ]


def test_tickers_without_a_result_are_named_and_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backtest"], runner=Stub(fails=True)) == 3
    out, err = capsys.readouterr()
    assert "skipped C: too short\n" in out
    assert "failed A: no convergence\n" in out
    assert "skipped C: too short\n" in err
    assert "columns that are not read: mood; declare them as covariates to use them\n" in err
    assert "failed A: no convergence\n" in err


def test_json_is_all_of_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backtest", "--json"], runner=Stub(fails=True)) == 3
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["exit_status"], said["verdict"]) == ("partial", 3, "no evidence")
    assert said["tickers"] == {"ok": 1, "skipped": {"C": "too short"}, "failed": {"A": "no convergence"}}
    assert said["leaderboard"][0]["skill"] == 0.012
    assert said["leaderboard"][0]["coverage_95"] is None


def test_quiet_leaves_the_verdict_and_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backtest", "--quiet"], runner=Stub(fails=True)) == 3
    assert capsys.readouterr() == (f"No evidence of skill.\nreport: {REPORT}\n", "")


@pytest.mark.parametrize("early", [True, False])
def test_a_caller_error_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str], early: bool) -> None:
    error = SourceError("csv:x: no such folder;\ngive one")
    assert cli.main(["backtest", "--quiet"], runner=Stub(error=error, early=early)) == 2
    assert capsys.readouterr() == ("", "error: csv:x: no such folder; give one\n")


def test_our_own_fault_keeps_its_traceback_and_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backtest"], runner=Stub(error=ZeroDivisionError("planted"))) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: planted" in err
    assert "--out runs/r1 goes on from there" in err
    assert err.splitlines()[-1].startswith("error: a fault of s2squant, not of what was asked; look at ")
    assert "backtest.py:" in err.splitlines()[-1]


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backtest"], runner=Stub(error=KeyboardInterrupt())) == 130
    assert "interrupted; the same command with --out runs/r1 resumes\n" in capsys.readouterr().err
    assert cli.main(["backtest"], runner=Stub(error=KeyboardInterrupt(), early=True)) == 130
    assert "interrupted; nothing was written\n" in capsys.readouterr().err


def test_the_options_reach_the_runner(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 3\n[walk]\nhorizon = 5\n[universe]\nsource = 'sample'\n")
    stub = Stub()
    options = ["--source", "csv:a folder", "--tickers", "A, BRK-B,", "--start", "2001-02-03", "--seed", "7"]
    options += ["--set", "walk.cutoffs=30", "--set", "name=two words", "--out", "x/y", "--workers", "2"]
    assert cli.main(["backtest", str(file), *options], runner=stub) == 0
    assert stub.request is not None
    experiment = stub.request.experiment
    assert (experiment.seed, experiment.walk.horizon, experiment.walk.cutoffs) == (7, 5, 30)
    assert (experiment.universe.source, experiment.universe.tickers) == ("csv:a folder", ("A", "BRK-B"))
    assert (str(experiment.universe.start), experiment.name) == ("2001-02-03", "two words")
    assert (stub.request.out, stub.request.workers) == (Path("x/y"), 2)
    assert stub.request.command.startswith(f"s2squant backtest {file} --source 'csv:a folder' --tickers 'A, BRK-B,'")


def test_a_printed_experiment_is_an_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["config", "--set", "walk.horizon=4"]) == 0
    file = tmp_path / "experiment.json"
    file.write_text(capsys.readouterr().out)
    stub = Stub()
    assert cli.main(["backtest", str(file)], runner=stub) == 0
    assert stub.request is not None
    assert stub.request.experiment == Experiment.model_validate({"walk": {"horizon": 4}})


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["backtest", "absent.toml"], "absent.toml does not exist"),
        (["backtest", "."], "is a folder"),
        (["backtest", "notes.txt"], ".toml or .json"),
        (["backtest", "bad.toml"], "bad.toml: not valid TOML"),
        (["backtest", "bad.json"], "bad.json: not valid JSON"),
        (["backtest", "bytes.json"], "cannot be read as text"),
        (["backtest", "typo.toml"], "typo.toml: unknown key 'walk.horizn'; did you mean 'horizon'?"),
        (["backtest", "--set", "walk.horizon=0"], "walk.horizon: Input should be greater than or equal to 1"),
        (["backtest", "--set", "walk.horizon"], "--set walk.horizon: write it as dotted.key=value"),
        (["backtest", "--start", "soon"], "universe.start"),
        (["backtest", "--tickers", " , "], "--tickers names no ticker"),
        (["backtest", "--workers", "0"], "--workers"),
        (["backtest", "--tikers", "A"], "--tickers"),
        (["backtest", "--source"], "requires an argument"),
        (["backtset"], "Did you mean 'backtest'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("walk = [")
    Path("bad.json").write_text("{")
    Path("bytes.json").write_bytes(b"\xff\xfe\xff")
    Path("typo.toml").write_text("[walk]\nhorizn = 3")
    stub = Stub()
    assert cli.main(argv, runner=stub) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert says in err
    assert stub.request is None


def test_the_backtest_goes_by_another_name_too(capsys: pytest.CaptureFixture[str]) -> None:
    stub = Stub()
    assert cli.backtest_main(["--seed", "1"], runner=stub, program="python flows/backtest.py") == 0
    assert stub.request is not None
    assert stub.request.command == "python flows/backtest.py --seed 1"
    assert cli.backtest_main(["--help"], runner=stub, program="python flows/backtest.py") == 0
    assert "Usage: python flows/backtest.py [OPTIONS] [EXPERIMENT]" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["--help"], ["--version"], ["backtest", "--help"]])
def test_help_and_version_end_well(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    assert "s2squant" in capsys.readouterr().out


SLOW = {"torch", "pandas", "numpy", "scipy", "sqlalchemy", "prefect", "pyarrow", "optuna", "plotly", "httpx"}
"""What takes longer to import than all that a help text needs."""
MODELS = {"pydantic", "importlib.metadata", "s2squant.config.experiment"}
"""What checks settings; typer too checks options by pydantic, the version's and those of the group before a command."""


def slow_imports(*argv: str) -> set[str]:
    """Which of them are imported when a command has ended."""
    code = f"import sys; from s2squant.cli import main; main({argv}); print(*{SLOW | MODELS} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_a_help_text_waits_for_nothing_that_it_does_not_show() -> None:
    assert slow_imports("--help") == set()
    for argv in (("--version",), ("backtest", "--help"), ("maintain", "--help")):
        assert slow_imports(*argv) <= {"pydantic", "importlib.metadata"}
    assert slow_imports("config") <= MODELS
