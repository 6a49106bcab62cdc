"""Two waves: sinusoids of random frequency, amplitude and phase summed, fifteen points in, fifteen out.

Shape legend: N signals, W past points, H future points, T = W + H.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from s2squant.config.networks import DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.experiments.result import Progress, Result, done_by_cost
from s2squant.experiments.waves_result import NOISE, Member, Outcome, waves_result
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.series import SeriesSeq2Seq, fit_series
from s2squant.runs.engines.local import map_jobs
from s2squant.series.arrays import Floats

PAST = FUTURE = 15
TESTED = 2_000
QUIETEST = 0.05
"""Root mean square below which a window is not scaled up further."""


@dataclass(frozen=True)
class Recipe:
    """How one network is made and trained."""

    spec: Seq2SeqSpec
    batch: int
    lr: float
    first: Literal["last", "zero"] = "last"
    scaled: bool = False
    """Each signal divided by the root mean square of its past."""


@dataclass(frozen=True)
class Job:
    """One network to be trained."""

    member: Member
    recipe: Recipe
    steps: int
    seed: int
    test_seed: int


def run(progress: Progress, *, quick: bool = False, seed: int = 0, workers: int | None = None) -> Result:
    """Train the textbook's network and better ones, and set them beside the last value and least squares."""
    jobs = make_jobs(quick=quick, seed=seed)
    progress("the first networks are trained", 0.0)
    labels = [f"{job.member.name}, {job.steps} iterations" for job in jobs]
    on_done = done_by_cost(progress, labels, [job.steps * job.member.cost for job in jobs])
    outcomes = map_jobs(carry_out, jobs, workers=workers, on_done=on_done)
    signal_NT = test_signals(seed).numpy()
    simple = {
        "Last value": np.repeat(signal_NT[:, PAST - 1 : PAST], FUTURE, axis=1),
        "Zero": np.zeros((len(signal_NT), FUTURE)),
        "AR(4), least squares": least_squares(signal_NT[:, :PAST], FUTURE),
    }
    fed = {
        "Last value": signal_NT[:, PAST - 1 : -1],
        "AR(4), least squares": least_squares_fed(signal_NT, PAST),
    }
    noisy_NW = signal_NT[:, :PAST] + NOISE * np.random.default_rng(seed).normal(size=(len(signal_NT), PAST))
    blurred = least_squares(noisy_NW, FUTURE)
    return waves_result(outcomes, simple, fed, blurred, signal_NT)


def carry_out(job: Job) -> Outcome:
    """Train one network and let it forecast the test signals: on its own, fed the truth, and with a noisy past."""
    net, losses = train(job.recipe, steps=job.steps, seed=job.seed)
    signal_NT = test_signals(job.test_seed)
    noise_NW = torch.from_numpy(NOISE * np.random.default_rng(job.test_seed).normal(size=(TESTED, PAST)))
    said, blurred = (
        forecast(net, past, scaled=job.recipe.scaled) for past in (signal_NT[:, :PAST], signal_NT[:, :PAST] + noise_NW)
    )
    fed = forecast_fed(net, signal_NT) if job.recipe.spec.decoder.previous else None
    return Outcome(job.member, job.seed, tuple(losses), sum(p.numel() for p in net.parameters()), said, fed, blurred)


def train(recipe: Recipe, *, steps: int, seed: int) -> tuple[SeriesSeq2Seq, list[float]]:
    """A network after `steps` batches of new signals; L2 on all but the output layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SeriesSeq2Seq(recipe.spec, horizon=FUTURE, first=recipe.first)

    def draw(_: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        signal_NT = signals(recipe.batch, generator)
        if recipe.scaled:
            signal_NT = signal_NT / _size(signal_NT[:, :PAST])
        return signal_NT[:, :PAST, None].float(), signal_NT[:, PAST:, None].transpose(0, 1).float()

    spared = list[nn.Parameter](net.output.parameters())
    return net, fit_series(net, draw, steps=steps, lr=recipe.lr, seed=seed, undecayed=spared)


def signals(count: int, draw: torch.Generator) -> Tensor:
    """Signals (N, T): a sine of amplitude .1 to 1.1 and a cosine of amplitude 0 to 1.2, phases uniform.

    Both have -4.5 to 5.5 times 3 pi radians over the whole window, as in the literature's second exercise: at most 1.79
    radians a point, and as little as none.
    """
    u_N6 = torch.rand(count, 6, generator=draw, dtype=torch.float64)
    speed_N2 = (10 * u_N6[:, :2] - 4.5) * (3 * math.pi / (PAST + FUTURE - 1))
    angle_N2T = speed_N2[:, :, None] * torch.arange(PAST + FUTURE) + 2 * math.pi * u_N6[:, 2:4, None]
    return (u_N6[:, 4:5] + 0.1) * torch.sin(angle_N2T[:, 0]) + 1.2 * u_N6[:, 5:6] * torch.cos(angle_N2T[:, 1])


def test_signals(seed: int) -> Tensor:
    """The test signals (N, T), drawn apart from training's."""
    return signals(TESTED, torch.Generator().manual_seed(1_000_003 + seed))


