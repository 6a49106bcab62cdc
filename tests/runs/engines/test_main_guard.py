"""Workers started by a script that they would run again: refused at once, in one line."""

import re
import subprocess
import sys

import pytest

from s2squant.runs.engines import main_guard as unguarded
from tests.worlds.runs import environment

SCRIPT = """
from s2squant.runs.engines.local import PRELOADED, WorkerPool

PRELOADED.clear()  # this work needs nothing

def work(inputs, job):
    print("worked", flush=True)

print("script starts", flush=True)
{start}
    pool = WorkerPool(1, 1, work)
    print("answer", repr(pool.perform(2)))
    pool.close()
"""
LINE = (
    r'ConfigError: .*script\.py: every worker process would run it again; put the call below `if __name__ == "__main__'
)


@pytest.mark.parametrize(
    ("start", "refused", "starts"),
    [
        ("with open(__file__):", True, 1),  # certain, before any worker is started
        ("if True:", True, 2),  # the worker tells
        ('if __name__ == "__main__":', False, 2),
    ],
)
def test_a_script_that_workers_would_run_again_is_refused(tmp_path, start, refused, starts):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(start=start))
    done = subprocess.run(
        [sys.executable, str(script)], env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.count("script starts") == starts
    assert bool(re.search(LINE, done.stderr)) == refused == bool(done.returncode)
    if not refused:
        assert "worked" in done.stdout
        assert "answer ''" in done.stdout


def test_only_what_stands_under_no_condition_is_certain(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import a\nfor x in y:\n    go(\n        x)\nif a:\n    go(1)\nwith b:\n    if c:\n        go(2)\n"
    )
    certain = [line for line in range(1, 12) if unguarded._certain(str(script), line)]
    assert certain == [1, 2, 3, 4]
    script.with_name("broken.py").write_text("(")
    assert not unguarded._certain(str(script.with_name("broken.py")), 1)
    assert not unguarded._certain(str(tmp_path / "absent.py"), 1)
