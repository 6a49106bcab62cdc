"""A backtest that is killed at any moment leaves no process, and goes on to the numbers it would have had."""

from __future__ import annotations

import subprocess
import time
from collections import Counter

import numpy as np
import pandas as pd
import psutil
import pytest

from s2squant.cli.app import main
from s2squant.study import backtest
from tests.worlds.runs import COMMAND, TINY, environment, experiment, options, stock_days, write_prices

pytestmark = pytest.mark.slow
KILLS = 8


def test_a_killed_backtest_leaves_nobody_and_loses_nothing(tmp_path, capsys):
    prices = tmp_path / "prices"
    for seed, ticker in enumerate(("AAA", "BBB", "CCC")):
        write_prices(prices, ticker, stock_days(), seed)
    whole, _ = backtest(experiment(prices), tmp_path / "whole", workers=0)
    arguments = [
        "backtest",
        "--source",
        f"csv:{prices}",
        *options(TINY),
        "--workers",
        "2",
        "--out",
        str(tmp_path / "run"),
    ]
    rng, said = np.random.default_rng(0), Counter[str]()
    for _ in range(KILLS):
        run = subprocess.Popen(
            [*COMMAND, *arguments], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        family: list[psutil.Process] = []
        while run.poll() is None and len(family) < 2:  # a worker, and what tidies up after it
            time.sleep(0.05)
            family = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
        time.sleep(rng.uniform(0, 5))
        family = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
        run.kill()
        run.wait()
        said["killed with workers" if len(family) > 1 else "killed without"] += 1
        _, alive = psutil.wait_procs(family, 3)
        said["orphans"] += len(alive)
        if (tmp_path / "run" / "manifest.json").exists():
            break
    if not (tmp_path / "run" / "manifest.json").exists():
        assert main(arguments) == 0
    with capsys.disabled():
        print(f"\nkills of backtest: {dict(said)}")
    assert said["killed with workers"] > 1
    assert said["orphans"] == 0
    tables = [pd.read_parquet(folder / "forecasts.parquet") for folder in (tmp_path / "run", whole)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
