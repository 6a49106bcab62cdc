"""Mistakes, through the command itself: exit status 2, one line that says what to do, and nothing left behind."""

import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from s2squant.cli import app as cli
from s2squant.study import open_run
from tests.worlds.runs import (
    BARS,
    COMMAND,
    FEW,
    check_sound,
    environment,
    files,
    manifest,
    options,
    stock_days,
    write_prices,
)


def inline(request, watcher):
    """The command's own Runner without worker processes."""
    with open_run(request.experiment, request.out, workers=0, command=request.command) as run:
        watcher.opened(run)
        for result in run.execute_stages():
            watcher.finished(result)
        watcher.written(run.folder, run.finish())


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def backtest(*argv, source="csv:prices", out="run"):
    given = ["backtest", "--source", source, "--out", out, *options(FEW), *argv]
    return cli.main(given, runner=inline)


def refused(capfd, *argv, source="csv:prices", out="run"):
    """Run the command, which has to end with one line; returns the line."""
    before = files(Path.cwd())
    assert backtest(*argv, source=source, out=out) == 2
    said, complaint = capfd.readouterr()
    assert said == ""
    assert complaint.count("\n") == 1
    assert complaint.endswith("\n")
    assert complaint.startswith("error: ")
    assert "Traceback" not in complaint
    assert files(Path.cwd()) == before
    return complaint


def good(ticker="AAPL", seed=1, **bars):
    write_prices(Path("prices"), ticker, stock_days(), seed, **bars)


def bad(text, ticker="BAD"):
    Path("prices").mkdir(exist_ok=True)
    Path("prices", f"{ticker}.csv").write_text(text, encoding="utf-8")


DAYS = [str(day) for day in stock_days()]


def csv(prices):
    return "Date,Close\n" + "".join(f"{day},{price}\n" for day, price in zip(DAYS, prices, strict=False))


def steady():
    return [f"{100 + np.sin(k):.4f}" for k in range(BARS)]


def with_one(value):
    prices = steady()
    prices[500] = value
    return csv(prices)


BROKEN = {
    "empty": ("", "is empty"),
    "heading only": ("Date,Close\n", "no rows"),
    "one row": ("Date,Close\n2020-01-02,5\n", "at least 2"),
    "text": (csv(["n/k", *steady()[1:]]), f"price is 'n/k' on {DAYS[0]}"),
    "zero": (with_one("0"), f"price 0.0 on {DAYS[500]}"),
    "negative": (with_one("-3.5"), f"price -3.5 on {DAYS[500]}"),
    "infinite": (with_one("inf"), DAYS[500]),
    "twice": (csv(steady()) + f"{DAYS[3]},999\n", f"{DAYS[3]} stands twice"),
    "no date": (csv(steady()).replace(DAYS[7], "someday"), "'someday' is no date"),
    "no price": (csv(steady()).replace("Close", "Volume"), "no price column"),
    "binary": ("\x00\x01\x02", ""),
    "short": (csv(steady()[:300]), "too short"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_holds_no_usable_prices(case, here, capfd):
    text, says = BROKEN[case]
    bad(text)
    line = refused(capfd)
    assert says in line
    assert "BAD" in line


def test_bad_files_among_good_ones_are_named_each_and_the_rest_finishes(here, capfd):
    good("AAPL", 1)
    good("MSFT", 2)
    for case, (text, _) in BROKEN.items():
        bad(text, f"BAD {case}")
    assert backtest() == 3
    said, aside = capfd.readouterr()
    assert "Traceback" not in said + aside
    found = manifest(Path("run"))
    assert found["status"] == "partial"
    assert {t: entry["status"] for t, entry in found["tickers"].items()} == {
        "AAPL": "ok",
        "MSFT": "ok",
        **{f"BAD {case}": "skipped" if case == "short" else "failed" for case in BROKEN},
    }
    for case, (_, says) in BROKEN.items():
        reason = found["tickers"][f"BAD {case}"]["reason"]
        assert says in reason
        assert reason
        assert "\n" not in reason
        assert f"BAD {case}" in said
        assert reason in said
    assert set(check_sound(Path("run"), Path("prices"))["unique_id"]) == {"AAPL", "MSFT"}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("csv:absent", "csv:absent: no such folder"),
        ("csv:empty", "csv:empty: the folder holds no .csv file; put one TICKER.csv a ticker there"),
        ("parquet:prices", "it holds 1 .csv file(s): use csv:prices"),
        ("csv:", "names no folder"),
        ("cvs:prices", "did you mean csv?"),
        ("", "unknown source"),
        ("yfinance", "name tickers"),
    ],
)
def test_a_source_that_is_not_there(source, says, here, capfd):
    good()
    Path("empty").mkdir()
    assert says in refused(capfd, source=source)


