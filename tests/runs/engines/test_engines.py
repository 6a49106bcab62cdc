"""Engines: who carries a run's jobs out decides no number, loses no run with a worker, and listens to nobody else."""

import ipaddress
import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from s2squant.cli.app import main
from s2squant.config.files import make_experiment
from s2squant.errors import CallerError, ConfigError
from s2squant.runs.engines import choose as engines
from s2squant.runs.engines import on_dask as dask_pool
from s2squant.runs.engines import run_inputs, time_limit
from s2squant.runs.engines.cluster import ClusterPool
from s2squant.runs.engines.local import WorkerPool
from s2squant.runs.engines.on_dask import DaskPool
from s2squant.runs.engines.on_ray import RayPool
from s2squant.runs.engines.run_inputs import read_inputs, write_inputs
from s2squant.runs.engines.worker import KILLED, carry_out
from s2squant.study import backtest, open_run
from tests.worlds.chores import Chore, job_spec, perform
from tests.worlds.runs import COMMAND, TINY, environment, every_day, hears_interrupts, options, stock_days, write_prices

RAY = pytest.param("ray", marks=pytest.mark.slow)
MODELS = {"models": ["historical_simulation", "random_walk", "anchor", "seq2seq_per_ticker", "seq2seq_pooled", "blend"]}
SMALL = TINY | {"forecasters": TINY["forecasters"] | MODELS}


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    for seed, ticker in enumerate(("AAA", "BBB", "CCC")):
        write_prices(folder, ticker, stock_days(), seed)
    return folder


def experiment(prices, **changes):
    return make_experiment({"universe": {"source": f"csv:{prices}"}} | SMALL | changes)


@pytest.fixture
def pool(request, tmp_path):
    """Two workers of the engine that the test names."""
    match request.param:
        case "local":
            made = WorkerPool(tmp_path, 2, perform)
        case "dask":
            made = DaskPool(job_spec(tmp_path), 2)
        case "ray":
            made = RayPool(job_spec(tmp_path), 2)
    yield made
    made.close(cancel=True)


def attempts(folder, name):
    return [line.split() for line in (folder / name).read_text().splitlines()]


OTHERS: set[int] = set()
"""Processes that other tests of this process have started, a database among them."""


@pytest.fixture(autouse=True)
def others():
    OTHERS.clear()
    OTHERS.update(process.pid for process in psutil.Process().children(recursive=True))


def below(process=None):
    """The processes below one that do some work: not what the interpreter starts to tidy up after itself."""
    found = [p for p in (process or psutil.Process()).children(recursive=True) if p.pid not in OTHERS]
    return [p for p in found if p.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(p.cmdline())]


def all_gone(found, seconds=30):
    _, alive = psutil.wait_procs(found, seconds)
    return not alive


# --- workers that die ------------------------------------------------------------------------------------------------


@pytest.mark.slow  # test_resume.py holds the local workers to the same, with a run's own jobs
@pytest.mark.parametrize("pool", ["local", "dask", "ray"], indirect=True)
def test_a_killed_worker_loses_one_attempt_of_one_job(pool, tmp_path, capfd):
    """Killed once: tried again. Each time: that job alone fails. One thread each, inputs loaded once a process."""
    chores = [Chore("once", kills=1), Chore("always", kills=9), Chore("bad", error="no\nsuch"), Chore("fine")]
    with ThreadPoolExecutor(2) as threads:
        reasons = dict(zip((c.name for c in chores), threads.map(pool.perform, chores), strict=True))
    assert reasons == {"once": "", "always": KILLED, "bad": "ValueError: no such", "fine": ""}
    assert [len(attempts(tmp_path, c.name)) for c in chores] == [2, 2, 1, 1]
    assert {line[1] for c in chores for line in attempts(tmp_path, c.name)} == {"1"}
    assert os.getpid() not in {int(line[0]) for c in chores for line in attempts(tmp_path, c.name)}
    if (tmp_path / "loads").exists():
        loads = (tmp_path / "loads").read_text().split()
        assert len(loads) == len(set(loads))
    pool.close()
    pool.close(cancel=True)  # again, as a run does
    assert pool.perform(Chore("late")) == "the run was ended"
    assert not (tmp_path / "late").exists()
    assert capfd.readouterr() == ("", "")


def sockets_of(process):
    """None of a process that has ended meanwhile."""
    try:
        return process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["dask", RAY], indirect=True)
