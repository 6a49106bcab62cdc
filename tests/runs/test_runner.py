"""The job runner by itself: what a failure takes with it, and what a finished job is spared."""

from dataclasses import dataclass

import pandas as pd
import pytest

from s2squant.runs.folder import RunFolder
from s2squant.runs.runner import JobRunner


@dataclass(frozen=True)
class Step:
    key: str
    market: str
    ticker: str = ""

    @property
    def label(self):
        return self.key

    @property
    def shared(self):
        return "" if self.ticker else f"the {self.key}"


STAGES = (
    (Step("anchor N", "N"), Step("anchor L", "L")),
    (Step("A", "N", "A"), Step("B", "N", "B"), Step("C", "L", "C")),
)


class Planned:
    """A pool in which the named jobs fail."""

    def __init__(self, failing):
        self.failing, self.performed, self.closed = failing, [], []

    def perform(self, job):
        self.performed.append(job.key)
        return self.failing.get(job.key, "")

    def close(self, *, cancel=False):
        self.closed.append(cancel)


def started(folder, failing, workers=2):
    pool = Planned(failing)
    return JobRunner(folder, STAGES, workers, lambda _: pool), pool


def test_a_market_whose_shared_job_fails_is_left_alone(tmp_path):
    runner, pool = started(RunFolder(tmp_path), {"anchor N": "no memory", "C": "bad bars"})
    with runner:
        results = list(runner.execute_stages())
    assert {r.key for r in results[:2]} == {"anchor N", "anchor L"}  # one stage after the other
    assert {r.key: (r.status, r.reason) for r in results} == {
        "anchor N": ("failed", "no memory"),
        "anchor L": ("done", ""),
        "A": ("failed", "the anchor N failed: no memory"),
        "B": ("failed", "the anchor N failed: no memory"),
        "C": ("failed", "bad bars"),
    }
    assert set(pool.performed) == {"anchor N", "anchor L", "C"}
    assert runner.failure("C", "L") == "bad bars"
    assert runner.failure("D", "L") == ""
    assert runner.failure("A", "N") == runner.failure("E", "N") == runner.first_failure
    assert [job.key for job in runner.finished_jobs()] == ["anchor L"]
    assert pool.closed == [False]


def test_a_finished_job_is_kept(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save_part("A", pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [1]}), {})
    runner, pool = started(folder, {})
    assert {r.key for r in runner.execute_stages() if r.status == "kept"} == {"A"}
    assert set(pool.performed) == {"anchor N", "anchor L", "B", "C"}


@pytest.mark.parametrize(("asked", "workers", "processes"), [(0, 1, 0), (1, 1, 1), (3, 3, 3), (99, 5, 5)])
def test_no_more_workers_than_jobs(asked, workers, processes, tmp_path):
    counts = []
    runner = JobRunner(RunFolder(tmp_path), STAGES, asked, lambda count: counts.append(count) or Planned({}))
    assert (runner.workers, counts) == (workers, [processes])


def test_what_breaks_off_ends_the_pool_at_once(tmp_path):
    runner, pool = started(RunFolder(tmp_path), {})
    with pytest.raises(KeyboardInterrupt), runner:
        raise KeyboardInterrupt
    assert pool.closed == [True]