@pytest.mark.parametrize(
    ("tickers", "says"),
    [
        ("APPL", "has no ticker 'APPL'; did you mean AAPL?"),
        ("AAPL,aapl", "has no ticker 'aapl'; did you mean AAPL?"),
        ("AAPL,AAPL", "tickers named twice: AAPL"),
        ("../../x", "has no ticker '../../x'"),
        ("/etc/passwd", "has no ticker '/etc/passwd'"),
        ("../prices/AAPL", "has no ticker"),
        ("<b>", "has no ticker '<b>'"),
        ("AAPL.csv", "did you mean AAPL?"),
        ("%s%n{0}", "has no ticker"),
        ("A\nB", "cannot be printed"),
        (".", "has no ticker '.'"),
    ],
)
def test_a_ticker_the_source_does_not_have(tickers, says, here, capfd):
    good()
    Path("x.csv").write_text(csv(steady()))
    assert says in refused(capfd, "--tickers", tickers)


@pytest.mark.parametrize("spelt", ["../../x", "<b>", "A B"])
def test_yahoo_is_not_asked_for_what_cannot_be_a_ticker(spelt, here, capfd):
    assert "is no Yahoo ticker" in refused(capfd, "--tickers", spelt, source="yfinance")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--set", "walk.horizon=200"], "walk.min_train"),
        (["--set", "walk.horizon=240", "--set", "walk.min_train=600"], "too short: 900 bars, 901 are needed"),
        (["--set", "walk.cutoffs=100"], "lower walk.cutoffs"),
        (["--set", "walk.horizon=0"], "walk.horizon"),
        (["--set", "walk.horizon=ten"], "walk.horizon"),
        (["--start", "2018-01-01"], "too short"),
        (["--start", "2030-01-01"], "0 bar(s) between 2030-01-01"),
        (["--start", "2018-01-01", "--end", "2017-01-01"], "is not before"),
        (["--end", "2015-13-01"], "universe.end"),
        (["--start", "2010"], "universe.start: write it as 2010-01-31 (given '2010')"),
        (["--start", "20100131"], "universe.start: write it as 2010-01-31 (given '20100131')"),
        (["--set", "universe.end=2010"], "universe.end: write it as 2010-01-31 (given 2010)"),
        (["--set", "universe.as_of=20261120"], "universe.as_of: write it as 2010-01-31 (given 20261120)"),
        (["--set", "universe.calendars.SAP.DE=XETR"], 'is quoted, as in universe.calendars={"SAP.DE" = "XETR"}'),
        (["--set", "forecasters.modles=['anchor']"], "unknown key 'forecasters.modles'; did you mean 'models'?"),
        (["--set", "forecasters.models=['anchr']"], "forecasters.models"),
        (
            ["--set", "universe={}", "--set", "universe.sauce='x'"],
            "unknown key 'universe.sauce'; did you mean 'source'?",
        ),
        (["--set", "walk=5"], "walk"),
        (["--seed", "-1"], "seed"),
        (["absent.toml"], "absent.toml does not exist"),
        (["typo.toml"], "typo.toml: unknown key 'walk.horizn'; did you mean 'horizon'?"),
        (["type.toml"], "type.toml: walk.window"),
        (["broken.toml"], "broken.toml: not valid TOML"),
        (["list.json"], "list.json: settings are a table of keys and values"),
        (["prices"], "is a folder"),
    ],
)
def test_a_plan_that_cannot_be_run(argv, says, here, capfd):
    good()
    Path("typo.toml").write_text("[walk]\nhorizn = 3\n")
    Path("type.toml").write_text("[walk]\nwindow = 'round'\n")
    Path("broken.toml").write_text("[walk\nhorizon = 3\n")
    Path("list.json").write_text("[1, 2]")
    if argv[0].startswith("--set") and argv[1] == "walk.horizon=200":
        argv = [*argv, "--set", "walk.min_train=300", "--set", "walk.cutoffs=2"]
    assert says in refused(capfd, *argv)