def test_nothing_listens_or_speaks_beyond_loopback_and_all_ends_at_once(pool, tmp_path, capfd):
    """One worker has been killed before, and another is at work."""
    assert pool.perform(Chore("once", kills=1)) == ""
    assert len(attempts(tmp_path, "once")) == 2
    results = []
    thread = threading.Thread(daemon=True, target=lambda: results.append(pool.perform(Chore("long", seconds=120))))
    thread.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "long").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    listening = 0
    for process in (psutil.Process(), *below()):
        for socket in sockets_of(process):
            listening += socket.status == psutil.CONN_LISTEN
            for end in filter(None, (socket.laddr, socket.raddr)):
                address = ipaddress.ip_address(end.ip)
                mapped = getattr(address, "ipv4_mapped", None)
                assert (mapped or address).is_loopback, (process.cmdline(), socket)
    assert listening
    workers = below()
    assert workers
    for worker in workers:  # Ctrl-C is for the run to act on
        blocked = next(s for s in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if s.startswith("SigBlk"))
        assert int(blocked.split()[1], 16) & 1 << signal.SIGINT - 1
    handler, began = signal.getsignal(signal.SIGTERM), time.monotonic()
    pool.close(cancel=True)
    assert time.monotonic() - began < 30
    thread.join(30)
    assert results == ["the run was ended"]
    assert all_gone(workers)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert capfd.readouterr() == ("", "")


def test_a_local_worker_ends_with_its_killed_run_even_while_it_starts(tmp_path):
    """What its job needs takes long to import: the watch is there before."""
    (tmp_path / "heavy.py").write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()\n"
        "if os.environ.get('PARENT') != str(os.getpid()):\n    time.sleep(60)\n"
        "def work(inputs, job):\n    pass\n"
    )
    (tmp_path / "run.py").write_text(
        "import os\nos.environ.setdefault('PARENT', str(os.getpid()))\n"
        "from s2squant.runs.engines.local import PRELOADED, WorkerPool\nPRELOADED.clear()\n"
        "if __name__ == '__main__':\n    import heavy\n    WorkerPool(None, 1, heavy.work).perform(0)\n"
    )
    run = subprocess.Popen([sys.executable, tmp_path / "run.py"], env=environment())
    until = time.monotonic() + 60
    while not (marks := [p for p in tmp_path.iterdir() if p.name.isdigit() and p.name != str(run.pid)]):
        assert time.monotonic() < until
        time.sleep(0.02)
    started = [*below(psutil.Process(run.pid)), *psutil.Process(run.pid).children(recursive=True)]
    assert int(marks[0].name) in {process.pid for process in started}
    run.kill()
    run.wait()
    assert all_gone(started, 5)


def asked(variable, _):
    return os.environ.get(variable), os.getpid(), os.getppid()


def test_workers_have_the_environment_of_their_moment_and_little_of_their_own(monkeypatch):
    seen = []
    for value in ("one", "two"):
        monkeypatch.setenv("S2SQUANT_TEST_MOMENT", value)
        pool = WorkerPool("S2SQUANT_TEST_MOMENT", 1, asked)
        reason, (found, worker, server) = pool.call(None)
        assert (reason, found) == ("", value)
        if sys.platform == "linux":
            assert psutil.Process(worker).memory_full_info().uss < 40e6  # 140e6 where each imports torch anew
            assert server != os.getpid()
        seen.append(server)
        pool.close()
    assert seen[0] == seen[1]


def without_its_server(server_killed, _):
    if not server_killed.exists():
        server_killed.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return os.getppid()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers have a server on Linux alone")
def test_a_killed_server_takes_one_attempt_of_the_jobs_under_way(tmp_path):
    pool = WorkerPool(tmp_path / "killed", 1, without_its_server)
    reason, server = pool.call(None)
    assert (reason, server != os.getpid()) == ("", True)
    pool.close()
    for _ in range(1):  # killed as another is started: dead, and not yet known to be
        os.kill(server, signal.SIGKILL)
        pool = WorkerPool(tmp_path / "killed", 1, without_its_server)
        reason, server = pool.call(None)
        assert reason == ""
        pool.close()


