"""Work beside this process: done once, elsewhere where it can be, and here where it cannot."""

import os
import signal
import time
from functools import partial

import psutil
import pytest

from s2squant.errors import ConfigError
from s2squant.files import write_atomic
from s2squant.runs.engines import background
from s2squant.runs.engines.background import Background


def process_and_sum(inputs, more):
    return os.getpid(), sum(inputs) + more


def killed_elsewhere(inputs, survivor):
    if os.getpid() != survivor:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), sum(inputs)


def refused(inputs):
    raise LookupError(f"{inputs[0]} is refused")


def note(done):
    done.append("once")


def asleep(path):
    write_atomic(path, str(os.getpid()))
    signal.pause()


def test_workers_share_the_inputs_and_results_are_those_of_this_process():
    with Background((1, 2), 2) as pool:
        asked = [pool.start(partial(process_and_sum, more=more), str(more)) for more in range(6)]
        results = [result() for result in asked]
    assert [value for _, value in results] == [3, 4, 5, 6, 7, 8]
    assert os.getpid() not in {process for process, _ in results}
    assert set(pool.seconds) == set("012345")


def test_without_workers_all_is_done_here_when_it_is_asked_for():
    done = []
    with Background(done, 0) as pool:
        result = pool.start(note)
        assert done == []
        result()
    assert done == ["once"]


def test_where_no_process_may_be_started_all_is_done_here(monkeypatch):
    def refuse(*_):
        raise ConfigError("a daemonic process may start no workers")

    monkeypatch.setattr(background, "WorkerPool", refuse)
    with Background((1, 2), 2) as pool:
        assert pool.start(partial(process_and_sum, more=1))() == (os.getpid(), 4)


def test_what_a_killed_worker_was_at_is_done_here():
    with Background((1, 2), 2) as pool:
        assert pool.start(partial(killed_elsewhere, survivor=os.getpid()))() == (os.getpid(), 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_as_it_is_when_the_result_is_asked_for(workers):
    with Background(("salt",), workers) as pool:
        result = pool.start(refused)
        with pytest.raises(LookupError, match="salt is refused"):
            result()


def test_what_is_under_way_ends_with_the_pool(tmp_path):
    with Background(tmp_path / "process", 1) as pool:
        pool.start(asleep)
        while not (tmp_path / "process").exists():
            time.sleep(0.01)
        asleep_there = psutil.Process(int((tmp_path / "process").read_text()))
    _, alive = psutil.wait_procs([asleep_there], 10)
    assert not alive