def test_an_out_folder_that_cannot_be_used(here, capfd):
    good()
    Path("file").write_text("mine")
    Path("foreign").mkdir()
    Path("foreign", "notes.txt").write_text("mine")
    Path("thesis", "work").mkdir(parents=True)
    Path("thesis", "work", "chapter.txt").write_text("mine")
    assert "file: not a folder" in refused(capfd, out="file")
    assert "cannot be written" in refused(capfd, out="file/run")
    assert "not empty and not a run of ours" in refused(capfd, out="foreign")
    assert "not empty and not a run of ours" in refused(capfd, out="thesis")
    assert "not empty and not a run of ours" in refused(capfd, out=".")
    assert "cannot be written" in refused(capfd, out="x" * 300)
    assert Path("file").read_text() == Path("foreign", "notes.txt").read_text() == "mine"


def test_a_finished_run_is_not_overwritten(here, capfd):
    good()
    assert backtest() == 0
    before = {name: Path("run", name).stat().st_mtime_ns for name in files(Path("run"))}
    capfd.readouterr()
    assert "run: holds a finished run" in refused(capfd)
    assert {name: Path("run", name).stat().st_mtime_ns for name in files(Path("run"))} == before


def test_a_hostile_file_name_is_a_ticker_like_any_other(here, capfd):
    for seed, name in enumerate(("<b>", "x..y", "a b&c", "-rf", "=cmd()")):
        good(name, seed)
    assert backtest() == 0
    assert files(here) - {n for n in files(here) if n.startswith(("run", "prices"))} == set()
    table = check_sound(Path("run"), Path("prices"))
    assert set(table["unique_id"]) == {"<b>", "x..y", "a b&c", "-rf", "=cmd()"}
    assert len(list(Path("run", "tickers").iterdir())) == 5
    for page in (Path("run", "index.html"), *Path("run", "tickers").iterdir()):
        assert "<b>" not in page.read_text(encoding="utf-8")


def test_the_report_of_a_partial_run_names_who_is_missing_and_why(here, capfd):
    good()
    bad(with_one("0"), "<i>")
    assert backtest("--json") == 3
    said = json.loads(capfd.readouterr().out)
    reason = said["tickers"]["failed"]["<i>"]
    assert f"price 0.0 on {DAYS[500]}" in reason
    index = Path("run", "index.html").read_text(encoding="utf-8")
    assert "&lt;i&gt;" in index
    assert f"price 0.0 on {DAYS[500]}" in index


