"""A run that is killed goes on where it stopped, and ends with the numbers it would have had."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from s2squant import study as line
from s2squant.runs.engines.local import WorkerPool
from s2squant.runs.folder import RunFolder
from s2squant.runs.jobs import Job, perform
from s2squant.study import backtest, open_run
from tests.worlds.runs import (
    COMMAND,
    TINY,
    check_report,
    check_sound,
    environment,
    experiment,
    few,
    files,
    hears_interrupts,
    manifest,
    options,
    write_prices,
)
from tests.worlds.runs import stock_days as days

TABLES = ("forecasts", "scores", "verdicts", "equity")


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    for seed, ticker in enumerate(("AAA", "BBB", "CCC")):
        write_prices(folder, ticker, days(), seed)
    return folder


@pytest.fixture(scope="module")
def undisturbed(prices, tmp_path_factory):
    return backtest(experiment(prices), tmp_path_factory.mktemp("whole") / "run", workers=0)[0]


def done_marks(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "work").glob("*.done.json")}


def same_numbers(one, other):
    for name in TABLES:
        tables = [pd.read_parquet(folder / f"{name}.parquet") for folder in (one, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
    models = [{path.name: path.read_bytes() for path in (folder / "models").iterdir()} for folder in (one, other)]
    assert models[0] == models[1]
    assert (one / "forecasts.parquet").read_bytes() == (other / "forecasts.parquet").read_bytes()
    assert {f for f in files(one) if "/" in f} == {f for f in files(other) if "/" in f}


class PlantedError(Exception):
    """The process dies here."""


@pytest.mark.slow
def test_broken_off_after_any_number_of_jobs(prices, undisturbed, tmp_path, monkeypatch):
    """In one process, four times: an error that no job catches, at a job's very end or before its done mark."""
    kept, save, before = [], RunFolder.save_part, {}
    run = tmp_path / "run"
    for after in (0, 1, 3, 5):

        def save_then_die(self, key, *rest, after=after):
            if len(kept) == after:
                raise KeyboardInterrupt
            save(self, key, *rest)
            kept.append(key)

        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "save_part", save_then_die)
            with pytest.raises(KeyboardInterrupt):
                backtest(experiment(prices), run, workers=0)
        assert not (run / "manifest.json").exists()
        marks = done_marks(run)
        assert len(marks) == after
        assert before.items() <= marks.items()  # what was finished has not been touched
        before = marks
    saved = []
    monkeypatch.setattr(RunFolder, "save_part", lambda self, key, *rest: saved.append(key) or save(self, key, *rest))
    results = []
    folder, study = backtest(experiment(prices), run, workers=0, on_result=results.append)
    assert study.status == manifest(folder)["status"] == "done"
    assert sorted(r.key for r in results if r.status == "kept") == sorted(kept)
    assert sorted(saved + kept) == sorted(r.key for r in results)
    assert len(results) == 6  # an anchor, two pooled nets, three tickers
    same_numbers(folder, undisturbed)
    check_sound(folder, prices)


@pytest.mark.slow
def test_broken_off_while_the_report_is_written(prices, tmp_path, monkeypatch):
    """Before anything is written, before the pages are, and when all is written but the manifest."""
    wanted, run = few(prices, "AAA", "BBB"), tmp_path / "run"
    whole, _ = backtest(wanted, tmp_path / "whole", workers=0)
    for place, name in ((line.Run, "_provenance"), (line.Run, "_write"), (RunFolder, "finish")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, lambda *a: (_ for _ in ()).throw(PlantedError))
            with pytest.raises(PlantedError):
                backtest(wanted, run, workers=0)
        assert not (run / "manifest.json").exists()
    results = []
    folder, _ = backtest(wanted, run, workers=0, on_result=results.append)
    assert {r.status for r in results} == {"kept"}
    for table in TABLES:
        assert (folder / f"{table}.parquet").read_bytes() == (whole / f"{table}.parquet").read_bytes()
    manifest(folder)
    check_report(folder)


class Killer(RunFolder):
    """A run's folder that kills the process writing the named parts: once each, or always."""

    def __init__(self, path, once=(), always=()):
        super().__init__(path)
        self.once, self.always = once, always

    def __reduce__(self):
        return Killer, (self.path, self.once, self.always)

    def save_part(self, key, *rest):
        mark = self.path / f"killed-{len(key)}-{key[-3:]}"
        if key in self.always or (key in self.once and not mark.exists()):
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().save_part(key, *rest)


