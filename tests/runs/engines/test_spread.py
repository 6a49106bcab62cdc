"""`map` over worker processes: results in order and as they come, and nothing lost with a worker."""

import os
import signal
from contextlib import closing, suppress
from functools import partial

import psutil
import pytest

from s2squant.errors import ConfigError
from s2squant.runs.engines import background
from s2squant.runs.engines.spread import AHEAD, spread_map


def process_of(number):
    return number, os.getpid()


def killed_but_in(survivor, number):
    if number == 1 and os.getpid() != survivor:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getpid()


def refused(number):
    if number == 3:
        raise ValueError(f"number {number} is refused")
    return number


def workers_of(seen):
    return [psutil.Process(process) for process in set(seen) - {os.getpid()}]


def test_results_are_in_order_and_of_other_processes():
    results = list(spread_map(process_of, range(20), workers=2))
    assert [number for number, _ in results] == list(range(20))
    assert os.getpid() not in {process for _, process in results}
    assert list(spread_map(process_of, [], workers=2)) == []


def test_jobs_are_taken_as_workers_need_them():
    taken = []
    with closing(spread_map(process_of, (taken.append(k) or k for k in range(100)), workers=1)) as results:
        assert next(results)[0] == 0
        assert len(taken) == AHEAD
        assert next(results)[0] == 1
        assert len(taken) == AHEAD + 1


def test_what_a_killed_worker_was_at_is_done_here():
    results = list(spread_map(partial(killed_but_in, os.getpid()), range(4), workers=2))
    assert [number for number, _ in results] == list(range(4))
    assert [process == os.getpid() for _, process in results] == [False, True, False, False]


def test_an_error_is_the_one_that_it_is_here():
    reached = []
    with pytest.raises(ValueError, match="number 3 is refused"):
        reached.extend(spread_map(refused, range(6), workers=2))
    with suppress(ValueError):
        reached.extend(map(refused, range(6)))
    assert reached == [0, 1, 2, 0, 1, 2]


def stopped_after(results, count, end, seen):
    """Read some results, then fail as a reader may."""
    with closing(results):
        for (_, process), _ in zip(results, range(count), strict=False):
            seen += workers_of([process])
        raise end


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError])
def test_workers_end_with_their_reader(end):
    workers = []
    with pytest.raises(end):
        stopped_after(spread_map(process_of, range(1000), workers=2), 6, end, workers)
    _, alive = psutil.wait_procs(workers, 10)
    assert workers
    assert not alive


def test_where_no_process_may_be_started_all_is_done_here(monkeypatch):
    def refuse(*_):
        raise ConfigError("a daemonic process may start no workers")

    monkeypatch.setattr(background, "WorkerPool", refuse)
    assert list(spread_map(process_of, range(3), workers=2)) == [(k, os.getpid()) for k in range(3)]


class Barren:
    """A pool none of whose workers starts: each would run a script again that lacks its guard."""

    tried = 0

    def __init__(self, *_):
        self.closed = False

    def call(self, _):
        if self.closed:
            return "the run was ended", None
        Barren.tried += 1
        raise ConfigError("every worker process would run it again")

    def close(self, *, cancel):
        self.closed = cancel


def test_workers_that_do_not_start_are_given_up(monkeypatch):
    monkeypatch.setattr(background, "WorkerPool", Barren)
    assert list(spread_map(process_of, range(100), workers=1)) == [(k, os.getpid()) for k in range(100)]
    assert 0 < Barren.tried <= AHEAD
