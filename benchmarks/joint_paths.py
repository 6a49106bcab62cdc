"""Time and memory of joint paths: 10,000 of 100 tickers and 20 steps, from 2,500 past dates.

python benchmarks/joint_paths.py
"""

from __future__ import annotations

import resource
import time

import numpy as np

from s2squant.series.history import PriceHistory
from s2squant.series.joint_paths import joint_paths
from s2squant.series.past_paths import past_paths
from s2squant.series.tails import ALL_LEVELS

PATHS, TICKERS, STEPS, BARS = 10_000, 100, 20, 2_600


def main() -> None:
    """Print CPU and wall seconds and the highest memory of the process, imports and prices included."""
    from scipy.special import ndtri

    draws = np.random.default_rng(0)
    days = np.arange(BARS).astype("datetime64[D]")
    common = draws.standard_t(5, BARS)
    moves = 0.01 * (0.6 * common + 0.8 * draws.standard_t(5, (TICKERS, BARS)))
    histories = [PriceHistory(f"T{m}", "24/7", days, 100 * np.exp(np.cumsum(one))) for m, one in enumerate(moves)]
    deviation_H = 0.01 * np.sqrt(np.arange(1, STEPS + 1))
    levels = np.broadcast_to(deviation_H[:, None] * ndtri(ALL_LEVELS), (TICKERS, STEPS, len(ALL_LEVELS)))
    joint_paths(levels[:2, :, :], past_paths(histories[:2], STEPS).order(0), 500, seed=0)  # imports
    began, spent = time.perf_counter(), time.process_time()
    past = past_paths(histories, STEPS).known(days[-1])
    order = past.order(seed=0)
    learnt = time.process_time() - spent
    paths = joint_paths(levels, order, PATHS, seed=0)
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{PATHS:,} joint paths, {TICKERS} tickers, {STEPS} steps ({paths.nbytes / 1e6:.0f} MB, {paths.dtype})")
    print(f"{cpu:.2f} CPU s ({learnt:.2f} of them for the order of {order.shape[2]:,} past dates), {wall:.2f} s in all")
    print(f"highest memory of the process: {memory:.0f} MB")


if __name__ == "__main__":
    main()
