"""Where bfloat16 pays in training, on this machine: python benchmarks/precision.py

Prints CPU milliseconds of a whole training step in float32 and in bf16, their ratio, the least ratio of any turn, and
what `training.precision = "auto"` takes here. The two take turns, and the best of each counts. A row with a ratio below
one at which auto takes bf16 is a fault of the rule in s2squant/nets/precision.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import torch

from benchmarks.training import HORIZON, INPUTS, ROWS
from s2squant.config.networks import Seq2SeqSpec
from s2squant.config.training import Precision
from s2squant.forecasters.network import levels_Q
from s2squant.nets.precision import precision_of
from s2squant.nets.processor import processor_units
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.nets.training import Resident, train
from s2squant.runs.engines.worker import keep_freed_memory

Parts = Mapping[str, Mapping[str, object]]
BUILDS: Mapping[str, Parts] = {
    "as shipped": {},
    "every position": {"training": {"positions": 150}},
    "12 positions": {"training": {"positions": 12}},
    "a hidden layer in the head": {"decoder": {"width": 32}},
    "LSTM decoder": {"decoder": {"kind": "recurrent"}},
    "LSTM decoder, 12 positions": {"decoder": {"kind": "recurrent"}, "training": {"positions": 12}},
    "two layers": {"encoder": {"layers": 2}},
    "Student-t head": {"decoder": {"previous": True}, "head": {"kind": "student_t"}, "training": {"regime": "teacher"}},
    "both directions": {"encoder": {"reads": "window", "directions": "both"}},
    "Luong attention": {"decoder": {"attention": {"kind": "luong_global"}}},
    "GRU": {"encoder": {"cell": "gru"}},
    "transformer decoder": {"decoder": {"kind": "transformer"}},
}
SIZES = ((8, 32), (16, 32), (16, 64), (32, 8), (32, 32), (64, 8), (64, 16), (64, 32), (128, 8))
"""Units of a state, and chunks in a step."""
TURNS, LASTS = 3, 0.25
"""Turns of each, and CPU seconds that one takes."""


def with_hidden(parts: Parts, hidden: int) -> Seq2SeqSpec:
    """The settings of a build with so many units of a state, and `auto`."""
    encoder, training = parts.get("encoder", {}), parts.get("training", {})
    sized = {"encoder": {**encoder, "hidden": hidden}, "training": {**training, "precision": "auto"}}
    return Seq2SeqSpec.model_validate({**parts, **sized})


def step_seconds(spec: Seq2SeqSpec, batch: int, precision: Precision, steps: int) -> float:
    """CPU seconds of a training step of a new net."""
    torch.manual_seed(0)
    chunk, price = spec.training.chunk, torch.randn(ROWS).double().cumsum(0)
    data = Resident(torch.randn(ROWS, INPUTS), torch.ones(ROWS, HORIZON), price, torch.arange(chunk, ROWS - HORIZON))
    table = torch.special.ndtri(levels_Q().double()).float().expand(HORIZON, -1)
    net = Seq2Seq(spec, INPUTS, table, levels_Q())
    training = spec.training.model_copy(update={"precision": precision})
    began = time.process_time()
    train(net, data, training, steps=steps, batch=batch, lr=1e-3, seed=0)
    return (time.process_time() - began) / steps


def turns(spec: Seq2SeqSpec, batch: int) -> Iterator[tuple[float, float]]:
    """Seconds of a step in float32 and in bf16, turn by turn, once both are warm."""
    once, _ = (max(step_seconds(spec, batch, name, 2) for _ in range(2)) for name in ("float32", "bf16"))
    steps = max(2, int(LASTS / once))
    for _ in range(TURNS):
        yield step_seconds(spec, batch, "float32", steps), step_seconds(spec, batch, "bf16", steps)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_freed_memory()
    units, cpu = processor_units(), torch.device("cpu")
    print(f"one thread, torch {torch.__version__}, {', '.join(units) or 'no units known'}")
    print(f"{'build':26} {'hidden':>6} {'chunks':>6} {'float32':>8} {'bf16':>8} {'ratio':>6} {'least':>6}  auto")
    for build, parts in BUILDS.items():
        for hidden, batch in SIZES:
            spec = with_hidden(parts, hidden)
            pairs = list(turns(spec, batch))
            single, half = (min(column) for column in zip(*pairs, strict=True))
            least = min(one / other for one, other in pairs)
            taken = precision_of(spec, batch, cpu, units)
            print(
                f"{build:26} {hidden:>6} {batch:>6} {1e3 * single:>8.2f} {1e3 * half:>8.2f} {single / half:>6.2f} "
                f"{least:>6.2f}  {taken}",
                flush=True,
            )


if __name__ == "__main__":
    main()
