"""Training speed on one thread, as ratios of one run: python benchmarks/training.py

Prints windows a second (a window is one origin with its past, decoded over the horizon) of a plain windowed nn.LSTM
encoder and decoder with teacher forcing, and of our loop, which encodes a chunk once and decodes from many of its
positions; and the share of this core's own sgemm rate that the LSTMs of a whole training step reach. First the networks
that a backtest trains, with the settings that ship, then variants of the pooled one, named by what they change; then
all of it with larger states. All have the full quantile head and its 39 levels. The loops and sgemm take turns, and the
best of four turns counts of each: a neighbour on a shared machine only ever slows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import torch
from torch import Tensor, nn

from s2squant.config.experiment import Walk
from s2squant.config.models import MODELS, Forecasters, ModelName, label
from s2squant.config.networks import Seq2SeqSpec
from s2squant.config.training import AdaptedSpec, PerTickerSpec, PooledSpec
from s2squant.forecasters.network import levels_Q
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.nets.training import Resident, train
from s2squant.runs.engines.worker import keep_freed_memory

SHIPPED = Forecasters()
HORIZON = Walk().horizon
INPUTS = 5 + SHIPPED.seq2seq.market + 3 * SHIPPED.seq2seq.ranges
"""As many as forecasters/features.py makes where bars are whole."""
PAST, BATCH, ROWS = 60, 64, 20_000
"""Bars of a window and windows of a step in the plain loop; bars of the made-up ticker."""
LARGER = 64
"""Units of a state, beside the number that ships."""
ROUNDS = 4


@dataclass(frozen=True)
class Loop:
    """One way to train: a network's settings, chunks in a step, and whether the head's table learns."""

    name: str
    spec: Seq2SeqSpec
    batch: int
    free_table: bool


def shipped(name: ModelName) -> Loop:
    """A network of the default experiment, as it is trained there."""
    spec = SHIPPED.seq2seq
    settings: PerTickerSpec | PooledSpec | AdaptedSpec
    match MODELS[name].scope:
        case "per_ticker":
            settings = spec.per_ticker
        case "pooled":
            settings = spec.pooled
        case "adapted":
            settings = spec.adapted
        case None:
            raise ValueError(f"{name} is no network")
        case scope:
            assert_never(scope)
    said = f"{label(name)} as shipped: batch {settings.batch}, {spec.training.positions} of {spec.training.chunk}"
    return Loop(said, spec, settings.batch, settings.free_table)


def variants(base: Loop) -> tuple[Loop, ...]:
    """What the loop does with other settings, each named by what it changes."""
    spec, training = base.spec, base.spec.training
    every = training.model_copy(update={"positions": training.chunk - training.warm})
    few = training.model_copy(update={"positions": training.positions // 5})
    hidden_layer = spec.decoder.model_copy(update={"width": spec.encoder.hidden})
    recurrent = hidden_layer.model_copy(update={"kind": "recurrent"})
    fast, wide = {"precision": "bf16"}, 4 * base.batch
    return (
        _varied(base, "bf16", training=training.model_copy(update=fast)),
        _varied(base, "every position", training=every),
        _varied(base, "every position, bf16", training=every.model_copy(update=fast)),
        _varied(base, f"{few.positions} positions", training=few),
        _varied(base, "a hidden layer in the head", decoder=hidden_layer),
        _varied(base, "LSTM decoder, a hidden layer in the head", decoder=recurrent),
        _varied(base, f"the same, {few.positions} positions", wide, decoder=recurrent, training=few),
        _varied(base, "the same, bf16", wide, decoder=recurrent, training=few.model_copy(update=fast)),
    )


def _varied(base: Loop, change: str, batch: int = 0, **parts: object) -> Loop:
    said = f"variant: {change}" + (f", batch {batch}" if batch else "")
    return replace(base, name=said, spec=base.spec.model_copy(update=parts), batch=batch or base.batch)


def with_hidden(base: Loop, hidden: int) -> Loop:
    """The loop with so many units of a state."""
    encoder = base.spec.encoder.model_copy(update={"hidden": hidden})
    return replace(base, spec=base.spec.model_copy(update={"encoder": encoder}))


def seconds(step: Callable[[], object], least: float = 0.7) -> float:
    """Median seconds of one call over at least `least` seconds."""
    step()
    spent: list[float] = []
    while sum(spent) < least or len(spent) < 5:
        start = time.perf_counter()
        step()
        spent.append(time.perf_counter() - start)
    return sorted(spent)[len(spent) // 2]


def sgemm() -> float:
    """GFLOP/s of a 1024 x 1024 float32 product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 2 * 1024**3 / seconds(lambda: a @ b, 0.5) / 1e9


