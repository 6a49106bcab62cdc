"""Per-ticker networks of a market on an accelerator, side by side, against a loop: python benchmarks/gpu.py

Trains 1,000 networks of the shipped settings, each on bars of its own, side by side on the device, and 8 of them in a
loop on the device and on one core of the CPU; prints seconds a network. `--device cpu` shows the same on a CPU, where a
loop is faster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor

from benchmarks.training import HORIZON, INPUTS
from s2squant.config.models import Forecasters
from s2squant.forecasters.network import levels_Q
from s2squant.nets.device import device_of
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.nets.side_by_side import train_together
from s2squant.nets.training import Resident, train

BARS, IN_A_LOOP = 2_500, 8


def main() -> None:
    """Print seconds a network, side by side and in loops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--nets", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec, wanted = Forecasters().seq2seq, cast(Literal["cuda", "cpu"], options.device)
    device = device_of(wanted)
    rows, ends = options.nets * BARS, [ends_of(k, spec.training.chunk) for k in range(options.nets)]
    price_R, none = torch.randn(rows).double().cumsum(0), torch.empty(0, dtype=torch.int64)
    data = Resident(torch.randn(rows, INPUTS), torch.ones(rows, HORIZON), price_R, none)
    there, how, seeds = data.to(device), spec.per_ticker, list(range(options.nets))

    def side_by_side(nets: list[Seq2Seq]) -> None:
        same = {"steps": how.steps, "batch": how.batch}
        train_together(nets, there, ends[: len(nets)], spec.training, **same, lr=how.lr, seeds=seeds[: len(nets)])

    def loop(nets: list[Seq2Seq], where: Literal["cuda", "cpu"]) -> None:
        training, own = spec.training.model_copy(update={"device": where}), there if where == wanted else data
        for seed, (net, mine) in enumerate(zip(nets, ends, strict=False)):
            ready = own._replace(chunk_ends=mine)
            train(net, ready, training, steps=how.steps, batch=how.batch, lr=how.lr, seed=seed)

    side_by_side(built(2))  # whatever a device does the first time
    show(f"side by side, {options.device}", options.nets, side_by_side)
    for where in dict.fromkeys((wanted, "cpu")):
        show(f"a loop, {where}", IN_A_LOOP, lambda nets, on=where: loop(nets, on))  # type: ignore[misc]


def ends_of(ticker: int, chunk: int) -> Tensor:
    """Rows of a ticker's bars at which a chunk may end."""
    return torch.arange(ticker * BARS + chunk, (ticker + 1) * BARS - HORIZON)


def built(nets: int) -> list[Seq2Seq]:
    """So many untrained networks of the shipped build, their tables fixed as the per-ticker ones are."""
    table = torch.special.ndtri(levels_Q().double()).float().expand(HORIZON, -1)
    made = [Seq2Seq(Forecasters().seq2seq, INPUTS, table, levels_Q()) for _ in range(nets)]
    for net in made:
        for fixed in net.undecayed():
            fixed.requires_grad_(Forecasters().seq2seq.per_ticker.free_table)
    return made


def show(name: str, count: int, work: Callable[[list[Seq2Seq]], None]) -> None:
    """Do it once and print seconds a network."""
    nets = built(count)
    began = time.perf_counter()
    work(nets)
    spent = time.perf_counter() - began
    print(f"{name:24} {count:5} networks {spent:7.1f} s, {1000 * spent / count:8.1f} ms a network", flush=True)


if __name__ == "__main__":
    main()
