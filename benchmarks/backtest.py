"""Wall time and peak memory of the backtest of the embedded sample, as a user runs it: python benchmarks/backtest.py

Starts `flows/backtest.py` in a temporary run folder and adds up, five times a second, the memory that every process of
it holds (proportional set size, so that shared pages count once). Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def held(pid: int) -> int:
    """Proportional set size of one process, kB; nothing when it has just ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def main() -> None:
    """Run once and print seconds, peak memory and the run's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(ROOT / "flows" / "backtest.py"),
            "--quiet",
            "--out",
            f"{folder}/run",
            *sys.argv[1:],
        ]
        start, peak = time.perf_counter(), 0
        with subprocess.Popen(command, cwd=ROOT) as run:
            while run.poll() is None:
                try:
                    peak = max(peak, sum(map(held, tree(run.pid))))
                except OSError:
                    continue
                time.sleep(0.2)
        seconds = time.perf_counter() - start
    print(f"{seconds:.0f} s wall on {os.cpu_count()} cores, peak {peak / 1e6:.2f} GB, exit status {run.returncode}")


if __name__ == "__main__":
    main()
