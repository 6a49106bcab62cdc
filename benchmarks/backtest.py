"""Time and peak memory of the backtest of the embedded sample, as a user runs it: python benchmarks/backtest.py

Starts `flows/backtest.py` in a temporary run folder, with the options given, and watches all its processes. Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.watching import watched

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run once and print wall and CPU seconds, peak memory and the run's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        flow, out = str(ROOT / "flows" / "backtest.py"), f"{folder}/run"
        start = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, flow, "--quiet", "--out", out, *sys.argv[1:]], cwd=ROOT, text=True
        ) as run:
            spent, peak = watched(run)
        seconds = time.perf_counter() - start
    took = f"{seconds:.0f} s wall on {os.cpu_count()} cores, {spent:.0f} CPU s"
    print(f"{took}, peak {peak:.2f} GB, exit status {run.returncode}")


if __name__ == "__main__":
    main()