class Windowed(nn.Module):
    """The textbook loop: one window, one encoding, an LSTM decoder fed with the true previous values."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.LSTM(1, hidden, batch_first=True)
        self.decoder = nn.LSTM(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, past: Tensor, previous: Tensor) -> Tensor:
        _, state = self.encoder(past)
        hidden, _ = self.decoder(previous, state)
        return torch.as_tensor(self.out(hidden))


def windowed_rate(hidden: int) -> tuple[float, float]:
    """Windows a second of the textbook loop, and its GFLOP/s."""
    model = Windowed(hidden)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    past, future = torch.randn(BATCH, PAST, 1), torch.randn(BATCH, HORIZON, 1)

    def step() -> None:
        out = model(past, future)
        loss = (out[..., 0] + 0.5 * ((future[..., 0] - out[..., 1]) * torch.exp(-out[..., 0])).square()).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    spent = seconds(step)
    return BATCH / spent, lstm_flop(BATCH * (PAST + HORIZON), 1, hidden) / spent / 1e9


def lstm_flop(steps: int, inputs: int, hidden: int) -> float:
    """Multiply-adds of a training step's LSTM, counted twice, forward and twice that backward."""
    return 3 * steps * 8 * hidden * (inputs + hidden)


def forked_rate(loop: Loop) -> tuple[float, float]:
    """Windows a second of our training loop with the full quantile head, and the GFLOP/s of its LSTMs."""
    spec, batch = loop.spec, loop.batch
    chunk, positions, hidden = spec.training.chunk, spec.training.positions, spec.encoder.hidden
    table = torch.special.ndtri(levels_Q().double()).float().expand(HORIZON, -1)
    net = Seq2Seq(spec, INPUTS, table, levels_Q())
    for undecayed in net.undecayed():
        undecayed.requires_grad_(loop.free_table)
    price = torch.randn(ROWS).double().cumsum(0)
    data = Resident(torch.randn(ROWS, INPUTS), torch.ones(ROWS, HORIZON), price, torch.arange(chunk, ROWS - HORIZON))
    steps = 4
    spent = seconds(lambda: train(net, data, spec.training, steps=steps, batch=batch, lr=1e-3, seed=0)) / steps
    flop = lstm_flop(batch * chunk, INPUTS, hidden)
    flop += lstm_flop(batch * positions * HORIZON, 2 + hidden, hidden) if spec.decoder.kind == "recurrent" else 0
    return batch * positions / spent, flop / spent / 1e9


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as in every worker; for both loops
    print(f"one thread, torch {torch.__version__}")
    print(f"{'hidden':>6}  {'loop':64} {'windows/s':>10} {'x windowed':>10} {'GFLOP/s':>8} {'sgemm':>6} {'of it':>6}")
    ours = tuple(shipped(name) for name in SHIPPED.networks)
    loops = (*ours, *variants(shipped("seq2seq_pooled")))
    for hidden in dict.fromkeys((SHIPPED.seq2seq.encoder.hidden, LARGER)):
        rounds = [(*windowed_rate(hidden), sgemm()) for _ in range(ROUNDS)]
        base, speed, top = (max(column) for column in zip(*rounds, strict=True))
        show(hidden, f"windowed nn.LSTM: {PAST} in, {HORIZON} out, batch {BATCH}", base, base, speed, top)
        for loop in (with_hidden(loop, hidden) for loop in loops):
            turns = [(windowed_rate(hidden)[0], *forked_rate(loop), sgemm()) for _ in range(ROUNDS)]
            show(hidden, loop.name, *(max(column) for column in zip(*turns, strict=True)))


def show(hidden: int, name: str, base: float, rate: float, speed: float, top: float) -> None:
    """One row, with the ratio to `base` and the share of `top`."""
    print(
        f"{hidden:>6}  {name:64} {rate:>10,.0f} {rate / base:>10.2f} {speed:>8.0f} {top:>6.0f} {speed / top:>6.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