def test_a_job_that_hangs_is_ended_with_its_worker_and_the_next_goes_on(tmp_path, monkeypatch):
    limits = [600.0]
    pool = WorkerPool(tmp_path, 1, perform, limit=lambda: limits[0])
    assert pool.perform(Chore("first")) == ""
    limits[0] = 0.3
    reason = pool.perform(Chore("stuck", seconds=60))
    assert reason == "it hung: no end after 0.3 s, so its process was ended (S2SQUANT_JOB_HOURS allows more)"
    limits[0] = 600.0
    assert pool.perform(Chore("next")) == ""
    assert [len(attempts(tmp_path, name)) for name in ("first", "stuck", "next")] == [1, 1, 1]
    stuck, after = (int(attempts(tmp_path, name)[0][0]) for name in ("stuck", "next"))
    assert not psutil.pid_exists(stuck)
    assert stuck != after
    pool.close()
    monkeypatch.setenv("S2SQUANT_JOB_HOURS", "soon")
    with pytest.raises(ConfigError, match=r"^S2SQUANT_JOB_HOURS='soon': not hours above 0"):
        WorkerPool(tmp_path, 1, perform)


def test_a_job_before_a_deadline_may_take_half_of_what_is_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time_limit.time, "monotonic", lambda: now[0])
    limit = time_limit.half_of(36_000)
    assert limit() == 18_000
    now[0] = 18_000
    assert limit() == 9_000, "after one that hung"
    now[0] = 35_990
    assert limit() == 60
    assert time_limit.half_of(np.inf)() == 24 * 3600


def forked_after_a_run(folder):
    """A process that is forked while there is a server, which it may not use."""
    if (child := os.fork()) == 0:
        pool = WorkerPool(folder, 1, perform)
        os._exit(0 if pool.perform(Chore("below")) == "" else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers have a server on Linux alone")
def test_a_process_forked_after_a_run_has_workers_too(tmp_path):
    script = (
        "import pathlib\nfrom s2squant.runs.engines.local import PRELOADED, WorkerPool\nPRELOADED.clear()\n"
        "from tests.runs.engines.test_engines import forked_after_a_run\n"
        "from tests.worlds.chores import Chore, perform\n"
        f"if __name__ == '__main__':\n    folder = pathlib.Path({str(tmp_path)!r})\n"
        "    pool = WorkerPool(folder, 1, perform)\n    print(pool.perform(Chore('above')) or 'done')\n"
        "    pool.close()\n"
        "    print(forked_after_a_run(folder))\n"
    )
    (tmp_path / "run.py").write_text(script)
    done = subprocess.run([sys.executable, tmp_path / "run.py"], env=environment(), capture_output=True, text=True)
    assert done.stdout.split() == ["done", "0"], done.stderr


def test_a_daemonic_process_is_told_to_use_none(monkeypatch, tmp_path):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    for start in (lambda: WorkerPool(None, 2, perform), lambda: DaskPool(job_spec(tmp_path), 2)):
        with pytest.raises(ConfigError, match="workers=0"):
            start()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_workers_end_with_a_killed_run(engine, tmp_path):
    name = {"dask": "DaskPool", "ray": "RayPool"}[engine]
    script = (
        f"import time, pathlib\nfrom s2squant.runs.engines.on_{engine} import {name}\n"
        "from tests.worlds.chores import Chore, job_spec\n"
        f"if __name__ == '__main__':\n    pool = {name}(job_spec(pathlib.Path({str(tmp_path)!r})), 2)\n"
        "    pool.perform(Chore('first'))\n    print('ready', flush=True)\n    time.sleep(600)\n"
    )
    (tmp_path / "run.py").write_text(script)
    run = subprocess.Popen([sys.executable, tmp_path / "run.py"], stdout=subprocess.PIPE, env=environment(), text=True)
    assert run.stdout.readline() == "ready\n"
    workers = below(psutil.Process(run.pid))
    run.kill()
    run.communicate()
    assert len(workers) >= 2
    assert all_gone(workers, {"dask": 30, "ray": 150}[engine])  # Ray's agents look a minute for their server


# --- one's own cluster -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cluster_named_in_the_environment_is_used_and_left_running(tmp_path, monkeypatch):
    from distributed import LocalCluster

    there = {"host": "127.0.0.1", "dashboard_address": None, "memory_limit": 0, "silence_logs": 50}
    with LocalCluster(n_workers=1, threads_per_worker=3, **there) as cluster:
        workers = {p.pid for p in below()}
        monkeypatch.setenv("S2SQUANT_DASK", cluster.scheduler_address)
        for _ in range(2):
            pool = DaskPool(job_spec(tmp_path), 4)
            with ThreadPoolExecutor(3) as threads:
                assert list(threads.map(pool.perform, [Chore(f"c{n}", seconds=0.2) for n in range(3)])) == [""] * 3
            pool.close()
        assert {p.pid for p in below()} == workers
    pids = {line[0] for n in range(3) for line in attempts(tmp_path, f"c{n}")}
    assert len(pids) == len((tmp_path / "loads").read_text().split()) == 1  # one process, one load, job after job


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_pool, "PATIENCE", 0.5)
    monkeypatch.setenv("S2SQUANT_DASK", "tcp://127.0.0.1:9")
    with pytest.raises(CallerError, match=r"^S2SQUANT_DASK=tcp://127.0.0.1:9: no Dask scheduler answers"):
        DaskPool(job_spec(tmp_path), 1)


