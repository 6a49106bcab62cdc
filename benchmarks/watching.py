"""CPU seconds and peak memory of a run and of all processes below it, seen from outside; Linux only."""

from __future__ import annotations

import subprocess
import time

import psutil


def watched(run: subprocess.Popen[str]) -> tuple[float, float]:
    """Wait for a process; CPU seconds of it and of all below it, and the largest sum of their memory in GB.

    Memory is the proportional set size, so that shared pages count once; it is read five times a second.
    """
    used: dict[int, float] = {}
    top, peak = psutil.Process(run.pid), 0.0
    while run.poll() is None:
        memory = 0
        try:
            processes = [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for process in processes:
            try:
                clock = process.cpu_times()
                used[process.pid] = clock.user + clock.system
                memory += process.memory_full_info().pss
            except (psutil.Error, OSError):
                continue
        peak = max(peak, memory / 1e9)
        time.sleep(0.2)
    return sum(used.values()), peak
