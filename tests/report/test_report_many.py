"""Three hundred tickers: the report is written in minutes within 1.5 GB, and its index stays usable."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factory import make_study
from factory_more import filled

from s2squant.archive import write_study
from s2squant.records import QUANTILE_COLUMNS
from s2squant.store import RunFolder

MANY = 300


@pytest.mark.slow
def test_three_hundred_tickers(tmp_path):
    tickers = {f"T{i:03d}": "XNYS" for i in range(MANY)}
    folder = RunFolder(tmp_path / "run")
    study = filled(make_study(tickers=tickers, bars=1200, cutoffs=26))
    stored = study.forecasts.astype(dict.fromkeys(QUANTILE_COLUMNS, np.float32))  # as a run stores them
    write_study(folder, replace(study, forecasts=stored))
    folder.write_text("manifest.json", "{}")
    started = time.perf_counter()
    command = [sys.executable, "-c", f"from s2squant.cli import main; main(['report', {str(folder.path)!r}])"]
    child = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
    peak_gb = used.ru_maxrss / 2**20
    pages = [*folder.path.glob("tickers/*.html")]
    largest, index = max(p.stat().st_size for p in pages), (folder.path / "index.html").stat().st_size
    print(f"{seconds:.0f} s, {cpu:.0f} s of processor, {peak_gb:.2f} GB", end=", ")
    print(f"index {index / 1e6:.2f} MB, largest page {largest / 1e3:.0f} kB")
    assert child.returncode == 0
    assert len(pages) == MANY
    assert cpu < 180  # the clock says more of who else is at work on the machine
    assert peak_gb < 1.5
    assert index < 1_500_000
    assert largest < 300_000