def test_the_same_in_a_process_of_its_own(here):
    good()
    before = files(here)
    command = [*COMMAND, "backtest", "--tickers", "../../x", "--source", "csv:prices", "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment())
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert files(here) == before


def test_prices_changed_between_two_attempts_are_not_mixed(here, capfd, monkeypatch):
    good()
    assert backtest() == 0
    Path("run", "manifest.json").unlink()
    capfd.readouterr()
    assert "not empty and not a run of ours" in refused(capfd)  # its parts are gone: nothing to go on from


def test_parts_from_other_prices_are_refused(here, capfd, monkeypatch):
    good()
    with monkeypatch.context() as patch:
        patch.setattr("s2squant.study.Run.finish", lambda self: (_ for _ in ()).throw(RuntimeError("planted")))
        assert backtest() == 1
    assert "planted" in capfd.readouterr().err
    frame = pd.read_csv("prices/AAPL.csv")
    frame.loc[5, "Close"] *= 1.0001
    frame.to_csv("prices/AAPL.csv", index=False)
    assert "parts of a different run (settings, prices or version differ)" in refused(capfd)
    good()
    assert "parts of a different run" in refused(capfd, "--seed", "1")
    assert backtest() == 0


@pytest.fixture
def nobody(here, capfd):
    """As one who may not read everything, which root may; the store here holds a ticker closed to all."""
    here.chmod(0o777)
    root = os.geteuid() == 0
    good("WARM")  # what is imported late may be out of reach then
    for name in ("nightly.operation.server", "nightly.operation.upkeep", "nightly.night", "tuning.search"):
        importlib.import_module(f"s2squant.{name}")
    assert cli.main(["prices", "check", "prices"]) == 0
    assert cli.main(["fetch", "AAPL", "--source", "sample", "--store", "store"]) == 0
    next(Path("store").rglob("manifest.json")).chmod(0)
    shutil.rmtree("prices")
    if root:
        os.seteuid(65534)
    capfd.readouterr()
    yield
    if root:
        os.seteuid(0)


FORMS = {
    "csv": ["backtest", "--source", "csv:locked/prices"],
    "parquet": ["backtest", "--source", "parquet:locked/prices"],
    "store": ["backtest", "--source", "store:locked/store"],
    "out": ["backtest", "--source", "csv:prices", "--out", "locked/run", *options(FEW)],
    "experiment": ["backtest", "locked/experiment.toml"],
    "check": ["prices", "check", "locked/prices"],
    "show": ["prices", "show", "AAPL", "--source", "csv:locked/prices"],
    "report": ["report", "locked/run"],
    "report out": ["report", "run", "--out", "locked/pages"],
    "audit": ["audit", "locked/run"],
    "universe": ["fetch", "--universe", "locked/list.txt"],
    "fetch": ["fetch", "AAPL", "--source", "sample", "--store", "locked/store"],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_below_one_that_may_not_be_entered_is_one_line(form, here, nobody, capfd):
    good()
    locked = Path("locked")
    for name in ("prices", "store", "run"):
        (locked / name).mkdir(parents=True)
    locked.chmod(0)
    Path("run").mkdir()
    try:
        status = cli.main(FORMS[form], runner=inline)
    finally:
        locked.chmod(0o700)
    said, complaint = capfd.readouterr()
    assert (status, said) == (2, "")
    assert complaint.count("\n") == 1
    assert complaint.startswith("error: ")
    if form != "report out":
        assert "locked" in complaint
        assert "ermission" in complaint


def test_a_file_that_may_not_be_read_is_told_so(here, nobody, capfd):
    good("AAPL", 1)
    good("MSFT", 2)
    Path("list.txt").write_text("AAPL")
    Path("e.toml").write_text("seed = 1")
    for path in (Path("prices", "MSFT.csv"), Path("list.txt"), Path("e.toml")):
        path.chmod(0)
    assert cli.main(["prices", "check", "prices"]) == 3
    assert "MSFT: MSFT.csv cannot be read (Permission denied); see to its permissions" in capfd.readouterr().out
    assert cli.main(["fetch", "--universe", "list.txt"]) == 2
    assert "list.txt cannot be read (Permission denied); see to its permissions" in capfd.readouterr().err
    for argv in (["config"], ["forecast"], ["maintain"], ["tune", "--tuning"], ["up", "--nightly"]):
        assert cli.main([*argv, "e.toml"]) == 2
        assert capfd.readouterr().err == "error: e.toml cannot be read (Permission denied); see to its permissions\n"
    assert cli.main(["prices", "check", "store"]) == 3
    assert "cannot be read (Permission denied); see to the permissions of store/1d/AAPL-" in capfd.readouterr().out