@pytest.mark.slow
def test_a_killed_worker_takes_one_job_with_it_and_no_other(prices, tmp_path):
    """Two workers: AAA's is killed once, BBB's each time, CCC runs beside them; the numbers are a single process's."""
    whole, _ = backtest(few(prices), tmp_path / "whole", workers=0)
    with open_run(few(prices), tmp_path / "run", workers=0) as run:
        folder = Killer(tmp_path / "run", once=("ticker:AAA",), always=("ticker:BBB",))
        inputs = type(run.inputs)(**{**run.inputs.__dict__, "folder": folder})
        run._pool = WorkerPool(inputs, 2, perform)
        run.workers = 2
        results = {r.key: r for r in run.execute_all(run.stages[0])}
        assert (results["ticker:AAA"].status, results["ticker:CCC"].status) == ("done", "done")
        assert results["ticker:BBB"].status == "failed"
        assert results["ticker:BBB"].reason == "its process was killed twice (out of memory?)"
        study = run.finish()
    assert study.status == "partial"
    assert {t.ticker: t.status for t in study.tickers} == {"AAA": "ok", "BBB": "failed", "CCC": "ok"}
    mine, all_three = (pd.read_parquet(f / "forecasts.parquet") for f in (tmp_path / "run", whole))
    others = all_three[all_three["unique_id"] != "BBB"].reset_index(drop=True)
    others["unique_id"] = others["unique_id"].cat.remove_unused_categories()
    pd.testing.assert_frame_equal(mine, others, check_exact=True)


def test_a_closed_pool_starts_nothing(prices, tmp_path):
    with open_run(few(prices), tmp_path / "run", workers=0) as run:
        pool = WorkerPool(run.inputs, 1, perform)
        pool.close(cancel=True)
        assert pool.perform(Job("ticker", "XNYS", ticker="AAA")) == "the run was ended"
        assert not done_marks(tmp_path / "run")


# --- processes of their own ------------------------------------------------------------------------------------------


def processes():
    """Every running process: pid -> parent's pid; the dead that nobody has collected yet are left out."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (entry.split() for entry in listed.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def below(pid):
    """All processes that descend from one."""
    parents = processes()
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def start(prices, out, workers=2):
    argv = ["backtest", "--source", f"csv:{prices}", "--out", str(out), "--workers", str(workers), *options(TINY)]
    return subprocess.Popen(
        [*COMMAND, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=out.parent,
        preexec_fn=hears_interrupts,
    )


def wait_for(what, process, seconds=120):
    """Until `what` holds, while the process lives."""
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def all_gone(pids, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not set(pids) & set(processes()):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_sigkill_early_midway_and_late(prices, undisturbed, tmp_path):
    """Killed three times: workers die too, each attempt takes up the last one's parts, and the end is the same."""
    out, marks = tmp_path / "run", {}
    for least in (1, 3, 6):
        process = start(prices, out)
        wait_for(lambda least=least: len(done_marks(out)) >= least, process)
        workers = below(process.pid)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert workers
        assert all_gone(workers)
        assert not (out / "manifest.json").exists()
        now = done_marks(out)
        assert {name: now[name] for name in marks} == marks  # what was finished has not been touched
        marks = now
    assert len(marks) == 6
    process = start(prices, out)
    said, aside = process.communicate(timeout=240)
    assert process.returncode == 0, aside
    assert aside.count(": kept, ") == 6
    assert "report: " in said
    assert manifest(out)["status"] == "done"
    same_numbers(out, undisturbed)
    check_sound(out, prices)
    check_report(out)
    assert not [name for name in files(out) if name.endswith(".tmp") or name.startswith("work")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_at_once_and_goes_on_later(number, prices, undisturbed, tmp_path):
    """The signal reaches the command alone: its workers are ended by it, and none is started in their place."""
    out = tmp_path / "run"
    process = start(prices, out)
    wait_for(lambda: len(done_marks(out)) >= 1 and len(below(process.pid)) >= 2, process)
    workers = below(process.pid)
    process.send_signal(number)
    _, aside = process.communicate(timeout=60)
    assert process.returncode == 130
    assert aside.splitlines()[-1] == f"interrupted; the same command with --out {out} resumes"
    assert "Traceback" not in aside
    assert all_gone(workers)
    assert not (out / "manifest.json").exists()
    before = done_marks(out)
    process = start(prices, out, workers=1)
    _, aside = process.communicate(timeout=240)
    assert process.returncode == 0, aside
    assert aside.count(": kept, ") == len(before) >= 1
    same_numbers(out, undisturbed)


@pytest.mark.slow
def test_a_second_command_on_the_same_folder_is_refused(prices, tmp_path):
    out = tmp_path / "run"
    first = start(prices, out)
    wait_for(lambda: (out / "work" / "identity.json").exists(), first)
    second = start(prices, out)
    said, aside = second.communicate(timeout=120)
    assert (second.returncode, said) == (2, "")
    assert aside == f"error: {out}: another process is writing this run; wait for it or choose another --out\n"
    _, aside = first.communicate(timeout=240)
    assert first.returncode == 0, aside
    assert Path(out / "manifest.json").exists()