def autoregression(past_NW: Floats, order: int) -> Floats:
    """Weights (N, k) of an autoregression without constant on each signal's past, the oldest value's first."""
    lagged_NRk = np.lib.stride_tricks.sliding_window_view(past_NW, order, axis=1)[:, :-1]
    return np.stack(
        [np.linalg.lstsq(lagged, past[order:], rcond=None)[0] for lagged, past in zip(lagged_NRk, past_NW, strict=True)]
    )


def least_squares(past_NW: Floats, steps: int, order: int = 4) -> Floats:
    """Forecasts (N, H) of an autoregression without constant, fitted to each signal's own past by least squares.

    A sum of k sinusoids obeys one of order 2 k exactly (Prony 1795), so that without noise nothing is left to err.
    """
    weight_Nk = autoregression(past_NW, order)
    values_NT = past_NW.copy()
    for _ in range(steps):
        values_NT = np.concatenate([values_NT, (values_NT[:, -order:] * weight_Nk).sum(axis=1, keepdims=True)], axis=1)
    return values_NT[:, -steps:]


def forecast(net: SeriesSeq2Seq, past_NW: Tensor, *, scaled: bool) -> Floats:
    """The network's free-running forecasts (N, H)."""
    size_N1 = _size(past_NW) if scaled else torch.ones(len(past_NW), 1)
    with torch.no_grad():
        said_HN1: Tensor = net((past_NW / size_N1).float()[:, :, None])
    said_NH: Floats = (said_HN1[:, :, 0].T.double() * size_N1).numpy()
    return said_NH


def forecast_fed(net: SeriesSeq2Seq, signal_NT: Tensor) -> Floats:
    """The network's forecasts (N, H) where each step reads the true value of the step before, as the textbook tests."""
    signal_NT1 = signal_NT.float()[:, :, None]
    fed = Feeding(1.0, torch.Generator())
    with torch.no_grad():
        said_HN1 = net.decode(signal_NT1[:, :PAST], signal_NT1[:, PAST:].transpose(0, 1), fed)
    said_NH: Floats = said_HN1[:, :, 0].T.double().numpy()
    return said_NH


def least_squares_fed(signal_NT: Floats, past: int, order: int = 4) -> Floats:
    """One step ahead (N, H) by the autoregression of `least_squares`, its weights of the first `past` points alone."""
    weight_Nk = autoregression(signal_NT[:, :past], order)
    lagged_NHk = np.lib.stride_tricks.sliding_window_view(signal_NT, order, axis=1)[:, past - order : -1]
    return np.asarray(np.einsum("nhk,nk->nh", lagged_NHk, weight_Nk))


def make_jobs(*, quick: bool, seed: int) -> list[Job]:
    """All networks, those that take longest first."""
    share, seeds = (0.06, 1) if quick else (1.0, 3)
    textbook = Member("Textbook", 0.03, "GRU 2 x 12, fed the truth in training, constant rate 0.04, batch 10, L2 0.003")
    longer = Member("Textbook, ten times as long", 0.03, "the same after 1,000 iterations")
    free = Member("Textbook, trained free-running", 0.03, "the same, reading its own outputs in training too")
    direct = Member(
        "Direct", 0.012, "1 x 64 LSTM, context at every step, no feed, batch 64, one-cycle, averaged weights"
    )
    better = Member(
        "Direct, large", 0.05, "the same with 96 units, batch 128, four times as long, the past scaled to one"
    )
    trained = [
        (better, _direct(96, 128, scaled=True), round(4000 * share), 1),
        (longer, _textbook("teacher"), round(1000 * share), 1),
        (direct, _direct(64, 64, scaled=False), round(1000 * share), 1),
        (free, _textbook("free"), 30 if quick else 100, seeds),
        (textbook, _textbook("teacher"), 30 if quick else 100, seeds),
    ]
    return [
        Job(member, recipe, steps, seed + place, seed)
        for member, recipe, steps, count in trained
        for place in range(count)
    ]


def _textbook(regime: Literal["teacher", "free"]) -> Recipe:
    encoder = EncoderSpec(cell="gru", hidden=12, layers=2, reads="window", window=PAST)
    decoder = DecoderSpec(layers=2, context="initial", start="states", previous=True)
    training = TrainingSpec(regime=regime, optimiser="adam", rate="constant", weight_decay=0.003, ema=0.0, clip=1e6)
    return Recipe(_composed(encoder, decoder, training), batch=10, lr=0.04, first="zero")


def _direct(hidden: int, batch: int, *, scaled: bool) -> Recipe:
    encoder = EncoderSpec(hidden=hidden, reads="window", window=PAST)
    training = TrainingSpec(optimiser="adam", weight_decay=0.0)
    return Recipe(_composed(encoder, DecoderSpec(), training), batch=batch, lr=5e-3, scaled=scaled)


def _composed(encoder: EncoderSpec, decoder: DecoderSpec, training: TrainingSpec) -> Seq2SeqSpec:
    return Seq2SeqSpec(encoder=encoder, decoder=decoder, head=HeadSpec(kind="point"), training=training)


def _size(past_NW: Tensor) -> Tensor:
    return past_NW.square().mean(dim=1, keepdim=True).sqrt().clamp(min=QUIETEST)