def test_a_missing_extra_is_named_and_nothing_written(prices, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^--engine ray needs .*: pip install 's2squant\[ray\]'$"):
        open_run(experiment(prices), tmp_path / "run", engine="ray")
    assert not (tmp_path / "run").exists()


def test_an_unknown_engine_is_refused(capsys):
    assert main(["backtest", "--engine", "spark"]) == 2
    assert "'spark' is not one of 'local', 'dask', 'ray'" in capsys.readouterr().err


# --- inputs by reference ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned(prices, tmp_path_factory):
    """The inputs of a run over two calendars, one ticker delisted, one too short to take part."""
    folder = tmp_path_factory.mktemp("mixed")
    write_prices(folder, "AAA", stock_days(), 1)
    write_prices(folder, "<b>", stock_days(), 3, np.s_[:850])
    write_prices(folder, "NEW", stock_days(), 4, np.s_[-200:])
    write_prices(folder, "BTC-USD", every_day(), 5)
    with open_run(experiment(folder), tmp_path_factory.mktemp("run") / "run", workers=0) as run:
        yield run.inputs


def same_history(one, other):
    assert one.__dict__.keys() == other.__dict__.keys()
    for name, value in one.__dict__.items():
        if isinstance(value, np.ndarray):
            assert value.tobytes() == other.__dict__[name].tobytes()
        elif name == "bars":
            assert {k: v.tobytes() for k, v in value.items()} == {k: v.tobytes() for k, v in other.bars.items()}
        else:
            assert value == other.__dict__[name]


def test_the_inputs_made_anew_from_the_folder_are_the_run_s_own(planned):
    found = write_inputs(planned)
    assert found.folder.is_absolute()
    made = read_inputs(found.folder, found.version)
    assert made.experiment == planned.experiment
    assert made.folder.path.resolve() == planned.folder.path.resolve()
    assert list(made.panels) == list(planned.panels)
    assert len(made.panels) == 2
    for market, panel in planned.panels.items():
        assert made.panels[market].tickers == panel.tickers
        for name in ("starts", "dates", "log_price", "ticker_of"):
            mine, own = getattr(made.panels[market], name), getattr(panel, name)
            assert (mine.dtype, mine.tobytes()) == (own.dtype, own.tobytes())
        for one, other in zip(made.panels[market].histories, panel.histories, strict=True):
            same_history(one, other)
        assert len(made.folds[market]) == len(planned.folds[market]) > 1
        for mine, own in zip(made.folds[market], planned.folds[market], strict=True):
            assert repr(mine) == repr(own)
            assert mine.cutoffs.tobytes() == own.cutoffs.tobytes()
    assert list(made.sessions) == list(planned.sessions)
    assert all(made.sessions[t].tobytes() == days.tobytes() for t, days in planned.sessions.items())


def test_a_worker_refuses_inputs_that_are_not_the_run_s(planned, tmp_path, monkeypatch):
    """Unseen, another run's, other versions, changed bars: each one line, as the job's reason."""
    found = write_inputs(planned)
    job = ("never", "carried out")

    def reason(**changes):
        return carry_out(type(found)(**(found.__dict__ | changes)), job)

    unseen = reason(folder=tmp_path / "elsewhere")
    assert unseen.endswith("finds no work/inputs.json; all workers need the run's folder on storage they share")
    assert "not the inputs of this run" in reason(version="another")
    with monkeypatch.context() as patch:
        patch.setattr(run_inputs, "versions", lambda: {"torch": "0.1"})
        assert "a worker has torch 0.1 and the run " in reason()
    inputs = found.folder / "work" / "inputs.json"
    kept = json.loads(inputs.read_text())
    planned.folder.write_table("work/prices.parquet", run_inputs.bars_table({}))
    assert "KeyError" in reason() or "damaged" in reason()
    assert set(kept) == {"versions", "experiment", "markets", "histories", "covariates", "importance", "sha256"}
    write_inputs(planned)
    planned.folder.write_text("work/experiment.json", planned.experiment.to_json().replace('"seed": 0', '"seed": 1'))
    assert "damaged" in reason()
    write_inputs(planned)
    assert reason(perform=perform).startswith("TypeError") or reason(perform=perform)  # read at last


# --- the same numbers ------------------------------------------------------------------------------------------------


def parts(folder):
    """Every part and model of a run under way, in bytes, but for how long it took."""
    kept = {p.name: p.read_bytes() for p in (folder / "work").glob("*.parquet") if p.name != "prices.parquet"}
    return kept | {p.name: p.read_bytes() for p in (folder / "models").iterdir()}


def carried_out(wanted, out, **how):
    with open_run(wanted, out, **how) as run:
        assert {r.status for r in run.execute_stages()} == {"done"}
        return parts(out)


@pytest.mark.slow  # the next one holds all engines to it
def test_a_worker_of_dask_leaves_the_bytes_of_a_plain_loop(prices, tmp_path):
    wanted = experiment(prices)
    alone = carried_out(wanted, tmp_path / "alone", workers=0)
    assert len(alone) == 2 * 6 + 2 * (1 + 1 + 3)
    assert carried_out(wanted, tmp_path / "dask", workers=1, engine="dask") == alone


@pytest.mark.slow
def test_forecasts_are_bit_identical_under_every_engine_and_number_of_workers(prices, tmp_path):
    wanted = experiment(prices, forecasters=TINY["forecasters"] | {"models": [*MODELS["models"], "garch_t"]})
    written = {}
    for engine, workers in (("local", 0), ("local", 1), ("local", 2), ("dask", 1), ("dask", 2), ("ray", 1), ("ray", 2)):
        out = tmp_path / f"{engine}{workers}"
        folder, study = backtest(wanted, out, workers=workers, engine=engine)
        assert study.status == "done"
        assert (study.provenance["engine"], study.provenance["workers"]) == (engine, max(workers, 1))
        assert not (out / "work").exists()
        tables = [folder / f"{name}.parquet" for name in ("forecasts", "scores", "verdicts", "equity")]
        written[engine, workers] = [p.read_bytes() for p in (*tables, *sorted((folder / "models").iterdir()))]
    assert all(files == written["local", 0] for files in written.values())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_an_interrupted_command_ends_its_cluster_and_goes_on_later(engine, prices, tmp_path):
    """Ctrl-C at the terminal, which reaches every process of the group; --json says nothing but JSON."""
    out = tmp_path / "run"
    argv = ["backtest", "--source", f"csv:{prices}", "--out", str(out), "--engine", engine, "--workers", "2", "--json"]
    command = [*COMMAND, *argv, *options(SMALL)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment(), "cwd": tmp_path}
    run = subprocess.Popen(command, start_new_session=True, preexec_fn=hears_interrupts, **how)
    deadline = time.monotonic() + 120
    while not list((out / "work").glob("*.done.json")):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = below(psutil.Process(run.pid))
    os.killpg(run.pid, signal.SIGINT)
    said, aside = run.communicate(timeout=90)
    assert (run.returncode, said) == (130, ""), aside
    assert aside.splitlines()[-1] == f"interrupted; the same command with --out {out} resumes"
    assert "Traceback" not in aside
    assert all_gone(workers)
    again = subprocess.run(command, check=False, timeout=240, **how)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["status"] == "done"


class Lost(ClusterPool):
    """A cluster that went before the run did."""

    def _submit(self, job):
        return job

    def _result(self, future):
        return ""

    def _cancel(self, futures):
        raise ConnectionError("gone")

    def _end(self):
        raise ConnectionError("gone")


def test_an_interrupt_stays_one_where_the_cluster_is_gone(tmp_path):
    Lost(job_spec(tmp_path), "Lost", 0).close(cancel=True)
    with pytest.raises(ConnectionError):
        Lost(job_spec(tmp_path), "Lost", 0).close()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own malloc is set")
def test_a_worker_keeps_the_memory_that_it_frees():
    """Else every training step would have the kernel clear the same pages again: up to 16,000 faults a round here."""
    code = (
        "import resource, numpy as np\n"
        "from s2squant.runs.engines.worker import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def take(): np.ones(1 << 23)\n"
        "take(); before = faults()\n"
        "for _ in range(10): take()\n"
        "print(faults() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100
