"""One forecast of one ticker from a loaded model, one thread: python benchmarks/latency.py

Fits a small model on the embedded AAPL, stores it, loads it, and times `predict` of the last bar: what a service would
wait for, filters over all 3,270 bars included.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from s2squant.config.experiment import Experiment, Universe
from s2squant.config.files import make_experiment
from s2squant.config.models import ModelName
from s2squant.forecasters.catalog import make, restore
from s2squant.forecasters.pretrained import newest
from s2squant.prices.universe import load_universe
from s2squant.series.history import PriceHistory
from s2squant.series.panel import Panel
from s2squant.series.states import load_state, save_state


def main() -> None:
    """Print the median of 200 calls for every model."""
    torch.set_num_threads(1)
    experiment: Experiment = make_experiment({"forecasters": {"seq2seq": {"pooled": {"steps": 5}}}})
    panel = Panel(load_universe(Universe(tickers=("AAPL",))).histories)
    rows = np.arange(len(panel.dates))
    train = rows[(panel.bar_number(rows) >= experiment.forecasters.anchor.warmup) & (panel.bars_left(rows) >= 20)]
    rival = experiment.verdict.rival or experiment.verdict.reference
    models: tuple[ModelName, ...] = ("anchor", "pretrained", *experiment.forecasters.networks, rival)
    for name in models:
        fitted = make(name, experiment.forecasters).fit(panel, train, horizon=20, seed=0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save_state(path, fitted.state())
            start = time.perf_counter()
            loaded = restore(name, experiment.forecasters, load_state(path))
            load = time.perf_counter() - start
        spent = []
        for _ in range(200):
            start = time.process_time()
            loaded.predict(panel, rows[-1:])
            spent.append(time.process_time() - start)
        print(f"{name:20} load {1000 * load:5.1f} ms, one forecast {1000 * float(np.median(spent)):5.2f} CPU ms")
    without_a_fit(panel.histories[0])


def without_a_fit(history: PriceHistory) -> None:
    """Print what the pretrained weights take for many tickers, from histories to quantiles."""
    for count in (1, 10, 1000):
        many = [replace(history, ticker=f"T{n}") for n in range(count)]
        start, spent = time.perf_counter(), time.process_time()
        newest(many, 20)
        wall, cpu = time.perf_counter() - start, time.process_time() - spent
        print(f"pretrained, {count} tickers of {len(history)} bars: {cpu:.3f} CPU s, {wall:.3f} s")


if __name__ == "__main__":
    main()
