"""Three hundred tickers: the report is written in minutes within 1.5 GB, and its index stays usable."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from s2squant.runs.folder import RunFolder
from s2squant.runs.manifest import manifest
from s2squant.runs.study_files import write_study
from s2squant.series.forecast import QUANTILE_COLUMNS
from tests.report.factory import make_study
from tests.report.factory_more import filled

MANY = 300
CHILD = """
import re, resource, sys
from pathlib import Path
from s2squant.cli.app import main
status = main(["report", sys.argv[1]])
used = resource.getrusage(resource.RUSAGE_SELF)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)
print(status, used.ru_utime + used.ru_stime, peak)
"""
"""Its own peak memory: what wait4 says of a child is never less than its parent's."""


@pytest.mark.slow
def test_three_hundred_tickers(tmp_path):
    tickers = {f"T{i:03d}": "XNYS" for i in range(MANY)}
    folder = RunFolder(tmp_path / "run")
    study = filled(make_study(tickers=tickers, bars=1200, cutoffs=26))
    stored = study.forecasts.astype(dict.fromkeys(QUANTILE_COLUMNS, np.float32))  # as a run stores them
    write_study(folder, replace(study, forecasts=stored))
    folder.write_text("manifest.json", json.dumps(manifest(study)))
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder.path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = child.communicate()
    seconds = time.perf_counter() - started
    status, cpu, peak_kb = said.split()[-3:]
    cpu, peak_gb = float(cpu), float(peak_kb) / 2**20
    pages = [*folder.path.glob("tickers/*.html")]
    largest, index = max(p.stat().st_size for p in pages), (folder.path / "index.html").stat().st_size
    print(f"{seconds:.0f} s, {cpu:.0f} s of processor, {peak_gb:.2f} GB", end=", ")
    print(f"index {index / 1e6:.2f} MB, largest page {largest / 1e3:.0f} kB")
    assert (child.returncode, status) == (0, "0")
    assert len(pages) == MANY
    assert cpu < 180  # the clock says more of who else is at work on the machine
    assert peak_gb < 1.5
    assert index < 1_800_000  # every ticker has its fan on the first page
    assert largest < 300_000
