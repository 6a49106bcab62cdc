"""Training speed on one thread, as ratios of one run: python benchmarks/training.py

Prints windows a second (a window is one origin with its past, decoded over the horizon) of a plain windowed nn.LSTM
encoder and decoder with teacher forcing, and of our loop, which encodes a chunk once and decodes from many of its
positions; and the share of this core's own sgemm rate that the LSTMs of a whole training step reach. All with the full
quantile head and its 39 levels. The loops and sgemm take turns, and the best of four turns counts of each: a neighbour
on a shared machine only ever slows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from s2squant.config.networks import DecoderSpec, EncoderSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.forecasters.network import LEVELS_Q
from s2squant.nets.seq2seq import Seq2Seq
from s2squant.nets.training import Resident, train
from s2squant.runs.engines.worker import keep_freed_memory

PAST, HORIZON, BATCH, INPUTS, ROWS = 60, 20, 64, 6, 20_000
ROUNDS = 4


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


def forked_rate(
    hidden: int, kind: str, positions: int, chunk: int, batch: int, *, bf16: bool = False, width: int = 32
) -> tuple[float, float]:
    """Windows a second of our training loop with the full quantile head, and the GFLOP/s of its LSTMs."""
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=hidden),
        decoder=DecoderSpec(kind="mlp" if kind == "mlp" else "recurrent", width=width),
        training=TrainingSpec(chunk=chunk, positions=positions, bf16=bf16),
    )
    table = torch.special.ndtri(LEVELS_Q.double()).float().expand(HORIZON, -1)
    net = Seq2Seq(spec, INPUTS, table, LEVELS_Q)
    price = torch.randn(ROWS).double().cumsum(0)
    data = Resident(torch.randn(ROWS, INPUTS), torch.ones(ROWS, HORIZON), price, torch.arange(chunk, ROWS - HORIZON))
    steps = 4
    spent = seconds(lambda: train(net, data, spec.training, steps=steps, batch=batch, lr=1e-3, seed=0)) / steps
    flop = lstm_flop(batch * chunk, INPUTS, hidden)
    flop += lstm_flop(batch * positions * HORIZON, 2 + hidden, hidden) if kind == "lstm" else 0
    return batch * positions / spent, flop / spent / 1e9


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as in every worker; for both loops
    print(f"one thread, torch {torch.__version__}")
    print(f"{'hidden':>6}  {'loop':44} {'windows/s':>10} {'x windowed':>10} {'GFLOP/s':>8} {'sgemm':>6} {'of it':>6}")
    for hidden in (32, 64):
        rounds = [(*windowed_rate(hidden), sgemm()) for _ in range(ROUNDS)]
        base, speed, top = (max(column) for column in zip(*rounds, strict=True))
        show(hidden, "windowed nn.LSTM, 60 in, 20 out, batch 64", base, base, speed, top)
        cases = (
            ("forked, LSTM decoder, our default", "lstm", 12, 200, 32, False, 32),
            ("the same under bf16 autocast", "lstm", 12, 200, 32, True, 32),
            ("forked, LSTM decoder, every position", "lstm", 150, 200, 16, False, 32),
            ("the same under bf16 autocast", "lstm", 150, 200, 16, True, 32),
            ("forked, MLP decoder, our default", "mlp", 12, 200, 32, False, 32),
            ("the same, linear head", "mlp", 12, 200, 32, False, 0),
            ("forked, MLP decoder, every position", "mlp", 200, 250, 16, False, 32),
            ("the same, linear head", "mlp", 200, 250, 16, False, 0),
        )
        for label, kind, positions, chunk, batch, bf16, width in cases:
            turns = [
                (
                    windowed_rate(hidden)[0],
                    *forked_rate(hidden, kind, positions, chunk, batch, bf16=bf16, width=width),
                    sgemm(),
                )
                for _ in range(ROUNDS)
            ]
            show(hidden, label, *(max(column) for column in zip(*turns, strict=True)))


def show(hidden: int, label: str, base: float, rate: float, speed: float, top: float) -> None:
    """One row, with the ratio to `base` and the share of `top`."""
    print(
        f"{hidden:>6}  {label:44} {rate:>10,.0f} {rate / base:>10.1f} {speed:>8.0f} {top:>6.0f} {speed / top:>6.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
