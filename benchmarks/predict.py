"""Time of `s2squant predict`: the whole command, ten tickers after import, and a thousand.

python benchmarks/predict.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from s2squant.config.experiment import Universe
from s2squant.forecasters.pretrained import newest
from s2squant.predict import predict
from s2squant.prices.sources.memory import FrameSource
from s2squant.prices.universe import load_from

HORIZON = 20
COMMAND = "import sys; from s2squant.cli import main; sys.exit(main(['predict', '--source', 'sample']))"
MANY, BARS = 1000, 2500


def main() -> None:
    """Print wall and CPU seconds; the command is run twice, and the second run counts."""
    for _ in range(2):
        began, spent = time.perf_counter(), _of_children()
        subprocess.run([sys.executable, "-c", COMMAND], check=True, capture_output=True)
        wall, cpu = time.perf_counter() - began, _of_children() - spent
    print(f"s2squant predict on the sample, second call: {wall:.2f} s in all, {cpu:.2f} CPU s")
    ten = ["AAPL", "GOOG", "IBM", "MSFT", "EURUSD", "EURJPY", "EURGBP", "EURCHF", "EURAUD", "EURCAD"]
    began = time.process_time()
    predict(ten, "sample", HORIZON)
    first = time.process_time() - began
    began = time.process_time()
    predict(ten, "sample", HORIZON)
    print(f"ten tickers after import: {first:.2f} CPU s the first time, {time.process_time() - began:.2f} the second")
    source = FrameSource(_walks())
    began = time.process_time()
    loaded = load_from(source, Universe())
    read = time.process_time() - began
    newest(loaded.histories, HORIZON)
    whole = time.process_time() - began
    print(f"{MANY} tickers of {BARS} bars from memory: {whole:.2f} CPU s, of which {read:.2f} read and check prices")


def _of_children() -> float:
    """CPU seconds of the processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _walks() -> dict[str, pd.DataFrame]:
    draws, days = np.random.default_rng(1), pd.bdate_range("2010-01-04", periods=BARS)
    return {
        f"T{i:04d}": pd.DataFrame({"Date": days, "Close": 100 * np.exp(np.cumsum(0.012 * draws.standard_t(5, BARS)))})
        for i in range(MANY)
    }


if __name__ == "__main__":
    main()
